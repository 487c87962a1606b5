"""Short sequences of faults against a real dstack server: what the stand-in is too simple to be believed alone."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import Sandbox
from tests.end_to_end.project import Environment
from tests.rendered import ROOT
from tests.sandbox.deployment import wait_for

pytestmark = pytest.mark.server

_COST = ("an hour", "is billed")  # how a deploy that failed says what runs
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
def living(project: Path, sandbox: Sandbox) -> Iterator[Environment]:
    """A service that serves; each test leaves it so."""
    environment = Environment(project, sandbox, "living")
    write(environment)
    environment.deploy()
    yield environment
    sandbox.faults.clear()
    assert environment.inv("destroy", "--yes").returncode == 0
    assert environment.machines() == []


def write(environment: Environment, **env: Any) -> int:
    """Write a new value into the environment's file, and return it."""
    value = next(_LENGTHS)
    environment.write(service={"env": {"MAX_MODEL_LEN": value, **env}}, timeouts={"capacity": 60, "ready": 300})
    return value


def answering(environment: Environment) -> int | None:
    """The value that answers; None when nobody does."""
    answer = requests.get(f"{environment.url}/models", headers=environment.headers, timeout=30)
    return int(answer.json()["data"][0]["max_model_len"]) if answer.ok else None


def submitted(environment: Environment) -> subprocess.Popen[str]:
    """A deploy that has just applied its change and goes on to wait."""
    process = environment.start("deploy", "--yes")
    assert process.stderr is not None
    for line in process.stderr:
        if "submitted" in line:
            return process
    raise AssertionError(f"it ended with {process.wait()} before it submitted anything")


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and errors of a process that is left to end."""
    _, errors = process.communicate(timeout=300)
    return process.returncode, errors


def settled(environment: Environment, value: int) -> None:
    """The value answers, on one machine, and a deploy has nothing to do. Takes half a minute."""
    assert answering(environment) == value
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
    assert answering(living) == value


def test_who_is_overtaken_ends_with_31_and_leaves_the_other_deployment_alone(living: Environment) -> None:
    write(living)
    overtaken = submitted(living)
    value = write(living)
    living.deploy()
    code, errors = ended(overtaken)
    assert code == 31, errors
    assert answering(living) == value


@pytest.mark.parametrize(("sent", "codes"), [(signal.SIGKILL, (-9,)), (signal.SIGTERM, (143,))])
def test_a_deploy_that_was_ended_while_it_waited_is_continued_by_the_next(
    living: Environment, sent: signal.Signals, codes: tuple[int, ...]
) -> None:
    value = write(living)
    process = submitted(living)
    process.send_signal(sent)
    assert ended(process)[0] in codes
    living.deploy()
    assert answering(living) == value


def test_after_an_update_that_crashed_the_old_value_serves_and_a_good_deploy_succeeds(living: Environment) -> None:
    before = answering(living)
    write(living, TOOL_FLAGS="--no-such-flag")
    with living.load(every=0.5, callers=1) as answers:
        done = living.inv("deploy", "--yes")
    assert done.returncode == 28, done.stderr
    assert any(text in done.stderr for text in _COST), done.stderr
    assert [answer for answer in answers if answer.failure] == []
    assert answering(living) == before
    value = write(living)
    living.deploy()
    assert answering(living) == value


def test_without_capacity_an_update_ends_and_what_served_goes_on(living: Environment, well: Sandbox) -> None:
    before = answering(living)
    write(living)
    living.write(timeouts={"capacity": 15, "ready": 300})
    for cloud in ("runpod", "vastai"):
        well.faults.set_capacity(cloud, False)
    done = living.inv("deploy", "--yes")
    assert done.returncode == 26, done.stderr
    assert answering(living) == before
    well.faults.clear()
    value = write(living)
    living.deploy()
    assert answering(living) == value
