"""What `inv offers` shows about machines: for models that chat, and for models that draw."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from conftest import offer
from planned import fleet_plan, run_plan

from capacity import offers, problems, views
from capacity.offers import Evaluation, evaluate
from console.errors import ExitCode, Failure
from deploy import guards
from deploy.api import Api
from deploy.changes import Change, Part
from deploy.dstack.answers import Machine, RunPlan
from deploy.environments import Environment
from deploy.offers import current_offers
from deploy.plans import Plan

CONFIG = {"num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 14336, "num_attention_heads": 32}
CONFIG |= {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072}
CHATS = {"kind": "chat", "model": "a/b", "config": CONFIG, "weights_gib": 22.81}
DRAWS = {"kind": "pictures", "model": "a/b", "weights_gib": 19.2, "picture_gib": 24.8}
SERVICE = {"image": "vllm/vllm-openai:v0.28.0-cu128", "commands": ["vllm serve a/b --max-model-len 32K"]}
Serve = Callable[[Any], None]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Serve:
    """serve(model) makes this repository's service one of that model; it chats from the start."""
    path = tmp_path / "model.json"
    monkeypatch.setattr("capacity.served.PATH", path)

    def write(model: Any) -> None:
        path.write_text(json.dumps(model), encoding="utf-8")

    write(CHATS)
    return write


def listed(name: str, gib: int, price: float, backend: str = "runpod", disk_gib: int = 100) -> dict[str, Any]:
    """An offer as dstack lists it."""
    resources = {"gpus": [{"name": name, "memory_mib": gib * 1024}], "disk": {"size_mib": disk_gib * 1024}}
    return offer() | {"backend": backend, "price": price, "instance": {"name": name, "resources": resources}}


def machine(name: str, gib: int, price: float, backend: str = "runpod", disk_gib: int = 100) -> Machine:
    return Machine.model_validate(listed(name, gib, price, backend, disk_gib))


def shown(found: Evaluation, capsys: pytest.CaptureFixture[str], concurrent: int = 0) -> list[str]:
    views.offers(found, concurrent=concurrent)
    return capsys.readouterr().out.splitlines()


def test_a_model_that_draws_is_not_sized_and_nothing_is_missing(
    serve: Serve, capsys: pytest.CaptureFixture[str]
) -> None:
    """`inv size` is for models that chat; the size of this image is not published."""
    serve(DRAWS)
    service = {"image": "vllm/vllm-omni:v0.30.0"}
    found = evaluate(service, [machine("A100", 80, 1.2), machine("A40", 80, 0.6, "vastai")]).sorted_for(0)
    assert found.not_sized == ""
    assert [one.machine.price for one in found.offers] == [0.6, 1.2]
    assert found.shared_problems == {"cuda"}
    assert "concurrent" not in shown(found, capsys)[0]


def test_what_is_too_small_for_a_picture_or_the_weights_is_said(serve: Serve) -> None:
    serve(DRAWS)
    service = {"image": "vllm/vllm-omni:v0.30.0"}
    small, narrow = evaluate(service, [machine("T4", 16, 0.2), machine("A100", 80, 1.2, disk_gib=10)]).offers
    assert small.problems.keys() == {"cuda", "memory"}
    assert narrow.problems.keys() == {"cuda", "disk"}


