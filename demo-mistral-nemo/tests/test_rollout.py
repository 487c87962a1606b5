from typing import Any, cast

import pytest
from conftest import SCALED, job, run, run_json
from planned import fleet_plan, run_plan

from console.errors import ExitCode, Failure
from console.terminal import watching
from deploy.api import Api
from deploy.changes import Change, Part
from deploy.dstack.answers import Run, RunPlan
from deploy.dstack.refusals import Passing
from deploy.environments import Environment
from deploy.plans import Plan
from deploy.rollout import deploy
from operate.logs import attempts

CRASHED_TWICE = ("container_exited_with_error",) * 2


def test_what_is_seen_again_is_not_shown_again(capsys: pytest.CaptureFixture[str]) -> None:
    with watching("deploying x") as notify:
        for line in ("loading", "loading", "ready", "loading"):
            notify(line)
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
    asked = run_plan(run_json(job()), {"env": {"A": "2"}})
    parts = {"fleet": Part(Change.UNCHANGED), "service": Part(Change.ROLLING)}
    planned = Plan(environment, parts, [], 0.0, fleet_plan("0..2"), asked)
    with pytest.raises(Failure, match=r"exited with code.*not rolled back: gone") as failed:
        deploy(cast(Api, Away()), planned, lambda line: None)
    assert failed.value.code == ExitCode.CRASHED


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

    def plan_run(self, configuration: Any, current: Run, back_to: Run | None = None) -> RunPlan:
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
    asked = run_plan(current, {"env": {"A": "2"}})
    parts = {"fleet": Part(Change.UNCHANGED), "service": Part(change)}
    planned = Plan(environment, parts, asked.offers, 0.0, fleet_plan("0..2"), asked)
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


def test_a_failed_deployment_is_rolled_back(environment: Environment) -> None:
    crashed = run(job(deployment=1, ended=CRASHED_TWICE, status="submitted"), deployment=1)
    server = Server(crashed)
    with pytest.raises(Failure, match="rolled back, what served before keeps serving"):
        rolled(server, environment, said=[])
    assert server.done == ["apply", "apply"]


@pytest.mark.parametrize("mistake", [ValueError("no number"), KeyError("replicas"), RuntimeError("bug")])
def test_a_bug_leaves_nothing_running_either(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, mistake: Exception
) -> None:
    def wrong(*_: Any, **__: Any) -> None:
        raise mistake

    monkeypatch.setattr("deploy.rollout.readiness", wrong)
    server, said = Server(run(job(streak=0, deployment=1), deployment=1)), list[str]()
    with pytest.raises(type(mistake)):
        rolled(server, environment, said=said)
    assert server.done == ["apply", "apply"]
    assert "rolled back, what served before keeps serving" in said[-1]


def test_ctrl_c_rolls_nothing_back(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("deploy.rollout.readiness", interrupted)
    server = Server(run(job(streak=0, deployment=1), deployment=1))
    with pytest.raises(KeyboardInterrupt):
        rolled(server, environment, said=[])
    assert server.done == ["apply"]


def test_what_did_not_serve_before_is_not_said_to_keep_serving(environment: Environment) -> None:
    """A first deploy that hangs was interrupted, and the next one crashes."""
    crashed = run(job(deployment=1, ended=CRASHED_TWICE, status="submitted"), deployment=1)
    with pytest.raises(Failure, match="rolled back, what was there before did not serve either"):
        rolled(Server(crashed), environment, said=[], before=job(streak=0))


def test_what_was_asleep_before_is_said_to_be_asleep_again(environment: Environment) -> None:
    server = Server(run(job(deployment=1, ended=CRASHED_TWICE, status="submitted"), deployment=1))
    with pytest.raises(Failure, match="rolled back, and asleep as before"):
        rolled(server, environment, said=[], status="pending", before=SCALED)


def test_an_unreachable_server_does_not_fail_the_deployment(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise Passing(ExitCode.SERVER_UNREACHABLE, "answers 502")

    monkeypatch.setattr("deploy.rollout.readiness", away)
    server = Server(run(job(streak=0, deployment=1), deployment=1))
    with pytest.raises(Failure, match=r"\(deployment 1 is not rolled back\); run `inv deploy") as failed:
        rolled(server, environment, said=[])
    assert (failed.value.code, server.done) == (ExitCode.SERVER_UNREACHABLE, ["apply"])
