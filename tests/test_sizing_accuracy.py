"""How far `inv size` is from what vLLM logged: tests/sizing_data/points.json, start-up logs, one by one.

Most logs are published ones. Those of an H200 were measured with vLLM 0.24.0 and random weights, after the calculator
had been fitted to the others.

No model hub was asked for tests/sizing_data/models.json. The configurations are public knowledge, cross-checked with
parameter counts; `total_size` is that of the safetensors index as quoted in public repositories, null where none was
found. Run as a module, this prints the table that capacity/README.md shows.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cookiecutter.main import cookiecutter

from tests.rendered import ROOT, Bake

DATA = Path(__file__).with_name("sizing_data")
POINTS: list[dict[str, Any]] = json.loads((DATA / "points.json").read_text("utf-8"))
MODELS: dict[str, dict[str, Any]] = json.loads((DATA / "models.json").read_text("utf-8"))
TEMPLATE = ROOT / "<<cookiecutter.project_slug>>"
GIB = 2**30
# what may be off, as a share of what vLLM logged: the least, the most
LIMITS = {"weights, index": (-0.01, 0.01), "weights, counted": (-0.03, 0.03), "tokens": (-0.01, 0.01)}
LIMITS |= {"concurrency": (-0.01, 0.01), "end to end": (-0.08, 0.03), "block": (0, 0), "blocks": (0, 0)}
SLACK_GIB = (-0.5, 0.25)  # of an end-to-end KV cache: what may be off however small it is
MODULES = ("model", "memory", "flags", "cards", "weights", "drafts")
MISTRAL = "mistralai/Mistral-Small-3.2-24B-Instruct-2506"
NEMO = "mistralai/Mistral-Nemo-Instruct-2407"
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"
WHY = {
    "rocm": "vLLM on ROCm loads 0.7 GiB more than the checkpoint has",
    "ranks": "the log's GiB are one GPU's, its tokens those of the GPU with the least memory",
    "copies": "2.4 GiB too careful: this log has 4 copies of the logits, others of its time have 9.7",
    "small": "0.16 GiB beside the parameters, which matter for so small a model",
    "repacked": "which layers this checkpoint keeps in bf16 is not known",
    "made": "vLLM made fp8 of bf16 while it loaded, and took 0.45 GiB more than the weights have",
    "v0": "vLLM of 2024, engine V0, tried one batch of 20,000 tokens; the default today is 2,048",
}
MISSES = {
    ("google/gemma-3-27b-it", "MI300X-class (ROCm)", "weights, index"): WHY["rocm"],
    ("Qwen/Qwen3-235B-A22B-FP8", "4x H100", "tokens"): WHY["ranks"],
    (MISTRAL, "H100", "end to end"): WHY["copies"],
    (LLAMA, "RTX 3090", "end to end"): WHY["v0"],
    (NEMO, "H200 (fp8)", "weights, index"): WHY["made"],
    (NEMO, "H200 (fp8)", "weights, counted"): WHY["made"],
    ("Qwen/Qwen3.5-0.8B", "A100 80GB", "weights, counted"): WHY["small"],
    ("nvidia/Qwen3.5-122B-A10B-NVFP4", "Jetson Thor 128 GB", "weights, counted"): WHY["repacked"],
}


def tokens_of_every_layer(cache: Any) -> int:
    """What vLLM up to 0.20 logged as the KV cache's size: as if every layer kept every token."""
    tokens: int = cache.blocks // sum(group.count for group in cache.groups) * cache.block
    return tokens


