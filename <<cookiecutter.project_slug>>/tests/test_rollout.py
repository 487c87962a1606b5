from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conftest import job, run, run_json

from deploy.answers import ResourcePlan, Run, RunPlan
from deploy.api import Api
from deploy.changes import Change, Part
from deploy.environments import Environment
from deploy.errors import ExitCode, Failure
from deploy.output import watching
from deploy.plans import Plan
from deploy.rollout import _watch, assess, deploy
from deploy.status import attempts


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (run(status="submitted"), "submitted"),
        (run(job(status="provisioning")), "on runpod A40 48 GB, $0.40/h: provisioning"),
        (run(job(streak=0)), "probes have not passed yet"),
        (run(job(streak=5), status="provisioning"), "ready"),
        (run(job(replica=0), job(replica=1, deployment=1, streak=0), deployment=1), "1 of the previous deployment"),
        (run(job(replica=0), job(replica=1, deployment=1), deployment=1), "1 of the previous deployment"),
        (run(job(replica=0), deployment=1), "1 of the previous deployment"),
        (run(job(status="none", ended=("instance_unreachable",)), status="pending"), "instance unreachable"),
        (run(job(ended=("container_exited_with_error",), streak=0)), "probes have not passed yet"),
    ],
)
def test_what_is_not_ready_is_waited_for(now: Run, said: str) -> None:
    stand = assess(now)
    assert (stand.ready, stand.failure) == (False, None)
    assert said in stand.summary


def test_a_replica_whose_probes_passed_is_ready() -> None:
    assert assess(run(job())).ready
    assert assess(run(job(replica=0, status="terminating"), job(replica=1, deployment=1), deployment=1)).ready


def test_a_replica_that_another_deployment_crashed_does_not_fail_this_one() -> None:
    crashed = job(ended=("container_exited_with_error",) * 3, status="none")
    assert assess(run(crashed, job(replica=1, deployment=1), deployment=1)).ready


def test_fewer_replicas_than_asked_for_are_not_ready() -> None:
    now = run(job())
    now.run_spec["configuration"]["replicas"] = {"min": 2, "max": 2}
    assert not assess(now).ready


@pytest.mark.parametrize(
    ("now", "code"),
    [
        (run(job(ended=("container_exited_with_error",) * 2, status="submitted")), ExitCode.CRASHED),
        (run(job(ended=("container_exited_with_error",), status="none"), status="failed"), ExitCode.CRASHED),
        (
            run(job(ended=("failed_to_start_due_to_no_capacity",), status="none", placed=False), status="failed"),
            ExitCode.NO_CAPACITY,
        ),
        (run(status="failed", error="Failed to use fleet: no matching fleet"), ExitCode.NO_FLEET),
        (run(status="failed", error="Secrets interpolation error: no such secret"), ExitCode.SECRET_MISSING),
        (run(job(ended=("terminated_by_user",), status="none"), status="terminated"), ExitCode.PLAN_OUTDATED),
    ],
)
def test_what_can_not_become_ready_ends_with_its_own_code(now: Run, code: ExitCode) -> None:
    failure = assess(now).failure
    assert failure is not None
    assert failure.code == code


@pytest.mark.parametrize(("placed", "expected"), [(True, True), (False, False)])
def test_the_wait_for_a_machine_ends_when_a_replica_has_one(placed: bool, expected: bool) -> None:
    assert assess(run(job(status="submitted", placed=placed))).has_machine == expected


def test_what_is_seen_again_is_not_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    with watching("deploying x") as say:
        for line in ("loading", "loading", "ready", "loading"):
            say(line)
    assert [line.split()[-1] for line in capsys.readouterr().err.splitlines()] == ["loading", "ready", "loading"]


