"""Sizing, on numbers small enough to check by hand; the template compares it with what vLLM logged."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from capacity import cards, memory, sources, views
from capacity.attention import Layer, layers
from capacity.errors import INDEX, SizingError
from capacity.flags import Flags, service_flags
from capacity.kv_cache import KVCache
from capacity.model import Model
from capacity.served import served_model
from capacity.weights import weights_gib
from console.errors import ExitCode, Failure
from deploy.environments import Environment
from operate.sizes import sizes

# 10 layers x 2 x 4 KV heads x 64 x 2 bytes: 10,240 bytes a token
CONFIG: dict[str, Any] = {"num_hidden_layers": 10, "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 32000}
CONFIG |= {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64, "max_position_embeddings": 8192}


def flags(**overrides: Any) -> Flags:
    return Flags.model_validate(overrides)


def cache(gib: float, **config: Any) -> KVCache:
    return KVCache(layers(Model.from_config(CONFIG | config), 2, 1), gib, in_flight=2048)


def test_the_kv_cache_keeps_a_key_and_a_value_for_each_kv_head() -> None:
    assert cache(1).blocks == 2**30 // (16 * 10240)
    assert cache(1).tokens(8192) == cache(1).blocks * 16


def test_latent_attention_keeps_one_vector_on_every_gpu() -> None:
    model = Model.from_config(CONFIG | {"kv_lora_rank": 512, "qk_rope_head_dim": 64})
    assert layers(model, 2, 1) == layers(model, 2, 4) == {Layer(1152, None): 10}


def test_kv_heads_are_spread_but_never_less_than_one_to_a_gpu() -> None:
    assert [set(layers(Model.from_config(CONFIG), 2, parallel)) for parallel in (2, 4, 8)] == [
        {Layer(2 * heads * 64 * 2, None)} for heads in (2, 1, 1)
    ]


def test_null_in_a_config_counts_as_absent() -> None:
    unsaid = dict.fromkeys(("sliding_window", "quantization_config", "num_experts", "tie_word_embeddings"))
    assert Model.from_config(CONFIG | unsaid) == Model.from_config(CONFIG)


def test_a_sliding_window_keeps_itself_and_the_batch_at_work() -> None:
    sliding = {"layer_types": ["sliding_attention", "full_attention"] * 5, "sliding_window": 1024}
    whole, half = cache(1).concurrency(8192), cache(1, **sliding).concurrency(8192)
    assert half / whole == pytest.approx(2 * 8192 / (8192 + 1024 - 1 + 2048), rel=0.01)


def test_more_memory_never_holds_fewer_requests_and_full_length_is_what_fits() -> None:
    fits = [
        memory.size(Model.from_config(CONFIG), flags(max_model_len="auto"), gib) for gib in (1.5, 2.0, 2.2, 4.0, 24.0)
    ]
    assert [fit.max_model_len for fit in fits] == sorted(fit.max_model_len for fit in fits)
    assert not fits[0].fits
    assert fits[-1].max_model_len == 8192
    assert fits[-1].requests == 256  # vLLM's own --max-num-seqs


def test_the_flags_of_the_service_are_what_is_sized(environment: Environment) -> None:
    """A model's are variables of `env`, read through the command; one that draws has none of them."""
    found, written = flags(**service_flags(environment.service)), environment.service["env"]
    named = {"utilization": "GPU_MEMORY_UTILIZATION", "max_num_seqs": "MAX_NUM_SEQS", "max_model_len": "MAX_MODEL_LEN"}
    expected = flags(**{flag: written[name] for flag, name in named.items() if name in written})
    assert [getattr(found, flag) for flag in named] == [getattr(expected, flag) for flag in named]
    assert ("MAX_MODEL_LEN" in written) == (served_model().kind != "pictures")


def test_a_model_that_draws_is_not_sized(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"kind": "pictures", "model": "a/b"}), encoding="utf-8")
    monkeypatch.setattr("capacity.served.PATH", path)
    with pytest.raises(SizingError, match="no KV cache to size; `inv offers`"):
        sources.read_model()


def test_lower_case_k_is_a_thousand_as_in_vllm() -> None:
    assert (flags(max_model_len="32K").max_model_len, flags(max_model_len="32k").max_model_len) == (32768, 32000)


