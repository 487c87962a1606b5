"""How many bytes a parameter has in a quantised checkpoint, module by module."""

from __future__ import annotations

from typing import Any

import pytest

from capacity.errors import SizingError
from capacity.quantization import Quantization

LAYERS = [0, 1, 2, 3]
NVFP4 = {"num_bits": 4, "type": "float", "group_size": 16}
FP8 = {"num_bits": 8, "type": "float"}
MIXED = {
    "quant_method": "modelopt",
    "quant_algo": "MIXED_PRECISION",
    "config_groups": {
        "a": {"weights": FP8, "targets": [f"model.layers.{n}.linear_attn.in_proj_qkv" for n in LAYERS]},
        "b": {"weights": NVFP4, "targets": ["lm_head", *(f"model.layers.{n}.mlp.down_proj" for n in (0, 1))]},
    },
    "ignore": ["mtp*"],
}


def quantization(**settings: Any) -> Quantization:
    return Quantization.model_validate(settings)


@pytest.mark.parametrize(
    ("settings", "size"),
    [
        ({}, 2.0),
        ({"quant_method": "fp8"}, 1.0),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, 0.5625),
        ({"quant_algo": "FP8"}, 1.0),
        ({"quant_method": "mxfp4"}, 0.53125),
        ({"quant_method": "awq", "bits": 4, "group_size": 128}, 0.5 + 2.5 / 128),
        (
            {"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": NVFP4, "targets": ["Linear"]}}},
            0.5625,
        ),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": FP8}}}, 1.0),
    ],
    ids=str,
)
def test_a_parameter_has_the_bytes_of_its_format(settings: dict[str, Any], size: float) -> None:
    assert quantization(**settings).bytes_of("self_attn", LAYERS) == size


@pytest.mark.parametrize(
    ("ignored", "size"),
    [
        (["lm_head"], 1.0),
        (["model.layers.*.self_attn"], 2.0),
        (["re:.*self_attn.*"], 2.0),
        (["model.layers.0.self_attn*"], 1.25),
        ([f"model.layers.{number}.self_attn.{part}_proj" for number in (1, 2) for part in "qkvo"], 1.5),
        (["model.layers.9.self_attn*"], 1.0),  # a layer for drafts
        ([f"model.layers.{number}.self_attn.kv_a_layernorm" for number in LAYERS], 1.0),
        (["model.layers.0.self_attn.indexer.k_norm", "model.layers.0.self_attn.indexers_proj"], 1.0),
    ],
    ids=str,
)
def test_what_is_ignored_stays_as_it_was_trained(ignored: list[str], size: float) -> None:
    for key in ("ignore", "modules_to_not_convert", "exclude_modules"):
        assert quantization(quant_method="fp8", **{key: ignored}).bytes_of("self_attn", LAYERS) == size


def test_the_gate_of_a_shared_expert_is_not_the_shared_expert() -> None:
    gate = quantization(quant_method="fp8", ignore=["model.layers.0.mlp.shared_expert_gate"])
    assert gate.bytes_of("shared_experts?", LAYERS) == 1.0
    expert = quantization(quant_method="fp8", ignore=["model.layers.0.mlp.shared_expert*"])
    assert expert.bytes_of("shared_experts?", LAYERS) == 1.25


def test_groups_that_name_modules_are_for_those_alone() -> None:
    mixed = quantization(**MIXED)
    assert mixed.bytes_of("linear_attn", LAYERS) == 1.0
    assert mixed.bytes_of("mlp", LAYERS) == (0.5625 + 2.0) / 2
    assert mixed.bytes_of("self_attn", LAYERS) == 2.0
    assert mixed.bytes_of_head == 0.5625
    assert mixed.keeps_drafts
    assert quantization(quant_method="fp8").bytes_of_head == 2.0
    assert not quantization(quant_method="fp8").keeps_drafts


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"quant_method": "ebcdic"}, "the method 'ebcdic'"),
        ({"quant_method": "modelopt", "quant_algo": "W9A9"}, "the algorithm 'W9A9'"),
        ({"quant_method": "awq"}, "no num_bits"),
    ],
)
def test_a_format_that_is_not_known_is_refused(settings: dict[str, Any], problem: str) -> None:
    with pytest.raises(SizingError, match=rf"{problem}.*--weights GIB"):
        quantization(**settings).bytes_of("self_attn", LAYERS)


@pytest.mark.parametrize(
    ("said", "small"),
    [
        ({}, False),
        ({"kv_cache_quant_algo": "FP8"}, True),
        ({"kv_cache_scheme": "FP8"}, True),
        ({"kv_cache_scheme": FP8}, True),
        ({"kv_cache_scheme": NVFP4}, False),
        ({"kv_cache_quant_algo": None}, False),
    ],
    ids=str,
)
def test_a_checkpoint_may_ask_for_a_small_kv_cache(said: dict[str, Any], small: bool) -> None:
    assert quantization(quant_method="modelopt", **said).kv_cache_is_small == small