class Point:
    """A published log, and what sizing says of the same; shares are sized / logged - 1."""

    def __init__(self, point: dict[str, Any]) -> None:
        model, memory, flags, cards, weights, drafts = (importlib.import_module(f"capacity.{m}") for m in MODULES)
        config, total = MODELS[point["model"]]["config"], MODELS[point["model"]]["total_size"]
        self.logged, parallel = point, point["tp"]
        counted = model.Model.from_config(config)
        published = model.Model.from_config(config, total / GIB if total else None)
        given = {"utilization": point["util"], "tp": parallel, "max_model_len": point.get("max_model_len")}
        given |= point.get("flags", {})
        flagged = flags.Flags.model_validate({key: value for key, value in given.items() if value is not None})
        cache = memory.kv_cache(published, flagged, point.get("kv_gib", 0), point.get("batched", 8192))
        drafting = drafts.drafting_layers(published, flagged)
        from_index, by_count = (
            weights.weights_gib(known, flagged.quantization, drafting=drafting) / parallel
            for known in (published, counted)
        )
        sized: dict[str, Any] = {
            "weights, index": from_index if total else None,
            "weights, counted": by_count,
            "block": cache.block,
            "blocks": cache.blocks,
            **({} if "kv_gib" not in point else self._kept(cache)),
        }
        logged: dict[str, Any] = {
            "weights, index": point.get("weights_gib"),
            "weights, counted": point.get("weights_gib"),
            "block": point.get("attention_block"),
            "blocks": point.get("blocks"),
        }
        logged |= {"tokens": point.get("kv_tokens"), "concurrency": point.get("conc")}
        if point["util"] and "gpu_gib" in point and {"kv_gib", "kv_tokens"} & point.keys():
            card = cards.card_with(point["gpu_gib"], parallel)
            fit = memory.size(published, flagged, card.gib, parallel, card.name)
            by_tokens = "kv_gib" not in point
            sized["end to end"] = fit.kv_cache_tokens if by_tokens else fit.kv_cache_gib
            logged["end to end"] = point["kv_tokens"] if by_tokens else point["kv_gib"]
        self.sized, self.vllm = sized, logged
        self.shares = {
            name: value / logged[name] - 1 for name, value in sized.items() if value is not None and logged.get(name)
        }

    def _kept(self, cache: Any) -> dict[str, Any]:
        length = self.logged.get("max_model_len")
        if not length:
            return {"tokens": tokens_of_every_layer(cache)}
        old = self.logged.get("tokens_of_every_layer")
        tokens = tokens_of_every_layer(cache) if old else cache.tokens(length)
        return {"tokens": tokens, "concurrency": cache.concurrency(length)}

    def missed(self, name: str) -> bool:
        """Whether it is outside of the limits. An end-to-end KV cache may also be off by GiB."""
        least, most = LIMITS[name]
        if name not in self.shares or least <= self.shares[name] <= most:
            return False
        in_gib = name == "end to end" and "kv_gib" in self.logged
        return not (in_gib and SLACK_GIB[0] <= self.sized[name] - self.vllm[name] <= SLACK_GIB[1])

    def miss(self, name: str) -> str | None:
        """Why it is allowed to."""
        return MISSES.get((self.logged["model"], self.logged["gpu"], name))


@pytest.fixture(scope="module", autouse=True)
def capacity_of_a_rendering(baked: Bake) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(baked())
        yield


@pytest.mark.parametrize("name", LIMITS)
@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point['model'].split('/')[-1]} on {point['gpu']}")
def test_what_vllm_logged_is_what_is_sized(point: dict[str, Any], name: str) -> None:
    found = Point(point)
    why = f"{name}: sized {found.sized.get(name)}, vLLM {found.vllm.get(name)}"
    assert found.missed(name) == bool(found.miss(name)), f"{why} ({found.miss(name) or 'not named as a miss'})"


LATENT = {"kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128}
V2_LITE = {"hidden_size": 2048, "intermediate_size": 10944, "num_hidden_layers": 27, "num_attention_heads": 16}
V2_LITE |= {"moe_intermediate_size": 1408, "n_routed_experts": 64, "n_shared_experts": 2, "first_k_dense_replace": 1}
V2_LITE |= LATENT | {"vocab_size": 102400}
V3 = {"hidden_size": 7168, "intermediate_size": 18432, "num_hidden_layers": 61, "num_attention_heads": 128}
V3 |= {"moe_intermediate_size": 2048, "n_routed_experts": 256, "n_shared_experts": 1, "first_k_dense_replace": 3}
V3 |= LATENT | {"vocab_size": 129280, "q_lora_rank": 1536}
MIXTRAL = {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32, "num_attention_heads": 32}
MIXTRAL |= {"num_key_value_heads": 8, "num_local_experts": 8, "vocab_size": 32000}
LLAMA_2 = {"hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": 32, "num_attention_heads": 32}
LLAMA_2 |= {"vocab_size": 32000}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128}


