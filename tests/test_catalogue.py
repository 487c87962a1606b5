"""What the template knows of a model, and what it guesses of one that it doesn't know."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from dstack._internal.core.models.configurations import ServiceConfiguration, parse_apply_configuration
from dstack._internal.core.models.resources import GPUSpec

from template_extensions import known_model
from tests.rendered import ROOT, Bake

CATALOGUE: dict[str, Any] = yaml.safe_load((ROOT / "models.yml").read_text("utf-8"))


def service(project: Path) -> ServiceConfiguration:
    configuration = parse_apply_configuration(yaml.safe_load((project / "dstack" / "service.dstack.yml").read_text()))
    assert isinstance(configuration, ServiceConfiguration)
    return configuration


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
@pytest.mark.parametrize("model_id", CATALOGUE)
def test_a_model_of_the_catalogue_is_served_as_it_says(baked: Bake, model_id: str, precision: str) -> None:
    entry, configuration = CATALOGUE[model_id], service(baked(model_id=model_id, precision=precision))
    command = " ".join(configuration.commands)
    assert f"vllm serve {model_id} " in command
    for flag in entry["flags"] + entry["gpu"][precision].get("flags", []):
        assert f" {flag}" in command
    assert configuration.env.as_dict()["MAX_MODEL_LEN"] == str(entry["context"])
    assert ("HF_TOKEN" in configuration.env.as_dict()) == entry["gated"]
    gpu = configuration.resources.gpu
    wanted = GPUSpec.model_validate({key: entry["gpu"][precision][key] for key in ("memory", "compute_capability")})
    assert gpu is not None
    assert (gpu.memory, gpu.compute_capability) == (wanted.memory, wanted.compute_capability)


@pytest.mark.parametrize("model_id", [*CATALOGUE, "somebody/Unknown-70B"])
def test_sizing_gets_the_numbers_of_the_model(baked: Bake, model_id: str) -> None:
    numbers = json.loads((baked(model_id=model_id) / "sizing" / "model.json").read_text("utf-8"))
    entry = CATALOGUE.get(model_id, {"config": None, "weights_gib": None})
    assert numbers == {"model": model_id, "config": entry.get("config"), "weights_gib": entry["weights_gib"]}


@pytest.mark.parametrize(
    ("name", "precision", "memory", "count"),
    [
        ("Chat-7B", "bf16", "24GB..48GB", 1),
        ("chat-7b-instruct", "fp8", "24GB..48GB", 1),
        ("Chat-13B", "bf16", "48GB..96GB", 1),
        ("Chat-70B", "bf16", "80GB..", 4),
        ("Chat-70B", "fp8", "80GB..", 2),
        ("Mixtral-8x7B", "bf16", "80GB..", 2),
        ("Chat-1.5B", "bf16", "24GB..48GB", 1),
        ("Chat-671B", "bf16", "80GB..", 8),
        ("Chat", "bf16", "80GB..", 1),
        ("chat-v2base", "fp8", "80GB..", 1),
    ],
)
def test_an_unknown_model_gets_cards_for_the_size_in_its_name(
    name: str, precision: str, memory: str, count: int
) -> None:
    guess = known_model(f"somebody/{name}", precision)
    assert (guess["memory"], guess["count"]) == (memory, count)
    assert not guess["known"]
    assert guess["gated"]


def test_a_guess_reserves_disk_for_the_weights_as_published() -> None:
    """fp8 is made while loading: the download has two bytes a parameter all the same."""
    bf16, fp8 = (known_model("somebody/Chat-70B", precision)["disk_gb"] for precision in ("bf16", "fp8"))
    assert fp8 == bf16 > 70 * 2 + 30


def test_a_guessed_service_spreads_over_its_cards(baked: Bake) -> None:
    configuration = service(baked(model_id="somebody/Chat-70B"))
    assert "--tensor-parallel-size 4" in " ".join(configuration.commands)
    assert configuration.resources.gpu is not None
    assert configuration.resources.gpu.count.min == 4
