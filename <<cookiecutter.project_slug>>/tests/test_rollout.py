from itertools import count
from types import SimpleNamespace
from typing import Any, cast

import pytest
from conftest import job, offer, run, run_json

from console.errors import ExitCode, Failure
from console.terminal import watching
from deploy.api import Api
from deploy.changes import Change, Part
from deploy.dstack.answers import ResourcePlan, Run, RunPlan
from deploy.dstack.refusals import Passing
from deploy.environments import Environment
from deploy.plans import Plan
from deploy.rollout import assess, crashes, deploy, follow, limits_of
from operate.status import attempts

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
    """A dstack server that shows a crash, and is away when the change is to be rolled back."""

    def __init__(self, *shown: Run) -> None:
        self.shown = list(shown)

    def run(self, name: str) -> Run | None:
        if not self.shown:
            raise Failure(ExitCode.SERVER_UNREACHABLE, "gone")
        return self.shown.pop(0)

    def apply_run(self, plan: RunPlan) -> Run:
        return run(job(deployment=1, ended=CRASHED_TWICE, status="submitted"), deployment=1)

    def log_tail(self, *_: object) -> list[str]:
        return []


def test_a_failure_keeps_its_reason_when_it_can_not_be_rolled_back(environment: Environment) -> None:
    asked: dict[str, Any] = {"action": "update", "run_spec": {}, "effective_run_spec": {}}
    asked |= {"current_resource": run_json(job())}
    asked |= {"job_plans": [{"offers": [offer()]}]}
    fleet = ResourcePlan(action="update", spec={}, effective_spec={})
    parts = {"fleet": Part(Change.UNCHANGED), "service": Part(Change.ROLLING)}
    planned = Plan(environment, parts, [], 0.0, fleet, RunPlan.model_validate(asked))
    with pytest.raises(Failure, match=r"exited with code.*not rolled back: gone") as failed:
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
    assert follow(cast(Api, Away(*shown, done)), environment, lambda line: None, two(loading)) == done
    shown = [two(job()), *[two(job(), waiting)] * 9]
    with pytest.raises(Failure) as failed:
        follow(cast(Api, Away(*shown)), environment, lambda line: None, two(loading))
    assert failed.value.code == ExitCode.NO_CAPACITY