@pytest.mark.parametrize(
    ("name", "mib", "gib"),
    [("L40S", 49152, 44.4), ("L40S", 46068, 44.4), ("A100", 81920, 79.25), ("B7", 49152, 43.92), ("B7", 49140, 47.24)],
)
def test_a_card_has_less_memory_than_it_is_sold_with(name: str, mib: int, gib: float) -> None:
    assert cards.listed_card(name, mib, 1).gib == gib


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ("{", "Expecting property name"),
        ("[]", "is no JSON object"),
        ("{}", "num_hidden_layers: Field required"),
        (CONFIG | {"layer_types": ["rwkv"] * 10}, "layers of rwkv"),
        (CONFIG | {"layer_types": ["mamba"] * 10}, "no layer with a KV cache"),
        (CONFIG | {"layer_types": ["full_attention"] * 3}, "layer_types or num_kv_shared_layers don't fit 10 layers"),
        (CONFIG | {"num_kv_shared_layers": 10}, "layer_types or num_kv_shared_layers don't fit 10 layers"),
        (CONFIG | {"head_dim": None, "hidden_size": 8}, "hidden_size 8 is too small for 16 heads"),
        (CONFIG | {"text_config": {"model_type": "llama4_text"}}, "llama4_text are not counted.*--weights GIB"),
        (CONFIG | {"quantization_config": {"quant_method": "ebcdic"}}, "ebcdic.*--weights GIB"),
        (CONFIG | {"quantization_config": {"quant_method": "awq"}}, "num_bits"),
    ],
)
def test_a_wrong_config_is_refused_in_one_line(tmp_path: Path, config: Any, problem: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(config if isinstance(config, str) else json.dumps(config), encoding="utf-8")
    with pytest.raises(SizingError, match=problem) as refused:
        sources.read_model(str(path))
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("model", "problem"),
    [("[]", "its content []"), ("{", "its content"), ('{"kind": "chat"}', "model: Field required")],
)
def test_a_wrong_description_of_the_own_model_is_refused_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: str, problem: str
) -> None:
    path = tmp_path / "model.json"
    path.write_text(model, encoding="utf-8")
    monkeypatch.setattr("capacity.served.PATH", path)
    with pytest.raises(SizingError) as refused:
        sources.read_model()
    assert str(refused.value).startswith(f"capacity/model.json: {problem}")
    assert str(refused.value).count("model.json") == 1


@pytest.mark.parametrize(
    "overrides", [{"tp": "3"}, {"utilization": "92"}, {"max_num_seqs": "x"}, {"kv_cache_dtype": "x"}]
)
def test_a_wrong_flag_is_refused_in_one_line(
    environment: Environment, tmp_path: Path, overrides: dict[str, str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    with pytest.raises(Failure) as refused:
        sizes(environment, overrides, config=str(tmp_path), gpu_memory="24")
    assert refused.value.code == ExitCode.SETTINGS_INVALID


def test_weights_come_from_the_index_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {"total_size": 3 * 2**30}}), encoding="utf-8")
    assert weights_gib(sources.read_model(str(tmp_path))) == 3
    assert weights_gib(sources.read_model(str(tmp_path), 2.5)) == 2.5
    (tmp_path / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": {}}), encoding="utf-8")
    assert weights_gib(sources.read_model(str(tmp_path))) == weights_gib(Model.from_config(CONFIG))  # counted


def test_the_table_has_every_number_under_its_title(
    environment: Environment, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG), encoding="utf-8")
    found = sizes(environment, {"max_model_len": "2K"}, config=str(tmp_path), gpu_memory="22.03")
    views.sizes(found, json=False)
    titles, numbers = (re.split(r" {2,}", line.strip()) for line in capsys.readouterr().out.splitlines())
    shown, fit = dict(zip(titles, numbers, strict=True)), found[0].fit
    gib = {"GiB": 22.03, "weights": fit.weights_gib, "overhead": fit.overhead_gib, "KV cache": fit.kv_cache_gib}
    counts = {"tokens": fit.kv_cache_tokens, "request": 2048, "concurrent": fit.requests, "needs": 1}
    assert shown == {"GPU": "1x L4"} | {title: f"{size:.2f}" for title, size in gib.items()} | {
        title: f"{count:,}" for title, count in counts.items()
    }
    views.sizes(found, json=True, single=True)
    assert json.loads(capsys.readouterr().out) == found[0].as_json()
