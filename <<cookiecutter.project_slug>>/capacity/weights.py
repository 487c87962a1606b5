"""The memory that a model's weights take: the size of its checkpoint, or else a count of its parameters."""

from capacity.encoders import TEXT_ENCODERS
from capacity.errors import SizingError
from capacity.kinds import FULL
from capacity.model import GIB, Model
from capacity.parameters import Part, attention, feed_forward, linear_parts
from capacity.quantization import GIVEN, UNQUANTISED

MXFP4_ALIGNMENT = 256  # vLLM pads the experts' hidden size to it (its Mxfp4MoEMethod): 2880 becomes 3072 in gpt-oss
# whose layers take turns, or whose inner sizes are computed, in a way of their own
NOT_COUNTED = {"llama4_text", "lfm2", "lfm2_moe"}


def weights_gib(
    model: Model, quantization: str | None = None, *, drafting: int = 0, pictures: bool = True, head: bool = True
) -> float:
    """Return the GiB that vLLM loads, all GPUs together.

    It is the size of the checkpoint's tensors, or else a count of parameters without norms, biases and scales, within
    3 % of what vLLM reports. `quantization` is vLLM's flag: fp8 makes one byte of the two of each parameter of a linear
    layer while it loads, other methods are the checkpoint's own. `drafting`: the checkpoint's layers for drafts that
    are used; without it they are not loaded. Without `pictures` neither is the vision tower, and without `head` no
    lm_head is counted. Raises SizingError for a method that is not known.
    """
    if quantization not in (None, "fp8") and not model.quantization:
        raise SizingError(f"sizing does not know what --quantization {quantization} makes while it loads", GIVEN)
    linear = linear_parts(model)
    drafts = _drafting_bytes(model) * (drafting - model.drafting_layers)
    if model.published_gib is not None:
        loaded = 0.5 if model.number_type == "float32" and not model.quantization else 1  # vLLM makes 16 bits of 32
        total = model.published_gib * GIB * loaded + min(drafts, 0)
        total -= 0 if pictures else _vision(model) * UNQUANTISED
    else:
        total = _counted(model, linear, head=head) + drafting * _drafting_bytes(model)
        total += _vision(model) * UNQUANTISED if pictures else 0
    if quantization == "fp8" and not model.quantization:
        total -= sum(part.total for part in linear)
    if model.quantization.quant_method == "mxfp4":
        padding = (-model.hidden_size % MXFP4_ALIGNMENT) / model.hidden_size
        experts = sum(part.total for part in linear if part.module == "experts")
        total += experts * padding * model.quantization.bytes_per_parameter
    return total / GIB


def _counted(model: Model, linear: list[Part], *, head: bool) -> float:
    """Return the bytes of embeddings, lm_head and layers."""
    if model.model_type in NOT_COUNTED:
        raise SizingError(f"weights of {model.model_type} are not counted", GIVEN)
    if model.hidden_size_per_layer_input:
        raise SizingError("weights with hidden_size_per_layer_input (embeddings for each layer) are not counted", GIVEN)
    if model.use_double_wide_mlp:
        raise SizingError("weights with use_double_wide_mlp are not counted", GIVEN)
    if model.audio_config:
        raise SizingError("weights with audio_config (a tower that hears) are not counted", GIVEN)
    words, quantised = model.vocab_size * model.hidden_size, model.quantization
    of_head = quantised.bytes_of_head if head and not model.tie_word_embeddings else 0.0
    return (
        words * (UNQUANTISED + of_head) + _positions(model) * UNQUANTISED + sum(_bytes(model, part) for part in linear)
    )


def _positions(model: Model) -> int:
    """Return the parameters of learned positions, and of what makes positions of a recording."""
    if model.model_type not in TEXT_ENCODERS and not model.listener:
        return 0
    learned = model.max_position_embeddings * model.hidden_size
    return learned + (model.listener.rest(model.hidden_size) if model.listener else 0)


def _bytes(model: Model, part: Part) -> float:
    return part.total * model.quantization.bytes_of(part.module, part.layers) if part.total else 0.0


def _drafting_bytes(model: Model) -> float:
    """Return the bytes of one layer for drafts, multi-token prediction: a last layer, and what joins two vectors."""
    if not model.drafting_layers:
        return 0.0
    parts = [part for part in feed_forward(model) if part.layers]
    end = max((max(part.layers) for part in parts), default=0)
    last = [part for part in parts if end in part.layers]
    parameters = attention(model, FULL) + 2 * model.hidden_size**2 + sum(part.parameters for part in last)
    quantised = model.quantization
    return parameters * (UNQUANTISED if quantised.keeps_drafts else quantised.bytes_per_parameter)


def _vision(model: Model) -> int:
    hidden, layers = model.vision_hidden_size, int(model.vision_config.get("num_hidden_layers") or 0)
    layers = layers or int(model.vision_config.get("depth") or 0)  # as Qwen's are called
    return layers * hidden * (4 * hidden + 2 * model.vision_inner_size)
