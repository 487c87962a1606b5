"""Which deployments of a run became ready, from dstack's events and the probes of an ended run."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import job, run_json

from deploy import observing
from deploy.dstack.answers import Run
from deploy.dstack.observations import Event

SUBMITTED, READY = "Run submitted. Status: SUBMITTED", "Service replica ready to receive requests"
SECOND = "Run updated. Deployment: 1. Changed fields: configuration_path, configuration.env"


def events(*messages: str) -> list[Event]:
    """Events as dstack lists them, the newest first."""
    found = [
        Event(id=str(number), recorded_at=f"2026-11-01T00:00:{number:02}Z", message=text, targets=[])  # type: ignore[arg-type]
        for number, text in enumerate(messages)
    ]
    return found[::-1]


@pytest.mark.parametrize(
    ("messages", "ready"),
    [
        ((), set()),
        ((SUBMITTED,), set()),
        ((SUBMITTED, READY), {0}),
        ((SUBMITTED, READY, SECOND), {0}),
        ((SUBMITTED, SECOND, READY), {1}),
        ((SUBMITTED, READY, SECOND, READY), {0, 1}),
        ((READY,), set()),  # the events before were too many for one answer
        ((READY, SECOND, READY), {1}),
    ],
)
def test_a_replica_that_became_ready_belongs_to_the_deployment_of_that_time(
    messages: tuple[str, ...], ready: set[int]
) -> None:
    assert observing.ready_deployments(events(*messages)) == ready


class Server:
    """A server that has these events."""

    def __init__(self, *messages: str) -> None:
        self.messages = messages

    def ask(self, path: str, shape: Any, body: Any) -> list[Event]:
        assert (path, body["within_runs"]) == ("/api/events/list", ["run-1"])
        return events(*self.messages)


def ended(attempt: dict[str, Any], status: str = "terminated", *, deployment: int = 0) -> Run:
    """A run that has ended, with this last attempt of its replica."""
    attempt["job_submissions"][-1] |= {"status": "terminated", "termination_reason": "terminated_by_user"}
    return Run.model_validate(run_json(attempt, status=status, deployment=deployment))


@pytest.mark.parametrize("status", ["terminated", "failed", "terminating"])
def test_an_ended_run_whose_probes_had_passed_was_ready(status: str) -> None:
    run = observing.remembered(Server(SUBMITTED), ended(job(deployment=1), status, deployment=1))  # type: ignore[arg-type]
    assert run is not None
    assert (run.now.ready, run.now.active) == (True, False)


@pytest.mark.parametrize(("happened", "ready"), [((SUBMITTED, READY), True), ((SUBMITTED,), False)])
def test_an_ended_run_whose_probes_failed_at_last_was_ready_when_an_event_says_so(
    happened: tuple[str, ...], *, ready: bool
) -> None:
    run = observing.remembered(Server(*happened), ended(job(streak=0)))  # type: ignore[arg-type]
    assert run is not None
    assert run.now.ready == ready


def test_probes_of_an_earlier_deployment_say_nothing_of_the_last_one() -> None:
    run = observing.remembered(Server(SUBMITTED, READY, SECOND), ended(job(deployment=0), deployment=1))  # type: ignore[arg-type]
    assert run is not None
    assert not run.now.ready


def test_of_a_run_that_serves_nothing_is_asked() -> None:
    run = Run.model_validate(run_json(job()))
    assert observing.remembered(None, run) is run  # type: ignore[arg-type]
    assert observing.remembered(None, None) is None  # type: ignore[arg-type]