@pytest.mark.parametrize(
    ("config", "billions"), [(V2_LITE, 15.7), (V3, 671.0), (MIXTRAL, 46.7), (LLAMA_2, 6.74)], ids=str
)
def test_as_many_parameters_are_counted_as_the_makers_state(config: dict[str, Any], billions: float) -> None:
    model, weights = (importlib.import_module(f"capacity.{name}") for name in ("model", "weights"))
    assert weights.weights_gib(model.Model.from_config(config)) * GIB / 2 / 1e9 == pytest.approx(billions, rel=0.005)


@pytest.mark.parametrize(
    ("config", "quantization", "gb"),
    [
        (V3, {"quant_method": "fp8"}, 671.0 + 2 * 0.93),  # embeddings and lm_head of 129,280 x 7,168 stay bf16
        (LLAMA_2, GPTQ, 3.9),  # TheBloke/Llama-2-7B-GPTQ, as published
    ],
    ids=["fp8", "gptq"],
)
def test_quantised_weights_are_as_large_as_published(
    config: dict[str, Any], quantization: dict[str, Any], gb: float
) -> None:
    model, weights = (importlib.import_module(f"capacity.{name}") for name in ("model", "weights"))
    sized = weights.weights_gib(model.Model.from_config(config | {"quantization_config": quantization})) * GIB / 1e9
    assert sized == pytest.approx(gb, rel=0.01)


def test_every_miss_that_is_named_is_one_of_the_points() -> None:
    assert MISSES.keys() <= {(point["model"], point["gpu"], name) for point in POINTS for name in LIMITS}


def test_the_readme_shows_this_comparison() -> None:
    assert table() in (TEMPLATE / "capacity" / "README.md").read_text("utf-8"), "python -m tests.test_sizing_accuracy"


def table() -> str:
    """The comparison in Markdown."""
    rows = [
        "| model | GPU, vLLM | weights, GiB | tokens from KV cache | KV cache, end to end, GiB | |",
        "|---|---|---|---|---|---|",
    ]
    for found in map(Point, POINTS):
        logged = found.logged
        weights = "weights, index" if "weights, index" in found.shares else "weights, counted"
        misses = [f"{name}: {found.miss(name)}" for name in LIMITS if found.miss(name)]
        cells = [logged["model"].split("/")[-1], f"{logged['gpu']}, {logged.get('vllm', '?')}"]
        cells += [_cell(found, name) for name in (weights, "tokens", "end to end")]
        notes = misses or [logged[key] for key in ("note",) if key in logged]
        if cells[2:] == ["-", "-", "-"] and "block" in found.shares:
            notes.append(f"tokens of a block: {found.vllm['block']:,} → {found.sized['block']:,}")
        rows.append("| " + " | ".join([*cells, "; ".join(notes)]) + " |")
    return "\n".join(rows)


def _cell(found: Point, name: str) -> str:
    if name not in found.shares:
        return "-"
    digits = ",.0f" if found.vllm[name] > 1000 else ".2f"
    unit = " tokens" if name == "end to end" and "kv_gib" not in found.logged else ""
    counted = ", counted" if name.endswith("counted") else ""
    return f"{found.vllm[name]:{digits}} → {found.sized[name]:{digits}}{unit} ({found.shares[name]:+.1%}{counted})"


if __name__ == "__main__":
    with TemporaryDirectory() as folder:
        project = cookiecutter(str(ROOT), no_input=True, default_config=True, output_dir=folder)
        sys.path.insert(0, project)  # only now: cookiecutter puts another list into sys.path
        print(table())
