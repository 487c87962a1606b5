"""A config.json that sizing does not understand is refused, with the key and the reason; harmless keys are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from capacity import sources
from capacity.errors import SizingError
from capacity.model import Model
from capacity.weights import weights_gib

CONFIG: dict[str, Any] = {"num_hidden_layers": 10, "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 32000}
CONFIG |= {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64, "max_position_embeddings": 8192}
OTHER_HEADS = "layers whose heads differ"
UNKNOWN_STATES = "states of a form that sizing does not know"


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ({"sparse_attention_config": {"sparse_num_attention_heads": 4}}, "an index of a form"),  # MiniMax M3
        ({"hybrid_layer_pattern": [0, 1] * 5}, OTHER_HEADS),  # MiMo V2
        ({"swa_num_key_value_heads": 8}, OTHER_HEADS),
        ({"num_attention_heads_per_layer": [16] * 10}, OTHER_HEADS),  # Laguna
        ({"block_configs": [{"attention": {"no_op": True}}]}, "layers that differ one by one"),  # pruned Nemotron
        ({"compress_ratios": [0, 4, 128]}, "attention that compresses"),  # DeepSeek V4
        ({"linear_num_heads": 64, "linear_head_dim": 128}, UNKNOWN_STATES),  # GLM 5.3 Flash
        ({"attn_layer_period": 8}, UNKNOWN_STATES),  # Jamba
        ({"mamba_d_ssm": 1024}, UNKNOWN_STATES),  # Falcon-H1
        ({"attn_type_list": [0, 1] * 5}, "sizing does not know the key attn_type_list"),  # MiniMax M1
        ({"index_topk_pattern": "FSSS"}, "an index of a form"),
        ({"expert_dtype": "fp4"}, "experts in another number format"),
        ({"a_new_idea": 7}, "sizing does not know the key a_new_idea; .* copy of config.json without it"),
        ({"is_encoder_decoder": True}, "is_encoder_decoder"),
        ({"mamba_n_heads": 8, "mamba_d_state": 16}, "does not say which layers"),  # Bamba
        ({"linear_num_value_heads": 8, "full_attention_interval": 5}, "does not say how large their states are"),
        ({"layer_types": ["conv", "mamba", *["full_attention"] * 8]}, "layers of conv and mamba"),
    ],
    ids=str,
)
@pytest.mark.parametrize("nested", [False, True])
def test_a_key_that_may_change_the_memory_is_refused_by_its_name(
    tmp_path: Path, keys: dict[str, Any], problem: str, nested: bool
) -> None:
    config = {"text_config": CONFIG | keys} if nested else CONFIG | keys
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with pytest.raises(SizingError, match=problem) as refused:
        sources.read_model(str(tmp_path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "keys",
    [
        {"attn_type_list": [1] * 10, "use_mtp": True, "num_mtp_modules": 3},  # MiniMax M2
        {"sparse_attention_config": None, "attention_output_gate": False, "a_new_idea": 0, "block_configs": []},
        {"rope_scaling": {"factor": 8}, "bos_token_id": 1, "initializer_range": 0.02, "auto_map": {"AutoConfig": "x"}},
        {"_name_or_path": "x", "rms_norm_eps": 1e-6, "topk_method": "noaux_tc", "vision_config": {"depth": 2}},
    ],
    ids=str,
)
def test_a_key_that_changes_no_memory_is_harmless(keys: dict[str, Any]) -> None:
    assert Model.from_config(CONFIG | keys).kinds == Model.from_config(CONFIG).kinds


@pytest.mark.parametrize("key", ["attn_output_gate", "use_attn_output_gate"])
def test_a_gate_of_the_attention_is_as_large_as_its_queries(key: str) -> None:
    gate = weights_gib(Model.from_config(CONFIG | {key: True})) - weights_gib(Model.from_config(CONFIG))
    assert gate * 2**30 == pytest.approx(10 * 1024 * 16 * 64 * 2)


def test_embeddings_for_each_layer_are_in_an_index_and_not_counted(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG | {"hidden_size_per_layer_input": 256}), encoding="utf-8")
    with pytest.raises(SizingError, match=r"hidden_size_per_layer_input.*--weights GIB"):
        sources.read_model(str(tmp_path))
    assert weights_gib(sources.read_model(str(tmp_path), 9.5)) == 9.5


@pytest.mark.parametrize(("algorithm", "size"), [("FP8", 1.0), ("NVFP4", 0.5625)])
def test_a_checkpoint_may_say_in_another_file_that_it_is_quantised(tmp_path: Path, algorithm: str, size: float) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    plain = sources.read_model(str(tmp_path))
    said = {"quant_algo": algorithm, "kv_cache_quant_algo": "FP8", "exclude_modules": ["lm_head"]}
    document = {"producer": {"name": "modelopt"}, "quantization": said}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(document), encoding="utf-8")
    found = sources.read_model(str(tmp_path / "config.json"))
    linear = weights_gib(plain) * 2**30 - 2 * 2 * 32000 * 1024
    assert weights_gib(found) * 2**30 == pytest.approx(2 * 2 * 32000 * 1024 + linear / 2 * size)
    assert found.quantization.kv_cache_is_small
    assert not plain.quantization.kv_cache_is_small


@pytest.mark.parametrize("key", [{"is_causal": False}, {"use_bidirectional_attention": True}], ids=str)
def test_a_model_that_reads_in_both_directions_keeps_nothing(key: dict[str, Any]) -> None:
    assert set(Model.from_config(CONFIG | key).kinds) == {"encoder"}
    assert "encoder" not in Model.from_config(CONFIG | {"use_bidirectional_attention": "vision"}).kinds


def test_latent_attention_counts_only_where_vllm_compresses_it() -> None:
    latent = {"kv_lora_rank": 256, "qk_nope_head_dim": 64, "qk_rope_head_dim": 32, "v_head_dim": 64}
    assert Model.from_config(CONFIG | latent | {"model_type": "deepseek_v3"}).kv_lora_rank == 256
    with pytest.raises(SizingError, match="vLLM keeps whole keys and values for minicpm3"):
        Model.from_config(CONFIG | latent | {"model_type": "minicpm3"})


def test_the_whole_models_type_of_numbers_counts_and_not_a_parts() -> None:
    nested = {"torch_dtype": "float32", "text_config": CONFIG | {"torch_dtype": "bfloat16"}}
    assert weights_gib(Model.from_config(nested, 8.0)) == 4.0


def test_a_head_that_a_class_ties_by_default_is_counted_once() -> None:
    tied, said = CONFIG | {"model_type": "cohere2"}, {"tie_word_embeddings": True}
    assert weights_gib(Model.from_config(tied)) == weights_gib(Model.from_config(CONFIG | said))


def test_a_vision_tower_is_as_wide_as_its_patches() -> None:
    """What it hands on is wider in Qwen2-VL."""
    vision = {"depth": 2, "embed_dim": 128, "hidden_size": 1024, "mlp_ratio": 4, "model_type": "qwen2_vl"}
    tower = weights_gib(Model.from_config(CONFIG | {"vision_config": vision})) - weights_gib(Model.from_config(CONFIG))
    assert tower * 2**30 == pytest.approx(2 * 128 * (4 * 128 + 2 * 512) * 2)


def test_weights_of_a_tower_that_hears_are_not_counted() -> None:
    hearing = CONFIG | {"audio_config": {"num_hidden_layers": 32}}
    with pytest.raises(SizingError, match=r"audio_config.*--weights GIB"):
        weights_gib(Model.from_config(hearing))
    assert weights_gib(Model.from_config(hearing, 9.0)) == 9.0


@pytest.mark.parametrize(
    "same",
    [
        {"sliding_window": 64, "sliding_window_size": 64},
        {"num_layers": CONFIG["num_hidden_layers"]},
        {"sliding_window_pattern": "LLLG", "layer_types": ["full_attention"] * CONFIG["num_hidden_layers"]},
        {"mamba_n_heads": 128, "layer_types": ["attention"] * CONFIG["num_hidden_layers"]},
    ],
    ids=str,
)
def test_what_is_said_twice_is_taken(same: dict[str, Any]) -> None:
    Model.from_config(CONFIG | same)


def test_a_key_with_a_known_meaning_is_not_to_be_left_out() -> None:
    with pytest.raises(SizingError, match="moe_num_experts describes experts") as refused:
        Model.from_config(CONFIG | {"moe_num_experts": 64})
    assert "without it" not in str(refused.value)
