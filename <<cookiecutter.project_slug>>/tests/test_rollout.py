import pytest
from conftest import job, run

from deploy.answers import Run
from deploy.errors import ExitCode
from deploy.output import watching
from deploy.rollout import assess


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