def test_a_machine_that_is_lost_buys_no_more_time(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that gets no image, and the next one, and the next: the deploy ends within its limits."""
    clock = count(step=300.0)
    monkeypatch.setattr("deploy.rollout.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    without, having = run(job(status="submitted", placed=False)), run(job(status="provisioning"))
    api = cast(Api, Away(*[having, without] * 50))
    with pytest.raises(Failure) as failed:
        follow(api, environment, lambda line: None, without)
    assert failed.value.code == ExitCode.NOT_READY


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
    assert limits_of(configuration) == expected


def test_a_replica_too_many_is_waited_for_until_it_is_gone() -> None:
    stand = assess(run(job(), job(replica=1)))
    assert (stand.ready, stand.surplus) == (False, 1)
    assert "1 more than there are to be" in stand.summary
    none = run(job())
    none.run_spec["configuration"]["replicas"] = {"min": 0, "max": 0}
    assert not assess(none).ready


def test_one_that_stays_keeps_nobody_waiting_for_ever(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(step=200.0)
    monkeypatch.setattr("deploy.rollout.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    many = run(job(), job(replica=1))
    assert follow(cast(Api, Away(*[many] * 9)), environment, lambda line: None, many) == many


def grouped(*jobs: dict[str, Any]) -> Run:
    """A run of which the groups a and b are to have a replica each; jobs alternate between them."""
    found = run(*jobs)
    groups = [{"name": name, "replicas": {"min": 1, "max": 1}} for name in "ab"]
    found.run_spec["configuration"] = {"groups": groups}
    for number, one in enumerate(found.jobs):
        one.group = "ab"[number % 2]
    return found


def test_each_group_of_replicas_has_to_arrive() -> None:
    assert assess(grouped(job(), job(replica=1))).ready
    assert not assess(grouped(job())).ready
    assert not assess(grouped(job(), job(replica=1, streak=0), job(replica=2))).ready  # two of a, none of b


def sleeping(*jobs: dict[str, Any], **values: Any) -> Run:
    """A run that may have no replica."""
    found = run(*jobs, **values)
    found.run_spec["configuration"]["replicas"] = {"min": 0, "max": 2}
    return found


SCALED = job(status="none", ended=("scaled_down",))


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
    assert (now.asleep, assess(now).ready) == (asleep, ready)


class Server:
    """A dstack server with a run that others change: `shown` are its states, the last one stays."""

    def __init__(self, *shown: Run) -> None:
        self.shown = list(shown)
        self.done: list[str] = []

    def run(self, name: str) -> Run:
        return self.shown.pop(0) if len(self.shown) > 1 else self.shown[0]

    def apply_run(self, plan: RunPlan) -> Run:
        self.done.append("apply")
        return run(job(streak=0), deployment=1)

    def plan_run(self, configuration: Any, current: Run) -> RunPlan:
        return RunPlan.model_validate({"action": "update", "run_spec": {}, "effective_run_spec": {}})

    def stop_run(self, name: str) -> None:
        self.done.append("stop")

    def wait_gone(self, *_: object) -> None:
        """It is gone."""

    def log_tail(self, *_: object) -> list[str]:
        return []


def rolled(
    server: Server,
    environment: Environment,
    *,
    said: list[str],
    before: dict[str, Any] | None = None,
    status: str = "running",
) -> Run:
    """Deploy a rolling update to a service that has the replica `before` of deployment 0, a ready one."""
    current, change = run_json(before or job(), status=status), Change.ROLLING
    asked = {"action": "update", "run_spec": {}, "effective_run_spec": {"run_name": "y"}, "current_resource": current}
    fleet = ResourcePlan(action="update", spec={}, effective_spec={})
    parts = {"fleet": Part(Change.UNCHANGED), "service": Part(change)}
    offers = RunPlan.model_validate({**asked, "job_plans": [{"offers": [offer()]}]})
    planned = Plan(environment, parts, offers.offers, 0.0, fleet, offers)
    return deploy(cast(Api, server), planned, said.append)


@pytest.mark.parametrize(
    "theirs",
    [run(job(deployment=2), deployment=2), run(job(streak=0, deployment=2), deployment=2), run(job(), id="run-2")],
)
def test_who_is_overtaken_ends_with_31_and_rolls_nothing_back(environment: Environment, theirs: Run) -> None:
    server = Server(run(job(streak=0, deployment=1), deployment=1), theirs)
    with pytest.raises(Failure, match="somebody else submitted") as failed:
        rolled(server, environment, said=[])
    assert failed.value.code == ExitCode.PLAN_OUTDATED
    assert server.done == ["apply"]


def test_who_fails_and_was_overtaken_meanwhile_rolls_nothing_back(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    crashed = run(job(deployment=1, ended=CRASHED_TWICE, status="submitted"), deployment=1)
    server = Server(crashed, run(job(deployment=2), deployment=2))
    with pytest.raises(Failure, match=r"nothing was rolled back: .* is somebody else's deployment 2") as failed:
        rolled(server, environment, said=[])
    assert failed.value.code == ExitCode.CRASHED
    assert server.done == ["apply"]


def test_what_fails_is_rolled_back(environment: Environment) -> None:
    crashed = run(job(deployment=1, ended=CRASHED_TWICE, status="submitted"), deployment=1)
    server = Server(crashed)
    with pytest.raises(Failure, match="rolled back, what served before keeps serving"):
        rolled(server, environment, said=[])
    assert server.done == ["apply", "apply"]


@pytest.mark.parametrize("mistake", [ValueError("no number"), KeyError("replicas"), RuntimeError("bug")])
def test_a_mistake_of_ours_leaves_nothing_running_either(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, mistake: Exception
) -> None:
    def wrong(now: Run, earlier: Any) -> None:
        raise mistake

    monkeypatch.setattr("deploy.rollout.assess", wrong)
    server, said = Server(run(job(streak=0, deployment=1), deployment=1)), list[str]()
    with pytest.raises(type(mistake)):
        rolled(server, environment, said=said)
    assert server.done == ["apply", "apply"]
    assert "rolled back, what served before keeps serving" in said[-1]


def test_ctrl_c_rolls_nothing_back(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(now: Run, earlier: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deploy.rollout.assess", interrupted)
    server = Server(run(job(streak=0, deployment=1), deployment=1))
    with pytest.raises(KeyboardInterrupt):
        rolled(server, environment, said=[])
    assert server.done == ["apply"]


def test_what_crashed_and_serves_again_is_ready() -> None:
    assert assess(run(job(ended=CRASHED_TWICE))).ready


def test_crashes_from_before_anybody_followed_do_not_end_a_deploy(environment: Environment) -> None:
    waiting, serving = run(job(ended=CRASHED_TWICE, streak=0)), run(job(ended=CRASHED_TWICE))
    earlier = {one.id for one in crashes(waiting)}
    assert follow(cast(Api, Away(serving)), environment, lambda line: None, waiting, earlier) == serving
    crashing = run(job(ended=CRASHED_TWICE * 2, status="submitted"))
    with pytest.raises(Failure) as failed:
        follow(cast(Api, Away(crashing)), environment, lambda line: None, waiting, earlier)
    assert failed.value.code == ExitCode.CRASHED


def test_what_did_not_serve_before_is_not_said_to_keep_serving(environment: Environment) -> None:
    """A first deploy that hangs was interrupted, and the next one crashes."""
    crashed = run(job(deployment=1, ended=CRASHED_TWICE, status="submitted"), deployment=1)
    with pytest.raises(Failure, match="rolled back, what was there before did not serve either"):
        rolled(Server(crashed), environment, said=[], before=job(streak=0))


def test_what_was_asleep_before_is_said_to_be_asleep_again(environment: Environment) -> None:
    server = Server(run(job(deployment=1, ended=CRASHED_TWICE, status="submitted"), deployment=1))
    with pytest.raises(Failure, match="rolled back, and asleep as before"):
        rolled(server, environment, said=[], status="pending", before=SCALED)


def test_a_server_that_is_away_is_no_verdict_on_what_was_deployed(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(now: Run, earlier: Any) -> None:
        raise Passing(ExitCode.SERVER_UNREACHABLE, "answers 502")

    monkeypatch.setattr("deploy.rollout.assess", away)
    server = Server(run(job(streak=0, deployment=1), deployment=1))
    with pytest.raises(Failure, match="deployment 1 is not rolled back; run inv deploy") as failed:
        rolled(server, environment, said=[])
    assert (failed.value.code, server.done) == (ExitCode.SERVER_UNREACHABLE, ["apply"])
