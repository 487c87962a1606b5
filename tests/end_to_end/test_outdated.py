"""A colleague changes resources after a plan was shown and before it is confirmed: nothing is applied."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.end_to_end.conftest import Make
from tests.end_to_end.project import Environment, refused

Settings = dict[str, Any]
FLEET = {"nodes": "0..3"}


def value(number: int) -> Settings:
    return {"env": {"MAX_NUM_SEQS": number}}


def deployed_by_a_colleague(environment: Environment, **settings: Any) -> Callable[[], None]:
    """A deploy of the same environment with other settings."""

    def deploy() -> None:
        environment.write(**settings)
        environment.deploy()

    return deploy


def state(environment: Environment) -> tuple[Any, Any]:
    """Which deployment of which run is there, and what its fleet is like."""
    run = environment.ask_dstack("runs/get", run_name=environment.run_name)
    fleet = environment.ask_dstack("fleets/get", name=environment.run_name)
    running = run and run["status"] not in ("terminated", "failed")
    return (run["id"], run["deployment_num"]) if running else None, fleet and fleet["spec"]["configuration"]["nodes"]


def refused_after(environment: Environment, meanwhile: Callable[[], None], *kinds: str) -> None:
    """The deploy ends with 31, names what was changed, and leaves all as it was when it got its answer."""
    seen: list[tuple[Any, Any]] = []

    def look() -> None:
        meanwhile()
        seen.append(state(environment))

    done = environment.inv_asked("deploy", meanwhile=look)
    what = " and ".join(f"the {kind}" for kind in kinds)
    refused(done, 31, f"somebody changed {what} of {environment.run_name} after it was planned", "inv plan")
    assert [state(environment)] == seen


@pytest.fixture
def shown(serving: Environment) -> Environment:
    """A service that serves, with its file as it was deployed."""
    serving.write(fleet=FLEET, service=value(128), protected=False)
    serving.deploy()
    return serving


def test_a_service_that_a_colleague_changed_is_left_to_them(shown: Environment) -> None:
    colleague = deployed_by_a_colleague(shown, service=value(112))
    shown.write(service=value(96))
    refused_after(shown, colleague, "service")
    assert shown.inv("plan", "--detailed-exitcode").returncode == 0  # what runs is what the colleague deployed
    assert shown.ask().ok


@pytest.mark.parametrize("mine", [{"nodes": "0..4"}, FLEET], ids=["changed here too", "not changed here"])
def test_a_fleet_that_a_colleague_changed_is_left_to_them(shown: Environment, mine: Settings) -> None:
    colleague = deployed_by_a_colleague(shown, fleet={"nodes": "0..5"}, service=value(128))
    shown.write(fleet=mine, service=value(96))
    refused_after(shown, colleague, "fleet")


def test_what_a_colleague_destroyed_is_not_created_again(shown: Environment) -> None:
    shown.write(service=value(96))
    refused_after(shown, lambda: refused_not(shown, "destroy", "--yes"), "service", "fleet")
    assert state(shown) == (None, None)


def test_what_a_colleague_created_is_not_changed(make: Make) -> None:
    environment = make("created", service=value(96))
    colleague = deployed_by_a_colleague(environment, service=value(112))
    refused_after(environment, colleague, "service", "fleet")
    assert environment.ask().ok


def test_an_unchanged_plan_is_applied(make: Make) -> None:
    environment = make("agreed")
    done = environment.inv_asked("deploy", meanwhile=lambda: None)
    assert done.returncode == 0, done.stderr
    assert environment.ask().ok


def refused_not(environment: Environment, *words: str) -> None:
    done = environment.inv(*words)
    assert done.returncode == 0, done.stderr