def test_the_newest_attempt_comes_first_also_when_it_crashed(environment: Environment) -> None:
    crashed = job(replica=1, deployment=1, ended=("container_exited_with_error",) * 2, status="none")
    found = attempts(environment, run(job(replica=0), crashed, deployment=1))
    assert [(number, attempt.id) for number, attempt in found] == [(1, "job-1-1"), (0, "job-0-0"), (1, "job-1-0")]
    assert [number for number, _ in attempts(environment, run(job(replica=0), crashed), 0)] == [0]
    with pytest.raises(Failure, match="replica 7"):
        attempts(environment, run(job(replica=0)), 7)


class Away:
    """A dstack server that shows a crash, and is away when the change is to be taken back."""

    def __init__(self, *shown: Run) -> None:
        self.shown = list(shown)

    def run(self, name: str) -> Run | None:
        if not self.shown:
            raise Failure(ExitCode.SERVER_UNREACHABLE, "gone")
        return self.shown.pop(0)

    def apply(self, kind: str, plan: RunPlan) -> dict[str, Any]:
        return run_json(job(deployment=1, ended=("container_exited_with_error",) * 2), deployment=1)

    def log_tail(self, *_: object) -> list[str]:
        return []


def test_a_failure_keeps_its_reason_when_it_can_not_be_taken_back(environment: Environment) -> None:
    asked = {"action": "update", "run_spec": {}, "effective_run_spec": {}, "current_resource": run_json(job())}
    fleet = ResourcePlan(action="update", spec={}, effective_spec={})
    parts = {"fleet": Part(Change.UNCHANGED), "service": Part(Change.ROLLING)}
    planned = Plan(environment, parts, [], 0.0, fleet, RunPlan.model_validate(asked))
    with pytest.raises(Failure, match=r"ended by itself.*not taken back: gone") as failed:
        deploy(cast(Api, Away()), planned, lambda line: None)
    assert failed.value.code == ExitCode.CRASHED


def two(*jobs: dict[str, Any]) -> Run:
    """A run that is to have two replicas."""
    found = run(*jobs)
    found.run_spec["configuration"]["replicas"] = {"min": 2, "max": 2}
    return found


def test_a_replica_without_a_machine_is_not_taken_for_placed_because_another_is() -> None:
    waiting = job(replica=1, status="submitted", placed=False)
    refused = job(replica=1, status="none", ended=("failed_to_start_due_to_no_capacity",), placed=False)
    assert not assess(two(job(), waiting)).has_machine
    assert not assess(two(job(streak=0), refused)).has_machine
    assert not assess(two(job())).has_machine  # the next one is still to come
    assert assess(two(job(streak=0))).has_machine  # dstack makes the second one when the first is ready
    assert assess(run(job(), waiting)).has_machine  # scaled to, with the load, and not needed


def test_each_replica_has_as_long_as_the_first(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rolling update of two takes twice as long, and none of it counts as waiting for a machine."""
    clock = count(step=200.0)
    monkeypatch.setattr("deploy.rollout.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    loading, waiting = job(streak=0), job(replica=1, status="submitted", placed=False)
    shown = [two(loading)] * 3 + [two(job()), two(job(), waiting)] + [two(job(), job(replica=1, streak=0))] * 3
    done = two(job(), job(replica=1))
    assert _watch(cast(Api, Away(*shown, done)), environment, lambda line: None, two(loading)) == done
    shown = [two(job()), *[two(job(), waiting)] * 9]
    with pytest.raises(Failure) as failed:
        _watch(cast(Api, Away(*shown)), environment, lambda line: None, two(loading))
    assert failed.value.code == ExitCode.NO_CAPACITY


def test_a_machine_that_is_lost_buys_no_more_time(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that gets no image, and the next one, and the next: the deploy ends within its limits."""
    clock = count(step=300.0)
    monkeypatch.setattr("deploy.rollout.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    without, having = run(job(status="submitted", placed=False)), run(job(status="provisioning"))
    api = cast(Api, Away(*[having, without] * 50))
    with pytest.raises(Failure) as failed:
        _watch(api, environment, lambda line: None, without)
    assert failed.value.code == ExitCode.NOT_READY
