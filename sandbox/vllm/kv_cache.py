"""What vLLM itself makes of layers and memory: blocks of the KV cache, and how many requests they hold.

`python kv_cache.py < CASES > ANSWERS`, run by the interpreter of vLLM's environment. A case is an object:

- `layers`: kind, kv_heads, head_size, window of each. Of latent attention and of an index (kind `latent`), head_size is
  the whole vector, and element_bytes may be of one layer.
- `heard`: of a model of speech, the positions of a recording, which layers of the kind `recording` keep.
- `states`: for layers with a state, how many, the calculator's name and arguments, and the types of the numbers.
- `element_bytes`, `bytes` of memory, `max_model_len`, `in_flight` tokens, `grain` in tokens, `drafted` tokens.

Its answer has `block` in tokens, `blocks` and `concurrency`; of a model of speech that does not start, no blocks.
Nothing is loaded, and nothing depends on the device.
"""

from __future__ import annotations

import json
import sys
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
import vllm.config.vllm
import vllm.model_executor.models
from vllm.model_executor.layers.mamba.mamba_utils import MambaStateShapeCalculator
from vllm.platforms.interface import Platform
from vllm.v1.core import kv_cache_utils
from vllm.v1.kv_cache_interface import (
    CrossAttentionSpec,
    FullAttentionSpec,
    KVCacheSpec,
    MambaSpec,
    MLAAttentionSpec,
    SlidingWindowSpec,
)
from vllm.v1.kv_cache_layout import KVCacheLayout

BLOCK_TOKENS = 16  # what vLLM takes on NVIDIA's GPUs
TYPES = {1: torch.uint8, 2: torch.bfloat16}
NAMES = {1: "fp8", 2: "bfloat16"}


def spec(layer: dict[str, Any], element_bytes: int, block: int) -> KVCacheSpec:
    shape = {
        "block_size": block,
        "num_kv_heads": layer["kv_heads"],
        "head_size": layer["head_size"],
        "dtype": TYPES[layer.get("element_bytes", element_bytes)],
    }
    if layer["kind"] == "latent":
        return MLAAttentionSpec(**shape)
    if layer["kind"] == "recording":
        return CrossAttentionSpec(**shape)
    return SlidingWindowSpec(**shape, sliding_window=layer["window"]) if layer["window"] else FullAttentionSpec(**shape)


def configuration(case: dict[str, Any]) -> Any:
    """vLLM's configuration: of it, the accounting reads these few settings."""
    [attention] = [layer for layer in case["layers"] if not layer["window"]][:1] or case["layers"][:1]
    model = SimpleNamespace(
        max_model_len=case["max_model_len"],
        original_max_model_len=None,
        dtype=torch.bfloat16,
        use_mla=attention["kind"] == "latent",
        architecture="",
        get_num_kv_heads=lambda parallel: attention["kv_heads"],
        get_head_size=lambda: attention["head_size"],
        get_mamba_chunk_size=lambda: case.get("chunk"),
    )
    cache = SimpleNamespace(
        num_gpu_blocks_override=None,
        block_size=case.get("grain", BLOCK_TOKENS),
        cache_dtype=NAMES[case["element_bytes"]],
        mamba_cache_mode=case.get("mode", "align"),
        mamba_page_size_padded=None,
        mamba_block_size=None,
        user_specified_mamba_block_size=False,
        prefix_cache_retention_interval=None,
        kv_cache_dtype_skip_layers=[],
        get_resolved_kv_cache_layout=lambda: KVCacheLayout.LBNHC,
    )
    return SimpleNamespace(
        cache_config=cache,
        max_in_flight_tokens=case["in_flight"],
        model_config=model,
        parallel_config=SimpleNamespace(decode_context_parallel_size=1, prefill_context_parallel_size=1),
        scheduler_config=SimpleNamespace(
            disable_hybrid_kv_cache_manager=False, max_num_encoder_input_tokens=case["in_flight"] // 2
        ),
        speculative_config=None,
        kv_transfer_config=None,
    )


def state_specs(case: dict[str, Any], settings: Any) -> list[KVCacheSpec]:
    """The layers with a state, after vLLM has made the blocks as large as one (Platform._align_hybrid_block_size)."""
    states = case["states"]
    shapes = getattr(MambaStateShapeCalculator, states["calculator"])(**states["arguments"])
    types = tuple(getattr(torch, name) for name in states["types"])
    model = SimpleNamespace(
        get_mamba_state_shape_from_config=lambda config: shapes, get_mamba_state_dtype_from_config=lambda config: types
    )
    backend = SimpleNamespace(customize_spec=lambda of: of, get_supported_kernel_block_sizes=lambda: [BLOCK_TOKENS])
    vllm.model_executor.models.ModelRegistry = SimpleNamespace(resolve_model_cls=lambda *_, **__: (model, ""))
    vllm.config.vllm.set_current_vllm_config = nullcontext
    Platform._align_hybrid_block_size(settings, backend)
    cache = settings.cache_config
    of_one = MambaSpec(
        block_size=cache.mamba_block_size or settings.model_config.max_model_len,
        shapes=shapes,
        dtypes=types,
        page_size_padded=cache.mamba_page_size_padded,
        mamba_cache_mode=cache.mamba_cache_mode,
        num_speculative_blocks=case.get("drafted", 0),
    )
    return [of_one] * states["layers"]


def answer(case: dict[str, Any]) -> dict[str, float]:
    settings = configuration(case)
    of_states = state_specs(case, settings) if case.get("states") else []
    block = settings.cache_config.block_size
    specs = [*(spec(layer, case["element_bytes"], block) for layer in case["layers"]), *of_states]
    layers = {f"layer.{number}": of for number, of in enumerate(specs)}
    try:
        [made] = kv_cache_utils.get_kv_cache_configs(settings, [layers], [case["bytes"]])
    except ValueError:
        if "heard" in case:
            return {"block": block, "blocks": 0, "concurrency": 0}
        raise
    if "heard" in case:  # what a request takes; vLLM's log divides by the room for a whole batch, as at the start
        settings.scheduler_config.max_num_encoder_input_tokens = case["heard"]
    concurrency = kv_cache_utils.get_max_concurrency_for_kv_cache_config(settings, made)
    return {"block": block, "blocks": made.num_blocks, "concurrency": concurrency}


if __name__ == "__main__":
    json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)
