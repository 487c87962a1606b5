"""Sizing of models whose layers keep a state, an index or drafts, on numbers small enough to check by hand."""

from __future__ import annotations

from typing import Any

import pytest

from capacity import memory, views
from capacity.cards import Card
from capacity.errors import SizingError
from capacity.flags import Flags
from capacity.kv_cache import KVCache
from capacity.model import Model
from capacity.sizing import size_on
from capacity.states import states

# 2 layers with a KV cache, 2 x 4 x 64 x 2 bytes a token in each, and 6 with a state
CONFIG: dict[str, Any] = {"num_hidden_layers": 8, "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 32000}
CONFIG |= {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64, "max_position_embeddings": 8192}
DELTA = CONFIG | {"full_attention_interval": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 4}
DELTA |= {"linear_key_head_dim": 32, "linear_value_head_dim": 64, "linear_conv_kernel_dim": 4}
QWEN = DELTA | {"model_type": "qwen3_5_text", "mamba_ssm_dtype": "float32"}
MAMBA = CONFIG | {"model_type": "nemotron_h", "hybrid_override_pattern": "MEM*MM-*", "mamba_num_heads": 8}
MAMBA |= {"mamba_head_dim": 32, "n_groups": 2, "ssm_state_size": 16, "conv_kernel": 4}
KIMI_LAYERS = {"full_attn_layers": [4, 8], "kda_layers": [1, 2, 3, 5, 6, 7], "head_dim": 32, "num_heads": 8}
KIMI = CONFIG | {"linear_attn_config": KIMI_LAYERS | {"short_conv_kernel_size": 4}}
SHORT = CONFIG | {"full_attn_idxs": [3, 7], "conv_L_cache": 3}
MTP = {"method": "mtp", "num_speculative_tokens": 2}


def cache(config: dict[str, Any], gib: float = 1.0, **flags: Any) -> KVCache:
    return memory.kv_cache(Model.from_config(config), Flags.model_validate(flags), gib, 2048)


@pytest.mark.parametrize(
    ("config", "flags", "layers", "size"),
    [
        (DELTA, {}, 6, (2 * 64 + 256) * 3 * 2 + 256 * 32 * 2),
        (QWEN, {}, 6, (2 * 64 + 256) * 3 * 2 + 256 * 32 * 4),
        (QWEN, {"mamba_ssm_cache_dtype": "bfloat16"}, 6, (2 * 64 + 256) * 3 * 2 + 256 * 32 * 2),
        (QWEN, {"tp": 2}, 6, (64 + 128) * 3 * 2 + 128 * 32 * 4),
        (QWEN, {"speculative_config": MTP}, 6, (2 * 64 + 256) * 5 * 2 + 256 * 32 * 4),
        (MAMBA, {}, 4, (256 + 2 * 2 * 16) * 3 * 2 + 256 * 16 * 4),
        (MAMBA | {"model_type": "granitemoehybrid"}, {}, 4, (256 + 2 * 2 * 16) * 3 * 2 + 256 * 16 * 2),
        (MAMBA, {"tp": 4}, 4, (256 + 2 * 4 * 16) // 4 * 3 * 2 + 64 * 16 * 4),  # 2 groups become 4
        (KIMI, {}, 6, 3 * 256 * 3 * 2 + 256 * 32 * 4),
        (SHORT, {}, 6, 1024 * 2 * 2),
        (SHORT | {"conv_dim": 512}, {}, 6, 512 * 2 * 2),
    ],
)
def test_a_state_has_the_bytes_of_its_convolution_and_its_recurrence(
    config: dict[str, Any], flags: dict[str, Any], layers: int, size: int
) -> None:
    found = states(Model.from_config(config), Flags.model_validate(flags))
    assert found
    assert (found.layers, found.size) == (layers, size)


def test_a_block_of_the_attention_is_at_least_as_large_as_a_state() -> None:
    """A state of QWEN has 35,072 bytes: 34.25 tokens of 1,024, or three times 16."""
    assert cache(QWEN).block == 48
    assert cache(QWEN, block_size=32).block == 64
    assert cache(QWEN).blocks == 2**30 // (2 * 48 * 1024)  # 2 layers in each of 1 + 3 groups


@pytest.mark.parametrize(
    ("flags", "blocks"),
    [
        ({}, 2),
        ({"enable_prefix_caching": "false"}, 1),
        ({"speculative_config": {"method": "ngram", "num_speculative_tokens": 3}}, 5),
        ({"mamba_cache_mode": "all"}, 2),  # which only Mamba2 knows
    ],
)
def test_a_request_takes_the_blocks_of_its_states_in_each_group(flags: dict[str, Any], blocks: int) -> None:
    found = cache(QWEN, **flags)
    assert found.needed(4800) == -(-4800 // found.block) + 3 * blocks


def test_mamba2_can_keep_a_state_for_each_block() -> None:
    found = cache(MAMBA | {"chunk_size": 256}, mamba_cache_mode="all")
    assert found.block == 256
    assert found.needed(1024) == 4 + 2 * 4  # 2 layers with a KV cache are a group, 4 with a state are two


def test_a_layer_that_drafts_keeps_what_it_reads() -> None:
    plain = CONFIG | {"num_nextn_predict_layers": 1}
    assert cache(plain, speculative_config=MTP).blocks == cache(plain | {"num_hidden_layers": 9}).blocks
    with pytest.raises(SizingError, match="no layers for the method mtp"):
        cache(CONFIG, speculative_config=MTP)


def test_an_index_keeps_one_byte_a_number_and_a_scale() -> None:
    latent = CONFIG | {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "index_head_dim": 128, "index_n_heads": 8}
    assert cache(latent).blocks == 2**30 // (64 * 8 * (1152 + 132))
    assert cache(latent, kv_cache_dtype="fp8").blocks == 2**30 // (64 * 8 * (656 + 132))
    some = latent | {"index_topk_freq": 4, "index_skip_topk_offset": 3}  # layers 0, 1, 2 and 6
    assert cache(some).blocks == 2**30 // (64 * (8 * 1152 + 4 * 132))


def test_more_sequences_than_blocks_are_refused_with_the_number_that_starts(capsys: pytest.CaptureFixture[str]) -> None:
    model, card = Model.from_config(QWEN), Card(24.0)
    blocks = size_on(card, model, Flags.model_validate({})).fit.kv_cache_blocks
    for seqs, starts in ((blocks, True), (blocks + 1, False)):
        flags = Flags.model_validate({"max_num_seqs": seqs, "kv_cache_memory_bytes": blocks * 98304})
        found = size_on(Card(10_000.0), model, flags)  # room for the sampler of so many
        assert (found.fit.fits, found.fit.kv_cache_blocks) == (starts, blocks)
        views.sizes([found], json=False)
        assert (f"give --max-num-seqs {blocks} or less" in " ".join(capsys.readouterr().out.split())) != starts
    eager = Flags.model_validate({"max_num_seqs": blocks + 1, "enforce_eager": "true"})
    assert not size_on(card, model, eager).fit.too_many_seqs
