"""What vLLM itself makes of layers and memory: blocks of the KV cache, and how many requests they hold.

`python kv_cache.py < CASES > ANSWERS`, run by the interpreter of vLLM's environment. A case is an object with `layers`
(kind, kv_heads, head_size, window of each; of latent attention head_size is the whole vector), `element_bytes`, `bytes`
of memory, `max_model_len` and `max_num_batched_tokens`; its answer has `blocks` and `concurrency`. Nothing is loaded,
and nothing of it depends on the device.
"""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import Any

import torch
from vllm.v1.core import kv_cache_utils
from vllm.v1.kv_cache_interface import FullAttentionSpec, KVCacheSpec, MLAAttentionSpec, SlidingWindowSpec
from vllm.v1.kv_cache_layout import KVCacheLayout

BLOCK_TOKENS = 16  # what vLLM takes on NVIDIA's GPUs
LAYOUT = KVCacheLayout.BLHNC  # where a block's bytes lie: one that suits all models; the number of blocks is the same


def spec(layer: dict[str, Any], element_bytes: int) -> KVCacheSpec:
    shape = {
        "block_size": BLOCK_TOKENS,
        "num_kv_heads": layer["kv_heads"],
        "head_size": layer["head_size"],
        "dtype": {1: torch.uint8, 2: torch.bfloat16}[element_bytes],
    }
    if layer["kind"] == "latent":
        return MLAAttentionSpec(**shape)
    return SlidingWindowSpec(**shape, sliding_window=layer["window"]) if layer["window"] else FullAttentionSpec(**shape)


def answer(case: dict[str, Any]) -> dict[str, float]:
    """Of vLLM's configuration its accounting reads these few settings."""
    vllm: Any = SimpleNamespace(
        cache_config=SimpleNamespace(
            num_gpu_blocks_override=None,
            prefix_cache_retention_interval=None,
            get_resolved_kv_cache_layout=lambda: LAYOUT,
        ),
        max_in_flight_tokens=case["max_num_batched_tokens"],
        model_config=SimpleNamespace(max_model_len=case["max_model_len"], original_max_model_len=None),
        parallel_config=SimpleNamespace(decode_context_parallel_size=1, prefill_context_parallel_size=1),
        scheduler_config=SimpleNamespace(disable_hybrid_kv_cache_manager=False),
        speculative_config=None,
        kv_transfer_config=None,
    )
    layers = {f"layer.{number}": spec(layer, case["element_bytes"]) for number, layer in enumerate(case["layers"])}
    [made] = kv_cache_utils.get_kv_cache_configs(vllm, [layers], [case["bytes"]])
    concurrency = kv_cache_utils.get_max_concurrency_for_kv_cache_config(vllm, made)
    return {"blocks": made.num_blocks, "concurrency": concurrency}


if __name__ == "__main__":
    json.dump([answer(case) for case in json.load(sys.stdin)], sys.stdout)
