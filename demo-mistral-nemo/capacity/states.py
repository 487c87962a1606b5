"""What layers with a state keep: for each request a fixed number of bytes, not a key and a value for each token.

Sources: vLLM's model_executor/layers/mamba/mamba_utils.py (MambaStateShapeCalculator), and the model's own class for
the type of its numbers (get_mamba_state_dtype_from_config).
"""

from dataclasses import dataclass
from math import ceil, lcm
from typing import Literal

from capacity.errors import SizingError
from capacity.flags import Flags
from capacity.kinds import CONVOLUTION, DELTA, KIMI, MAMBA, STATEFUL
from capacity.model import Model

FLOAT_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "auto": 2}
CHUNK = 2048  # of tokens, where config.json says none (ModelConfig.get_mamba_chunk_size)


@dataclass(frozen=True)
class States:
    """The states of a model, on one GPU."""

    layers: int
    size: int  # bytes of one layer's state
    drafted: int = 0  # tokens that are drafted in a step
    mode: Literal["none", "align", "all"] = "align"
    chunk: int = CHUNK

    def block(self, grain: int, token_bytes: int) -> int:
        """Return the tokens of a block of the attention layers, which is at least as large as a state.

        `token_bytes` are those of one token in one layer (Platform._align_hybrid_block_size).
        """
        if self.mode == "all":
            chunk = lcm(self.chunk, grain)
            return chunk * ceil(ceil(self.size / token_bytes) / chunk)
        return grain * ceil(self.size / (grain * token_bytes))

    def needed(self, length: int, block: int) -> int:
        """Return the blocks of a request in each group of such layers (MambaSpec.max_memory_usage_bytes)."""
        kept = {"none": 1, "align": 2, "all": ceil(length / block)}
        return kept[self.mode] + self.drafted


def states(model: Model, flags: Flags) -> States | None:
    """Return the states of a model; None when none of its layers has one. Raises SizingError."""
    kinds = STATEFUL.intersection(model.kinds)
    if not kinds:
        return None
    if len(kinds) > 1:
        raise SizingError(f"has layers of {' and '.join(sorted(kinds))}, and sizing knows one kind of state in a model")
    kind, drafted = kinds.pop(), flags.drafted_tokens
    mode: Literal["none", "align", "all"] = "none" if not flags.enable_prefix_caching else "align"
    if kind == MAMBA and flags.enable_prefix_caching and flags.mamba_cache_mode == "all":
        mode = "all"
    return States(model.states, _bytes(model, kind, flags), drafted, mode, model.mamba_chunk or CHUNK)


def _bytes(model: Model, kind: str, flags: Flags) -> int:
    """Return the bytes of a layer's state on one GPU: of its convolution, and of its recurrence."""
    parallel = flags.tensor_parallel
    convolution, kernel, recurrence, number_type = {
        DELTA: _delta,
        MAMBA: _mamba,
        KIMI: _kimi,
        CONVOLUTION: _convolution,
    }[kind](model, parallel)
    if not convolution or not kernel or (not recurrence and kind != CONVOLUTION):
        raise SizingError(f"has layers of {kind}, and config.json does not say how large their states are")
    if convolution % parallel or recurrence % parallel:
        raise SizingError(f"its states can't be spread over {parallel} GPUs", "choose another tensor-parallel size")
    conv_bytes = FLOAT_BYTES[flags.mamba_cache_dtype]
    if flags.mamba_ssm_cache_dtype != "auto" and kind != KIMI:
        number_type = flags.mamba_ssm_cache_dtype
    number_bytes = conv_bytes if number_type == "auto" else FLOAT_BYTES[number_type]
    steps = kernel - 1 + flags.drafted_tokens
    return convolution // parallel * steps * conv_bytes + recurrence // parallel * number_bytes


def _delta(model: Model, parallel: int) -> tuple[int, int, int, str]:
    """Return gated delta-net's convolution, its kernel, the recurrence, all GPUs together, and its type."""
    keys = model.linear_key_head_dim * model.linear_num_key_heads
    values = model.linear_value_head_dim * model.linear_num_value_heads
    number_type = model.mamba_ssm_dtype if model.model_type.startswith("qwen3_5") else "auto"
    recurrence = values * model.linear_key_head_dim
    return 2 * keys + values, model.linear_conv_kernel_dim, recurrence, number_type


def _mamba(model: Model, parallel: int) -> tuple[int, int, int, str]:
    """Return the same of Mamba2. Each GPU has whole groups: there are at least as many as GPUs."""
    groups = model.mamba_groups if model.mamba_groups % parallel == 0 else parallel
    inner = model.mamba_heads * model.mamba_head_size
    number_type = model.mamba_ssm_cache_dtype if model.model_type == "nemotron_h" else "auto"
    recurrence = inner * model.mamba_state_size
    return inner + 2 * groups * model.mamba_state_size, model.mamba_kernel, recurrence, number_type


def _kimi(model: Model, parallel: int) -> tuple[int, int, int, str]:
    """Return the same of Kimi's delta attention."""
    layers = model.kimi_layers
    inner = layers.num_heads * layers.head_dim
    return 3 * inner, layers.short_conv_kernel_size, inner * layers.head_dim, "float32"


def _convolution(model: Model, parallel: int) -> tuple[int, int, int, str]:
    """Return the same of a short convolution, which has no recurrence."""
    return model.convolution_size or model.hidden_size, model.convolution_kernel, 0, "auto"
