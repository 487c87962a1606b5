"""What holds for any model and any GPU that `inv size` is asked about."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rendered import Bake

KINDS = st.sampled_from(["full_attention", "sliding_attention"])


@pytest.fixture(scope="module", autouse=True)
def capacity_of_a_rendering(baked: Bake) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(baked())
        importlib.import_module("capacity.memory")  # now, and not in the first example's time
        yield


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    """A model as Hugging Face describes it: dense or a mixture, with any layers, any attention."""
    layers = draw(st.integers(1, 80))
    heads = draw(st.sampled_from([8, 16, 32, 64]))
    config = {
        "num_hidden_layers": layers,
        "hidden_size": draw(st.integers(4, 64)) * 128,
        "intermediate_size": draw(st.integers(8, 256)) * 128,
        "num_attention_heads": heads,
        "num_key_value_heads": draw(st.sampled_from([n for n in (1, 2, 4, 8) if n <= heads])),
        "head_dim": draw(st.sampled_from([64, 128, 256])),
        "vocab_size": draw(st.integers(1000, 262144)),
        "layer_types": draw(st.lists(KINDS, min_size=layers, max_size=layers)),
        "sliding_window": draw(st.sampled_from([128, 1024, 4096])),
    }
    latent = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "qk_nope_head_dim": 128, "v_head_dim": 128}
    experts = {"num_experts": 16, "num_experts_per_tok": 4, "moe_intermediate_size": 768}
    return config | draw(st.sampled_from([{}, latent])) | draw(st.sampled_from([{}, experts]))


def size(config: dict[str, Any], gib: float, **given: Any) -> Any:
    model, flags, memory = (importlib.import_module(f"capacity.{name}") for name in ("model", "flags", "memory"))
    return memory.size(
        model.Model.from_config(config), flags.Flags.model_validate({"max_model_len": 4096} | given), gib, 8
    )


@given(configs(), st.floats(8, 69), st.floats(0, 1))
def test_more_memory_never_holds_fewer_tokens(config: dict[str, Any], gib: float, more: float) -> None:
    """Below 70 GiB: from there on vLLM's default batch is larger, and may leave less."""
    less_fit, more_fit = size(config, gib), size(config, gib + more)
    assert more_fit.kv_cache_tokens >= less_fit.kv_cache_tokens
    assert more_fit.max_concurrency >= less_fit.max_concurrency


@given(configs(), st.floats(8, 200))
def test_an_fp8_kv_cache_holds_twice_as_much(config: dict[str, Any], gib: float) -> None:
    plain, small = size(config, gib), size(config, gib, kv_cache_dtype="fp8")
    assert small.kv_cache_gib == plain.kv_cache_gib
    assert 2 * plain.kv_cache_blocks <= small.kv_cache_blocks <= 2 * plain.kv_cache_blocks + 1
    assert small.max_concurrency * plain.kv_cache_blocks == pytest.approx(plain.max_concurrency * small.kv_cache_blocks)


@given(configs(), st.floats(8, 200), st.sampled_from([2, 4, 8]))
def test_more_gpus_never_take_more_of_each_for_weights(config: dict[str, Any], gib: float, parallel: int) -> None:
    assert size(config, gib, tp=parallel).weights_gib <= size(config, gib).weights_gib / parallel + 1e-9


@given(configs(), st.floats(8, 200), st.integers(1, 32768))
def test_a_longer_request_never_fits_more_often(config: dict[str, Any], gib: float, length: int) -> None:
    longer, shorter = (size(config, gib, max_model_len=tokens) for tokens in (length + 1, length))
    assert longer.max_concurrency <= shorter.max_concurrency


@given(configs(), st.floats(8, 200))
def test_the_longest_request_that_fits_is_the_longest(config: dict[str, Any], gib: float) -> None:
    found = size(config | {"max_position_embeddings": 65536}, gib, max_model_len="auto")
    if found.fits and found.max_model_len < 65536:
        assert not size(config, gib, max_model_len=found.max_model_len + 1).fits


@given(configs(), st.floats(8, 69), st.integers(1, 256))
def test_more_sequences_never_leave_more_room(config: dict[str, Any], gib: float, seqs: int) -> None:
    fewer, more = size(config, gib, max_num_seqs=seqs), size(config, gib, max_num_seqs=seqs + 1)
    assert more.kv_cache_gib <= fewer.kv_cache_gib
    assert fewer.requests <= seqs
