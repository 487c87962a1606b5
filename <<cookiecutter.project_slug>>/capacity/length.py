"""How long a request of a model may be, as vLLM derives it from config.json (ModelConfig._get_and_verify_max_len)."""

from typing import Any

from capacity.errors import SizingError
from capacity.flags import Flags
from capacity.model import Model

UNSCALED = ("su", "longrope", "llama3")  # types of rotary positions whose factor is in max_position_embeddings already
LENGTH_KEYS = ("rope", "max_position_embeddings", "model_max_length")  # of `--hf-overrides`, that change the limit


def limit(model: Model) -> int:
    """Return the tokens that a request may have: the model's positions, or more where rotary positions are scaled."""
    longest, factor = float(model.model_max_length or model.max_position_embeddings), 1.0
    if "gemma3" not in model.model_type:
        for kind, rope in _ropes(model):
            if kind in UNSCALED:
                continue
            factor = rope.get("factor") or factor
            if kind == "yarn":
                longest = rope.get("original_max_position_embeddings", model.max_position_embeddings)
    return int(longest * factor)


def length(model: Model, flags: Flags) -> int:
    """Return the tokens of a request of full length. Raises SizingError for more than the model's, as vLLM does.

    With `auto` it is the model's limit, which vLLM then shortens until a request fits.
    """
    longest = limit(model)
    if not isinstance(flags.max_model_len, int):
        has_long_rope = any(kind == "longrope" for kind, _ in _ropes(model))
        return (model.original_max_position_embeddings or longest) if has_long_rope else longest
    asked, changed = flags.max_model_len, any(name.startswith(LENGTH_KEYS) for name in flags.hf_overrides)
    if asked > longest and not changed:
        problem = f"--max-model-len {asked:,} is more than the {longest:,} tokens that the model has positions for"
        raise SizingError(f"{problem}, and vLLM refuses it", f"give {longest} or less")
    return asked


def _ropes(model: Model) -> list[tuple[str, dict[str, Any]]]:
    """Return how rotary positions are scaled, with the name of the way: once, or once for each kind of layer."""
    scaling = model.rope_parameters or model.rope_scaling
    nested = [rope for rope in scaling.values() if isinstance(rope, dict)]
    return [(str(rope.get("rope_type", rope.get("type"))), rope) for rope in nested or [scaling]]
