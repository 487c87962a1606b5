"""What speculative decoding takes: layers that draft tokens, and their weights."""

from capacity.errors import SizingError
from capacity.flags import Flags
from capacity.kinds import FULL
from capacity.model import GIB, Model
from capacity.quantization import UNQUANTISED

EAGLE_WORDS = 32000  # of the vocabulary that a drafter of EAGLE-3 is trained with


def drafting_layers(model: Model, flags: Flags) -> int:
    """Return the number of layers that draft. Raises SizingError for a model that has none of its own."""
    speculation = flags.speculative_config
    if not speculation or not speculation.has_layer:
        return 0
    if not speculation.uses_own_layers:
        return 1
    if not model.drafting_layers:
        raise SizingError(f"it has no layers for the method {speculation.method} of --speculative-config")
    return model.drafting_layers


def drafter_gib(model: Model, flags: Flags) -> float:
    """Return the GiB of a drafter with a checkpoint of its own: EAGLE's, one layer as wide as the model.

    It joins three of the model's vectors, reads two of them, and has a small vocabulary and no embeddings of its own
    (vLLM's llama_eagle3.py).
    """
    speculation, hidden = flags.speculative_config, model.hidden_size
    if not speculation or not speculation.has_layer or speculation.uses_own_layers:
        return 0.0
    heads, size = model.heads(FULL)
    attention = hidden * size * (3 * model.num_attention_heads + 4 * heads)
    feed_forward = 3 * hidden * (model.intermediate_size or 4 * hidden)
    return (attention + feed_forward + 3 * hidden**2 + EAGLE_WORDS * hidden) * UNQUANTISED / GIB
