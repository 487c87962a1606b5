"""The stand-in serves the whole life of a deployment, at a speed that thousands of lives need."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from dstack._internal.core.models.fleets import Fleet
from dstack._internal.core.models.runs import Run

from tests.invariants.person import KILLED, Person, Project
from tests.invariants.stand_in import endpoint, fleets
from tests.invariants.stand_in.server import Server
from tests.invariants.stand_in.written import run_json
from tests.invariants.transport import Trouble

Somebody = Callable[[str], Person]


def test_a_deployment_lives_and_dies(person: Somebody, stand_in: Server, hunted: Project) -> None:
    anna, began = person("anna"), time.monotonic()
    for value in ("1", "2"):
        anna.file["service"]["env"]["ROLLOUT"] = int(value)
        done = anna.inv("deploy", "--yes")
        assert (done.code, done.crash) == (0, None), done.said
        assert endpoint.values(stand_in.state, hunted.run_name) == [value]
        assert f"ROLLOUT is {value}" in done.output
    assert len(stand_in.state.machines) == 2  # the old one is still being released
    done = anna.inv("destroy", "--yes")
    assert done.code == 0, done.said
    assert (stand_in.state.machines, stand_in.state.fleets) == ({}, {})
    assert time.monotonic() - began < 30  # 0.3 s on two idle cores; its own clock passes minutes


def test_its_answers_are_what_dstacks_own_models_take(person: Somebody, stand_in: Server) -> None:
    done = person("anna").inv("deploy", "--yes")
    assert done.code == 0, done.said
    [run], [fleet] = stand_in.state.runs.values(), stand_in.state.fleets.values()
    assert Run.model_validate(run_json(stand_in.state, run)).deployment_num == 0
    assert Fleet.model_validate(fleets.fleet_json(stand_in.state, fleet)).name == fleet.name


def test_a_container_that_exits_is_started_again_and_found(person: Somebody, stand_in: Server, hunted: Project) -> None:
    anna = person("anna")
    anna.inv("deploy", "--yes")
    stand_in.state.conditions.crashing = True
    anna.file["service"]["env"]["ROLLOUT"] = 2
    done = anna.inv("deploy", "--yes")
    assert done.code == 28, done.said
    assert endpoint.values(stand_in.state, hunted.run_name) == ["1"]


def test_without_machines_dstack_tries_again(person: Somebody, stand_in: Server) -> None:
    stand_in.state.conditions.capacity = False
    done = person("anna").inv("deploy", "--yes")
    assert done.code == 26, done.said
    assert "retrying" in done.errors or "pending" in done.errors
    stand_in.advance(30)
    assert stand_in.state.machines == {}


def test_a_command_that_was_killed_does_nothing_any_more(person: Somebody, stand_in: Server) -> None:
    done = person("anna").inv("deploy", "--yes", troubles=[Trouble("kill", 7)])
    assert (done.code, done.calls, len(stand_in.calls)) == (KILLED, 7, 7)


@pytest.mark.parametrize("kind", ["lost", "dropped"])
def test_an_answer_gets_lost_after_or_before_the_call_is_carried_out(
    person: Somebody, stand_in: Server, kind: str
) -> None:
    anna = person("anna")
    asked = len(stand_in.calls)
    anna.inv("status", troubles=[Trouble(kind, 1, times=100)])  # type: ignore[arg-type]
    assert (len(stand_in.calls) > asked) == (kind == "lost")
