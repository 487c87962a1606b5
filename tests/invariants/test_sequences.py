"""Short sequences of faults against a real dstack server: what the stand-in is too simple to be believed alone."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.project import Environment
from tests.rendered import ROOT
from tests.sandbox.deployment import wait_for

pytestmark = pytest.mark.server

_LENGTHS = iter(range(4096, 32768, 1024))  # values to deploy, which /v1/models tells


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(load_seconds=1, front=True) as running:
        yield running


@pytest.fixture(scope="module")
def project(cookies_session: Any) -> Path:
    return Path(cookies_session.bake(template=str(ROOT)).project_path)


@pytest.fixture
def well(sandbox: Sandbox) -> Iterator[Sandbox]:
    """The sandbox; its faults end with the test."""
    yield sandbox
    sandbox.faults.clear()


@pytest.fixture(scope="module")
def living(project: Path, sandbox: Sandbox) -> Environment:
    """A service that serves; each test leaves it so."""
    environment = Environment(project, sandbox, "living")
    write(environment)
    environment.deploy()
    return environment


def write(environment: Environment, **env: Any) -> int:
    """Write a new value into the environment's file, and return it."""
    value = next(_LENGTHS)
    environment.write(service={"env": {"MAX_MODEL_LEN": value, **env}})
    return value


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and errors of a process that is left to end."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def settled(environment: Environment, value: int) -> None:
    """The value answers, on one machine, and a deploy has nothing to do. Takes half a minute."""
    assert environment.context() == value
    wait_for(lambda: len(environment.machines()) == 1, 120)
    before = len(environment.sandbox.calls(cloud="dstack", writes=True))
    environment.deploy()
    assert len(environment.sandbox.calls(cloud="dstack", writes=True)) == before


def test_the_lost_answer_of_a_first_apply_rents_once_and_all_of_it_can_be_destroyed(
    project: Path, well: Sandbox
) -> None:
    first = Environment(project, well, "first")
    value = write(first)
    well.faults.add("lost", "dstack", route="POST */runs/apply", times=1)
    done = first.inv("deploy", "--yes")
    assert done.returncode == 0, done.stderr
    settled(first, value)
    well.faults.add("error", "dstack", route="POST */fleets/delete", status=502, times=1)
    well.faults.add("error", "dstack", route="POST */runs/get", status=502, times=1, after=2)
    done = first.inv("destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert first.machines() == []
    assert "nothing to destroy" in first.inv("destroy", "--dry-run").stdout


def test_bad_answers_in_the_middle_of_an_update_do_not_throw_it_away(living: Environment, well: Sandbox) -> None:
    value = write(living)
    well.faults.add("error", "dstack", route="POST */runs/get", status=500, times=2, after=5)
    well.faults.add("answer", "dstack", route="POST */runs/get", status=429, times=1, after=9)
    done = living.inv("deploy", "--yes")
    assert done.returncode == 0, done.stderr
    assert living.context() == value


def test_a_deploy_that_was_ended_twice_while_it_waited_is_continued_by_the_next(living: Environment) -> None:
    value = write(living)
    process = living.submit()
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143
    process = living.start("deploy", "--yes")
    assert process.stderr is not None
    assert any("replica" in line for line in process.stderr)
    process.send_signal(signal.SIGKILL)
    assert ended(process)[0] == -signal.SIGKILL
    living.deploy()
    assert living.context() == value
