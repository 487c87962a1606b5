"""What is said of the machines on offer."""

from __future__ import annotations

#% if not cookiecutter.__pictures
import json

#% endif
from dataclasses import replace

#% if not cookiecutter.__pictures
from pathlib import Path

#% endif
from typing import Any

import pytest
from conftest import offer

from capacity import offers, views
from console.errors import Failure
from deploy.api import Api
from deploy.dstack.answers import Machine, RunPlan
from deploy.environments import Environment


def machine(name: str, gib: int, price: float, backend: str = "runpod", disk_gib: int = 100) -> dict[str, Any]:
    resources = {"gpus": [{"name": name, "memory_mib": gib * 1024}], "disk": {"size_mib": disk_gib * 1024}}
    return offer() | {"backend": backend, "price": price, "instance": {"name": name, "resources": resources}}


def on_offer(monkeypatch: pytest.MonkeyPatch, *machines: dict[str, Any]) -> None:
    plan = {"action": "create", "run_spec": {}, "effective_run_spec": {}, "job_plans": [{"offers": machines}]}
    monkeypatch.setattr(Api, "plan_run", lambda *_, **__: RunPlan.model_validate(plan))


#% if cookiecutter.__pictures
def test_nothing_is_said_of_a_size_that_nobody_knows(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """`inv size` is for models that chat; the size of this image is not published."""
    on_offer(monkeypatch, machine("A100", 80, 1.2, disk_gib=100), machine("A40", 80, 0.6, "vastai"))
    found, unsized = offers.find(environment)
    assert unsized is None
    assert [one.machine.price for one in found] == [0.6, 1.2]
    assert "at once" not in offers.rows(found)[0]
    assert offers.shared(found) == {"cuda"}


def test_what_is_too_small_for_a_picture_or_the_weights_is_said(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_offer(monkeypatch, machine("T4", 16, 0.2), machine("A100", 80, 1.2, disk_gib=10))
    (small, narrow), _ = offers.find(environment)
    assert small.problems.keys() == {"cuda", "memory"}
    assert narrow.problems.keys() == {"cuda", "disk"}


#% else
@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """sizing/model.json of a model that everything here is about."""
    config = {"num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 14336, "num_attention_heads": 32}
    config |= {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072}
    path = tmp_path / "model.json"
    path.write_text(json.dumps({"model": "a/b", "config": config, "weights_gib": 22.81}), encoding="utf-8")
    monkeypatch.setattr("capacity.sources.OWN", path)
    return path


@pytest.mark.usefixtures("model")
def test_the_cheapest_for_what_it_answers_comes_first(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    cheap, large, small = machine("A40", 48, 0.6), machine("A100", 80, 1.2), machine("RTX4090", 24, 0.2)
    on_offer(monkeypatch, small, cheap, large)
    service = environment.service | {"commands": ["vllm serve a/b --max-model-len 32K"]}
    found, unsized = offers.find(replace(environment, service=service))
    assert unsized is None
    assert [one.machine.price for one in found] == [1.2, 0.6, 0.2]
    assert "price_per_request" not in found[-1].as_json()  # not even one fits
    assert offers.rows(found)[-1]["at once"] == "0"
    assert found[0].as_json()["price_per_month"] == 876
    # an A40 answers three at once, an A100 nine: for two requests the smaller one is the cheaper, for nine the larger
    assert [found[0].fit.requests, found[1].fit.requests] == [9, 3]  # type: ignore[union-attr]
    for at_once, price, first in ((2, "0.600", 0.6), (4, "1.200", 0.6), (9, "1.200", 1.2), (19, "3.600", 1.2)):
        asked, _ = offers.find(replace(environment, service=service), at_once)
        assert asked[0].machine.price == first
        assert offers.rows(asked, at_once)[0][f"$/h for {at_once}"] == price


def test_offers_of_an_unknown_model_are_listed_by_price(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, model: Path
) -> None:
    model.write_text(json.dumps({"model": "a/b", "config": None, "weights_gib": None}), encoding="utf-8")
    on_offer(monkeypatch, machine("A100", 80, 1.2), machine("A40", 48, 0.6))
    found, unsized = offers.find(environment)
    assert "--config a/b" in str(unsized)
    assert [one.machine.price for one in found] == [0.6, 1.2]
    assert "fits" not in found[0].as_json()
    assert "at once" not in offers.rows(found)[0]


#% endif
def test_what_every_offer_has_is_said_once_below_the_table(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    on_offer(monkeypatch, machine("A40", 48, 0.4), machine("A40", 48, 0.6))
    limited = replace(environment, max_price_per_hour=0.5)
    found, _ = offers.find(replace(limited, service=environment.service | {"image": "vllm/vllm-openai:v0.28.0"}))
    assert [line["look out for"] for line in offers.rows(found)] == ["", "price"]
    views.offers(found, None)
    shown = capsys.readouterr().out
    assert shown.count("cuda") == 1
    assert "cuda (every offer): " in shown
    assert "price: $0.60" in shown
    assert "look out for" not in offers.rows(found[:1])[0]


@pytest.mark.parametrize(
    ("image", "cuda"),
    [
        ("vllm/vllm-openai:v0.28.0", 13.0),
        ("vllm/vllm-openai:v0.20.0", 13.0),
        ("docker.io/vllm/vllm-openai:v0.28.0", 13.0),
        ("vllm/vllm-openai:v0.28.0@sha256:0123", 13.0),
        ("vllm/vllm-openai:v0.28.0-cu129", 12.9),
        ("vllm/vllm-openai:v0.11.0-cu128@sha256:0123", 12.8),
        ("mirror.example.com:5000/vllm-openai:v0.28.0-cu129", 12.9),
#% if cookiecutter.__pictures
        ("vllm/vllm-omni:v0.30.0", 13.0),
        ("vllm/vllm-omni:v0.14.0", None),
#% endif
        ("vllm/vllm-openai:v0.19.1", None),  # 12.x, the tag does not say which
        ("vllm/vllm-openai@sha256:0123", None),
        ("vllm/vllm-openai@sha256:ab-cu129", None),
        ("vllm/vllm-openai:nightly", None),
        ("vllm/vllm-openai", None),
        ("mirror.example.com:5000/vllm-openai", None),
        ("", None),
    ],
)
def test_cuda_is_what_the_images_name_says(image: str, cuda: float | None) -> None:
    assert offers.cuda_of(image) == cuda


def test_offers_are_asked_for_within_the_fleets_limits(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def plan(_: Api, service: Any, *__: Any, **___: Any) -> RunPlan:
        asked.append(service)
        return RunPlan.model_validate({"action": "create", "run_spec": {}, "effective_run_spec": {}})

    monkeypatch.setattr(Api, "plan_run", plan)
    offers.find(replace(environment, fleet=environment.fleet | {"max_price": 1.5, "regions": ["EU"]}))
    assert [(service["max_price"], service["regions"]) for service in asked] == [(1.5, ["EU"])]
    with pytest.raises(Failure, match=r"service\.replica: dstack has no such key"):
        offers.find(replace(environment, service=environment.service | {"replica": 2}))


@pytest.mark.parametrize(
    ("image", "backend", "disk_gib", "limit", "problems"),
    [
        ("vllm/vllm-openai:v0.28.0-cu129", "runpod", 100, None, {"cuda"}),
        ("vllm/vllm-openai:v0.28.0", "runpod", 100, None, {"cuda"}),
        ("vllm/vllm-openai:v0.28.0-cu128", "vastai", 100, None, {"image"}),
        ("vllm/vllm-openai:v0.28.0-cu128", "runpod", 27, None, {"disk"}),
        ("vllm/vllm-openai:v0.28.0-cu128", "runpod", 100, 0.39, {"price"}),
        ("registry.example.com/engine:1", "vastai", 27, 0.4, set()),
    ],
)
def test_what_speaks_against_an_offer_is_said(
    environment: Environment, image: str, backend: str, disk_gib: int, limit: float | None, problems: set[str]
) -> None:
    asked = replace(environment, service=environment.service | {"image": image}, max_price_per_hour=limit)
    there = Machine.model_validate(machine("A40", 48, 0.4, backend, disk_gib))
    assert offers.problems(asked, there, None).keys() == problems
