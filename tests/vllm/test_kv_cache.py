"""What `inv size` makes of layers and memory is what vLLM makes of them: its own accounting, block by block."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.vllm.install import Installation
from tests.test_catalogue import CATALOGUE, is_hybrid

MEMORY_GIB, LENGTH, BATCHED = (3.3, 20.0), (4096, 32768), (2048, 8192)
DEEPSEEK = {  # latent attention, as in DeepSeek V3
    **{"model_type": "deepseek_v3", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128},
    **{"vocab_size": 129280, "kv_lora_rank": 512, "q_lora_rank": 1536},
    **{"qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128},
}
KNOWN = {model: entry["config"] for model, entry in CATALOGUE.items() if entry.get("config")}
CONFIGS = {model: config for model, config in KNOWN.items() if not is_hybrid(config)} | {"latent": DEEPSEEK}


def layers(model: Any) -> list[dict[str, Any]]:
    """The model's layers as vLLM describes them, on one GPU."""
    if model.kv_lora_rank:
        latent = {"kind": "latent", "kv_heads": 1, "head_size": model.kv_lora_rank + model.qk_rope_head_dim}
        return [latent | {"window": None}] * model.num_hidden_layers
    found = []
    for kind in model.kinds:
        heads, size = model.heads(kind)
        window = None if kind == "full_attention" else model.sliding_window
        found.append({"kind": kind, "kv_heads": heads, "head_size": size, "window": window})
    return found


def cases(model: Any) -> list[dict[str, Any]]:
    return [
        {
            "layers": layers(model),
            "element_bytes": element_bytes,
            "bytes": int(gib * 2**30),
            "max_model_len": length,
            "max_num_batched_tokens": batched,
        }
        for element_bytes in (1, 2)
        for gib, length, batched in zip(MEMORY_GIB, LENGTH, BATCHED, strict=True)
    ]


@pytest.fixture(scope="session")
def answers(vllm: Installation, capacity: Any) -> dict[str, list[dict[str, float]]]:
    """vLLM's answers for every model, from one call: importing vLLM takes longest."""
    asked = {name: cases(capacity.model.Model.from_config(config)) for name, config in CONFIGS.items()}
    given = iter(vllm.kv_caches([case for those in asked.values() for case in those]))
    return {name: [next(given) for _ in those] for name, those in asked.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_blocks_and_requests_are_vllms(capacity: Any, answers: dict[str, list[dict[str, float]]], name: str) -> None:
    model = capacity.model.Model.from_config(CONFIGS[name])
    for case, answer in zip(cases(model), answers[name], strict=True):
        cache = capacity.memory.KVCache(
            model.layers(case["element_bytes"], 1), case["bytes"] / 2**30, case["max_num_batched_tokens"]
        )
        assert cache.blocks == answer["blocks"]
        assert cache.concurrency(case["max_model_len"]) == pytest.approx(answer["concurrency"])