HYBRID = CONFIG | {"full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 48}
HYBRID |= {"linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4}


@pytest.fixture
def hybrid(serve: Serve) -> dict[str, Any]:
    """A service of a model with states, with more sequences than a small machine has blocks."""
    serve(CHATS | {"config": HYBRID})
    return SERVICE | {"commands": ["vllm serve a/b --max-model-len 32K --max-num-seqs 1000"]}


def test_more_sequences_than_blocks_are_warned_of(hybrid: dict[str, Any]) -> None:
    small, large = evaluate(hybrid, [machine("A40", 48, 0.6), machine("A100", 80, 1.2)]).offers
    assert "sequences" in small.problems
    assert "sequences" not in large.problems
    assert (small.requests, small.as_json()["fits"]) == (0, False)


@pytest.mark.parametrize(
    ("machines", "seqs", "refused"),
    [(["A40"], 1000, True), (["A40"], 32, False), (["A40", "A100"], 1000, False), ([], 1000, False)],
)
def test_a_deploy_that_would_start_on_no_offer_is_refused(
    hybrid: dict[str, Any], environment: Environment, machines: list[str], seqs: int, refused: bool
) -> None:
    memory = {"A40": 48, "A100": 80}
    commands = [line.replace("1000", str(seqs)) for line in hybrid["commands"]]
    service = environment.service | {"commands": commands, "env": {}}
    offered = [machine(name, memory[name], 1.0) for name in machines]
    parts = {"fleet": Part(Change.UNCHANGED), "service": Part(Change.CREATE)}
    plan = Plan(replace(environment, service=service), parts, offered, 0.0, fleet_plan("0..2"), run_plan(None, {}))
    blocks = plan.evaluation.offers[0].fit.kv_cache_blocks if offered and plan.evaluation.offers[0].fit else 0
    if not refused:
        return guards.refuse_sequences(plan)
    with pytest.raises(Failure, match=f"--max-num-seqs 1,000 is more than the {blocks} blocks") as failed:
        guards.refuse_sequences(plan)
    assert failed.value.code == ExitCode.SETTINGS_INVALID
    assert f"set MAX_NUM_SEQS to {blocks} or less" in str(failed.value)
    assert "on the A40 48 GB" in str(failed.value)


@pytest.mark.usefixtures("serve")
def test_the_cheapest_for_what_it_answers_comes_first(capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate(SERVICE, [machine("RTX4090", 24, 0.2), machine("A40", 48, 0.6), machine("A100", 80, 1.2)])
    assert found.not_sized == ""
    first, second, last = found.sorted_for(0).offers
    assert [one.machine.price for one in (first, second, last)] == [1.2, 0.6, 0.2]
    assert last.requests == 0
    assert "price_per_request" not in last.as_json()  # not even one fits
    assert first.as_json()["price_per_month"] == 876
    # an A40 answers three requests, an A100 nine: for two the smaller one is the cheaper, for nine the larger
    assert [first.requests, second.requests] == [9, 3]
    for concurrent, price, cheapest in ((2, "0.600", 0.6), (4, "1.200", 0.6), (9, "1.200", 1.2), (19, "3.600", 1.2)):
        asked = found.sorted_for(concurrent)
        assert asked.offers[0].machine.price == cheapest
        title, line, *_ = shown(asked, capsys, concurrent)
        assert title.split("  ")[-1].strip() == f"$/h for {concurrent}"
        assert line.split()[-1] == price


def test_offers_of_an_unknown_model_are_listed_by_price(serve: Serve, capsys: pytest.CaptureFixture[str]) -> None:
    serve({"kind": "chat", "model": "a/b", "config": None, "weights_gib": None})
    found = evaluate(SERVICE, [machine("A100", 80, 1.2), machine("A40", 48, 0.6)]).sorted_for(0)
    assert "--config a/b" in found.not_sized
    assert [one.machine.price for one in found.offers] == [0.6, 1.2]
    assert "fits" not in found.offers[0].as_json()
    title, *_, last = shown(found, capsys)
    assert "concurrent" not in title
    assert last.startswith("not sized: ")


@pytest.mark.parametrize("model", [[], {"kind": "chats", "model": "a/b"}, {"kind": "chat"}])
def test_a_model_of_another_form_leaves_the_offers_without_a_size(serve: Serve, model: Any) -> None:
    serve(model)
    found = evaluate(SERVICE, [machine("A40", 48, 0.6)])
    assert found.not_sized.startswith("capacity/model.json: ")
    assert [one.fit for one in found.offers] == [None]


@pytest.mark.usefixtures("serve")
def test_what_every_offer_has_is_said_once_below_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    service = SERVICE | {"image": "vllm/vllm-openai:v0.28.0"}
    found = evaluate(service, [machine("A40", 48, 0.4), machine("A40", 48, 0.6)], price_limit=0.5)
    assert [found.warnings_of(one) for one in found.offers] == [(), ("price",)]
    lines = shown(found, capsys)
    assert "warnings" in lines[0]
    assert [line.split()[-1] == "price" for line in lines[1:3]] == [False, True]
    assert [line.partition(":")[0] for line in lines if "cuda" in line] == ["cuda (every offer)"]
    assert any(line.startswith("price: $0.60") for line in lines)
    assert "warnings" not in shown(found.first(1), capsys)[0]


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
        ("vllm/vllm-omni:v0.30.0", 13.0),
        ("vllm/vllm-omni:v0.14.0", None),
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
    assert problems.cuda_version(image) == cuda


def test_offers_are_asked_for_within_the_fleets_limits(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def plan(_: Api, service: Any, *__: Any, **___: Any) -> RunPlan:
        asked.append(service)
        offered = {"job_plans": [{"offers": [listed("A40", 48, 0.6)]}]}
        return RunPlan.model_validate({"action": "create", "run_spec": {}, "effective_run_spec": {}} | offered)

    monkeypatch.setattr(Api, "plan_run", plan)
    limited = replace(environment, fleet=environment.fleet | {"max_price": 1.5, "regions": ["EU"]})
    found = current_offers(replace(limited, max_price_per_hour=0.5))
    assert [(service["max_price"], service["regions"]) for service in asked] == [(1.5, ["EU"])]
    assert ["price" in one.problems for one in found.offers] == [True]
    with pytest.raises(Failure, match=r"service\.replica: dstack has no such key"):
        current_offers(replace(environment, service=environment.service | {"replica": 2}))


@pytest.mark.parametrize(
    ("image", "backend", "disk_gib", "limit", "found"),
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
    image: str, backend: str, disk_gib: int, limit: float | None, found: set[str]
) -> None:
    there = machine("A40", 48, 0.4, backend, disk_gib)
    assert problems.problems({"image": image}, there, price_limit=limit).keys() == found


def test_no_offer_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(offers.Evaluation(), capsys) == ["No offer: no cloud has what service.resources asks for."]
