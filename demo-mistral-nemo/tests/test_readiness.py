from typing import Any

import pytest
from conftest import SCALED, job, run, two

from console.errors import ExitCode
from deploy.changes import replica_groups
from deploy.dstack.answers import Run
from deploy.readiness import readiness

CRASHED_TWICE = ("container_exited_with_error",) * 2


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
    found = readiness(now)
    assert (found.ready, found.failure) == (False, None)
    assert said in found.summary


def test_a_replica_whose_probes_passed_is_ready() -> None:
    assert readiness(run(job())).ready
    assert readiness(run(job(replica=0, status="terminating"), job(replica=1, deployment=1), deployment=1)).ready


def test_a_replica_that_another_deployment_crashed_does_not_fail_this_one() -> None:
    crashed = job(ended=("container_exited_with_error",) * 3, status="none")
    assert readiness(run(crashed, job(replica=1, deployment=1), deployment=1)).ready


def test_fewer_replicas_than_asked_for_are_not_ready() -> None:
    now = run(job())
    now.run_spec["configuration"]["replicas"] = {"min": 2, "max": 2}
    assert not readiness(now).ready


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
    failure = readiness(now).failure
    assert failure is not None
    assert failure.code == code


@pytest.mark.parametrize(("placed", "expected"), [(True, True), (False, False)])
def test_the_wait_for_a_machine_ends_when_a_replica_has_one(placed: bool, expected: bool) -> None:
    assert readiness(run(job(status="submitted", placed=placed))).has_machine == expected


def test_a_replica_without_a_machine_is_not_taken_for_placed_because_another_is() -> None:
    waiting = job(replica=1, status="submitted", placed=False)
    refused = job(replica=1, status="none", ended=("failed_to_start_due_to_no_capacity",), placed=False)
    assert not readiness(two(job(), waiting)).has_machine
    assert not readiness(two(job(streak=0), refused)).has_machine
    assert not readiness(two(job())).has_machine  # the next one is still to come
    assert readiness(two(job(streak=0))).has_machine  # dstack makes the second one when the first is ready
    assert readiness(run(job(), waiting)).has_machine  # scaled to, with the load, and not needed


@pytest.mark.parametrize(
    ("configuration", "expected"),
    [
        ({}, {"0": (1, 1)}),
        ({"replicas": None}, {"0": (1, 1)}),
        ({"replicas": {"min": 0, "max": 2}}, {"0": (0, 2)}),
        (
            {"groups": [{"name": "a", "replicas": {"min": 2, "max": 3}}, {"name": "b", "replicas": 1}]},
            {"a": (2, 3), "b": (1, 1)},
        ),
    ],
)
def test_replicas_are_counted_by_group(configuration: Any, expected: dict[str, tuple[int, int]]) -> None:
    assert {name: (group.fewest, group.most) for name, group in replica_groups(configuration).items()} == expected


def test_a_replica_too_many_is_waited_for_until_it_is_gone() -> None:
    found = readiness(run(job(), job(replica=1)))
    assert (found.ready, found.surplus) == (False, 1)
    assert "dstack has to stop 1 more" in found.summary
    none = run(job())
    none.run_spec["configuration"]["replicas"] = {"min": 0, "max": 0}
    assert not readiness(none).ready


def grouped(*jobs: dict[str, Any]) -> Run:
    """A run of which the groups a and b are to have a replica each; jobs alternate between them."""
    found = run(*jobs)
    groups = [{"name": name, "replicas": {"min": 1, "max": 1}} for name in "ab"]
    found.run_spec["configuration"] = {"groups": groups}
    for number, one in enumerate(found.jobs):
        one.group = "ab"[number % 2]
    return found


def test_each_group_of_replicas_has_to_arrive() -> None:
    assert readiness(grouped(job(), job(replica=1))).ready
    assert not readiness(grouped(job())).ready
    assert not readiness(grouped(job(), job(replica=1, streak=0), job(replica=2))).ready  # two of a, none of b


def sleeping(*jobs: dict[str, Any], **values: Any) -> Run:
    """A run that may have no replica."""
    found = run(*jobs, **values)
    found.run_spec["configuration"]["replicas"] = {"min": 0, "max": 2}
    return found


@pytest.mark.parametrize(
    ("now", "asleep", "ready"),
    [
        (sleeping(status="pending"), True, True),
        (sleeping(SCALED, status="pending"), True, True),
        (sleeping(SCALED, status="pending", deployment=1), True, True),  # another value, while it sleeps
        (sleeping(status="submitted"), False, False),
        (sleeping(job(streak=0)), False, False),
        (sleeping(job()), False, True),
        (sleeping(job(), deployment=1), False, False),  # it scales down: the new value has not been tried
        (sleeping(job(), status="pending", deployment=1), False, False),
        (sleeping(job(status="none", ended=("failed_to_start_due_to_no_capacity",)), status="pending"), False, False),
        (sleeping(job(status="none", ended=("container_exited_with_error",)), status="pending"), False, False),
        (run(status="pending"), True, False),  # one that must have a replica waits for it
    ],
)
def test_a_service_that_is_asleep_is_deployed_and_nothing_else_is(now: Run, asleep: bool, ready: bool) -> None:
    assert (now.asleep, readiness(now).ready) == (asleep, ready)


def test_what_crashed_and_serves_again_is_ready() -> None:
    assert readiness(run(job(ended=CRASHED_TWICE))).ready
