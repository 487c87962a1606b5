"""How long a deployment is waited for, and what ends the wait."""

from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import cast

import pytest
from conftest import job, run, two

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.dstack.answers import Run
from deploy.environments import Environment
from deploy.readiness import crashes
from deploy.rollout import follow

CRASHED_TWICE = ("container_exited_with_error",) * 2


class Shown:
    """A dstack server that shows these states of a run, one after the other."""

    def __init__(self, *shown: Run) -> None:
        self.shown = list(shown)

    def run(self, name: str) -> Run:
        return self.shown.pop(0)

    def log_tail(self, *_: object) -> list[str]:
        return []


def test_each_replica_has_as_long_as_the_first(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rolling update of two takes twice as long, and none of it counts as waiting for a machine."""
    clock = count(step=600.0)
    monkeypatch.setattr("deploy.rollout.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    loading, waiting = job(streak=0), job(replica=1, status="submitted", placed=False)
    shown = [two(loading)] * 3 + [two(job()), two(job(), waiting)] + [two(job(), job(replica=1, streak=0))] * 3
    done = two(job(), job(replica=1))
    assert follow(cast(Api, Shown(*shown, done)), environment, lambda line: None, two(loading)) == done
    shown = [two(job()), *[two(job(), waiting)] * 9]
    with pytest.raises(Failure) as failed:
        follow(cast(Api, Shown(*shown)), environment, lambda line: None, two(loading))
    assert failed.value.code == ExitCode.NO_CAPACITY


def test_a_machine_that_is_lost_buys_no_more_time(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that gets no image, and the next one, and the next: the deploy ends within its limits."""
    clock = count(step=300.0)
    monkeypatch.setattr("deploy.rollout.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    without, having = run(job(status="submitted", placed=False)), run(job(status="provisioning"))
    api = cast(Api, Shown(*[having, without] * 50))
    with pytest.raises(Failure) as failed:
        follow(api, environment, lambda line: None, without)
    assert failed.value.code == ExitCode.NOT_READY


@dataclass
class Lid:
    """A laptop whose lid is closed for an hour, once, while the command does `what`. Its clock goes on meanwhile."""

    what: str
    seconds: float = 0.0
    closed: bool = field(default=False, init=False)

    def monotonic(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        self.during("sleep")

    def during(self, what: str) -> None:
        if what == self.what and not self.closed:
            self.closed, self.seconds = True, self.seconds + 3600


class Closing(Shown):
    """The same server, asked by a command on that laptop."""

    def __init__(self, lid: Lid, *shown: Run) -> None:
        super().__init__(*shown)
        self.lid = lid

    def run(self, name: str) -> Run:
        found = super().run(name)
        self.lid.during("read")
        return found


@pytest.mark.parametrize("paused", ["notify", "sleep", "read"])
@pytest.mark.parametrize(
    ("meanwhile", "code"),
    [
        (run(job(deployment=1), deployment=1), ExitCode.PLAN_OUTDATED),
        (run(job()), None),
        (run(job(status="submitted", placed=False)), ExitCode.NO_CAPACITY),
    ],
    ids=["a colleague deployed", "the replica became ready", "nothing happened"],
)
def test_a_command_that_was_paused_looks_at_the_run_before_it_fails_as_too_late(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, meanwhile: Run, code: ExitCode | None, paused: str
) -> None:
    lid, waiting = Lid(paused), run(job(status="submitted", placed=False))
    monkeypatch.setattr("deploy.rollout.time", lid)
    before = [waiting] if paused == "read" else []  # this answer is an hour old when it is looked at
    api = cast(Api, Closing(lid, *before, meanwhile))
    ended = None
    try:
        assert follow(api, environment, lambda line: lid.during("notify"), waiting) == meanwhile
    except Failure as failure:
        ended = failure.code
    assert ended == code


def test_a_replica_that_stays_does_not_block_for_ever(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = count(step=200.0)
    monkeypatch.setattr("deploy.rollout.time", SimpleNamespace(monotonic=lambda: next(clock), sleep=lambda _: None))
    many = run(job(), job(replica=1))
    assert follow(cast(Api, Shown(*[many] * 9)), environment, lambda line: None, many) == many


def test_crashes_from_before_anybody_followed_do_not_end_a_deploy(environment: Environment) -> None:
    waiting, serving = run(job(ended=CRASHED_TWICE, streak=0)), run(job(ended=CRASHED_TWICE))
    earlier = {one.id for one in crashes(waiting)}
    assert follow(cast(Api, Shown(serving)), environment, lambda line: None, waiting, earlier) == serving
    crashing = run(job(ended=CRASHED_TWICE * 2, status="submitted"))
    with pytest.raises(Failure) as failed:
        follow(cast(Api, Shown(crashing)), environment, lambda line: None, waiting, earlier)
    assert failed.value.code == ExitCode.CRASHED
