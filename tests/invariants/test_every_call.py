"""One fault at one call of one command: every combination, or with HUNT_EVERY=N each N-th of them."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterator

import pytest

from tests.invariants.person import Project
from tests.invariants.promises import BrokenPromiseError
from tests.invariants.stage import VALUE, Stage
from tests.invariants.transport import Kind, Trouble

EVERY = int(os.environ.get("HUNT_EVERY", "211"))  # a prime: each kind of fault meets each stretch of calls in turn
MOST = 30  # calls of a command that are tried
SHOWN = 8  # of the faults found


def _first(_: Stage) -> None:
    """A first deploy."""


def _running(stage: Stage) -> None:
    assert stage.people[0].inv("deploy", "--yes").code == 0
    stage.server.advance(30)


def _rolling(stage: Stage) -> None:
    _running(stage)
    stage.write(0, VALUE)


def _crashing(stage: Stage) -> None:
    _rolling(stage)
    stage.server.state.conditions.crashing = True


def _hanging_first(stage: Stage) -> None:
    stage.server.state.conditions.unready = True


def _sold_out(stage: Stage) -> None:
    _rolling(stage)
    stage.server.state.conditions.capacity = False


def _in_place(stage: Stage) -> None:
    _running(stage)
    stage.write(0, "service.replicas", 2)


def _restart(stage: Stage) -> None:
    _running(stage)
    stage.write(0, "service.stop_duration", "4m")


def _gateway(stage: Stage) -> None:
    _running(stage)
    stage.write(0, "gateway", {})


def _without_gateway(stage: Stage) -> None:
    stage.write(0, "gateway", {})
    _running(stage)
    stage.write(0, "gateway")


SCENES: dict[str, tuple[Callable[[Stage], None], str]] = {
    "first": (_first, "deploy"),
    "hanging first": (_hanging_first, "deploy"),
    "rolling": (_rolling, "deploy"),
    "crashing": (_crashing, "deploy"),
    "sold out": (_sold_out, "deploy"),
    "in place": (_in_place, "deploy"),
    "restart": (_restart, "deploy"),
    "gateway": (_gateway, "deploy"),
    "gateway removed": (_without_gateway, "deploy"),
    "destroy": (_running, "destroy"),
    "destroy a gateway": (_without_gateway, "destroy"),
}


def troubles(at: int) -> Iterator[Trouble]:
    """Everything that can happen at a call."""
    for status in (429, 500, 502, 503, 408, 520):
        yield Trouble("error", at, status=status)
    for body in ("null", "{}", "[]", "<html>", ""):
        yield Trouble("answer", at, status=200, body=body)
    yield Trouble("answer", at, status=301, location="https://dstack.example/")
    kinds: tuple[Kind, ...] = ("lost", "dropped", "interrupt", "terminate", "kill")
    for kind in kinds:
        yield Trouble(kind, at)
    yield Trouble("slow", at, seconds=130.0)
    yield Trouble("error", at, times=200, status=500)
    yield Trouble("lost", at, times=3)


@pytest.mark.parametrize("scene", SCENES)
def test_one_fault_at_one_call_breaks_no_promise(hunted: Project, scene: str) -> None:
    prepare, word = SCENES[scene]
    prepared = Stage(hunted)
    prepare(prepared)
    combinations = [trouble for at in range(1, MOST + 1) for trouble in troubles(at)]
    found: dict[str, str] = {}
    for trouble in combinations[len(scene) % EVERY :: EVERY]:
        stage = Stage(hunted, copy.deepcopy(prepared.server), writings=prepared.writings)
        for person, before in zip(stage.people, prepared.people, strict=True):
            person.file = copy.deepcopy(before.file)
        try:
            stage.do(0, word, "--yes", trouble=trouble)
            stage.settle(0)
            stage.clear_away()
        except BrokenPromiseError as broken:
            found.setdefault(str(broken).splitlines()[0], f"{trouble}\n{broken}")
    assert not found, f"{len(found)} faults\n" + "\n\n".join(list(found.values())[:SHOWN])
