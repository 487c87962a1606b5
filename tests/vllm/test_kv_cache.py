"""What `inv size` makes of layers and memory is what vLLM makes of them: its own accounting, block by block."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.vllm.install import Installation
from tests.test_catalogue import CATALOGUE, WITH_KV_CACHE, text_part
from tests.vllm.hybrid_configs import DEEPSEEK, GLM, HYBRID

MEMORY_GIB, LENGTH, BATCHED = (3.6, 20.0), (4096, 32768), (2048, 8192)
STATES = {"full_attention_interval", "hybrid_override_pattern", "mamba_n_heads"}  # HYBRID has one model of each kind
KNOWN = {model: CATALOGUE[model]["config"] for model, _ in WITH_KV_CACHE}
CONFIGS = {model: config for model, config in KNOWN.items() if STATES.isdisjoint(text_part(config))}
CONFIGS |= {"latent": DEEPSEEK, "latent with an index": GLM}
DRAFT = {"method": "ngram_gpu", "num_speculative_tokens": 2}
FLAGS: list[dict[str, Any]] = [
    {"tensor_parallel": parallel, "kv_cache_dtype": kept, "mamba_cache_mode": mode, "speculative_config": draft}
    for parallel in (1, 2)
    for kept in ("auto", "fp8")
    for mode, draft in (("align", None), ("align", DRAFT), ("all", None))
]


def attention_layers(model: Any, parallel: int) -> list[dict[str, Any]]:
    """The model's attention layers as vLLM describes them, on one GPU."""
    found = []
    for number, kind in enumerate(model.kinds):
        if kind not in ("full_attention", "sliding_attention"):
            continue
        heads, size = model.heads(kind)
        window = None if kind == "full_attention" else model.sliding_window
        of_kind = {"kind": kind, "kv_heads": max(1, heads // parallel), "head_size": size, "window": window}
        latent = {"kind": "latent", "kv_heads": 1, "window": None}
        size = (model.kv_lora_rank or 0) + model.qk_rope_head_dim
        found.append(latent | {"head_size": size} if model.kv_lora_rank else of_kind)
        if model.has_index(number):
            found.append(latent | {"head_size": 132, "element_bytes": 1})
    if model.listener:
        found += [layer | {"kind": "recording"} for layer in found]
    return found


def case(model: Any, gib: float, length: int, batched: int, **others: Any) -> dict[str, Any]:
    grain = 64 if model.index_head_dim else 16
    given = {"bytes": int(gib * 2**30), "max_model_len": length, "in_flight": 2 * batched, "grain": grain}
    if model.listener:
        given["heard"] = model.listener.max_source_positions
    return given | {"layers": attention_layers(model, 1), "element_bytes": 2} | others


def plain_cases(model: Any) -> list[dict[str, Any]]:
    packed = model.index_head_dim  # whose fp8 has a form of its own
    return [
        case(model, gib, length, batched, element_bytes=element_bytes)
        for element_bytes in ((2,) if packed else (1, 2))
        for gib, length, batched in zip(MEMORY_GIB, LENGTH, BATCHED, strict=True)
    ]


def hybrid_cases(model: Any, states: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    for flags in FLAGS:
        parallel, drafted = (
            flags["tensor_parallel"],
            (flags["speculative_config"] or {}).get("num_speculative_tokens", 0),
        )
        arguments = states["arguments"] | {"tp_world_size": parallel, "num_spec": drafted}
        mode = flags["mamba_cache_mode"] if states["calculator"].startswith("mamba") else "align"
        others = {
            "states": states | {"arguments": arguments},
            "drafted": drafted,
            "mode": mode,
            "chunk": states["chunk"],
        }
        others |= {
            "layers": attention_layers(model, parallel),
            "element_bytes": 1 if flags["kv_cache_dtype"] == "fp8" else 2,
        }
        found.append(case(model, 20.0, 32768, 8192, **others))
    return found


@pytest.fixture(scope="session")
def answers(vllm: Installation, capacity: Any) -> dict[str, list[dict[str, float]]]:
    """vLLM's answers for every model, from one call: importing vLLM takes longest."""
    of = capacity.model.Model.from_config
    asked = {name: plain_cases(of(config)) for name, config in CONFIGS.items()}
    asked |= {name: hybrid_cases(of(config), states) for name, (config, states) in HYBRID.items()}
    given = iter(vllm.kv_caches([case for those in asked.values() for case in those]))
    return {name: [next(given) for _ in those] for name, those in asked.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_blocks_and_requests_are_vllms(capacity: Any, answers: dict[str, list[dict[str, float]]], name: str) -> None:
    model = capacity.model.Model.from_config(CONFIGS[name])
    for asked, answer in zip(plain_cases(model), answers[name], strict=True):
        dtype = {1: "fp8", 2: "bfloat16"}[asked["element_bytes"]]
        flags = capacity.flags.Flags.model_validate({"kv_cache_dtype": dtype})
        cache = capacity.memory.kv_cache(model, flags, asked["bytes"] / 2**30, asked["in_flight"] // 2)
        assert cache.blocks == answer["blocks"]
        assert cache.concurrency(asked["max_model_len"]) == pytest.approx(answer["concurrency"])


@pytest.mark.parametrize("missing", [0, 1])
def test_a_model_of_speech_starts_where_vllm_starts_it(vllm: Installation, capacity: Any, missing: int) -> None:
    """With room for a recording of a whole batch, beside one block that is never given away."""
    model, batched = capacity.model.Model.from_config(CATALOGUE["openai/whisper-large-v3"]["config"]), 8192
    block = 32 * 16 * 2 * 20 * 64 * 2
    gib = block * (448 // 16 + batched // 16 + 1 - missing) / 2**30
    [answer] = vllm.kv_caches([case(model, gib, 448, batched)])
    cache = capacity.memory.kv_cache(model, capacity.flags.Flags(), gib, batched)
    assert cache.holds(448) == bool(answer["blocks"]) == (not missing)


@pytest.mark.parametrize("name", HYBRID)
def test_states_take_the_blocks_that_vllm_gives_them(
    capacity: Any, answers: dict[str, list[dict[str, float]]], name: str
) -> None:
    model = capacity.model.Model.from_config(HYBRID[name][0])
    for given, answer in zip(FLAGS, answers[name], strict=True):
        flags = capacity.flags.Flags.model_validate(given)
        cache = capacity.memory.kv_cache(model, flags, 20.0, 8192)
        found = {"block": cache.block, "blocks": cache.blocks, "concurrency": pytest.approx(cache.concurrency(32768))}
        assert answer == found, given
