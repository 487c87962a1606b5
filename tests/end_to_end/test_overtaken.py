"""Two people deploy one environment at the same time: each is told the truth, and nobody undoes the other's work."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from sandbox import Sandbox
from tests.end_to_end.conftest import Make
from tests.end_to_end.project import Environment, refused
from tests.sandbox.deployment import wait_for


def colleague(one: Environment, folder: Path) -> Environment:
    """The same environment in another clone of the repository."""
    shutil.copytree(one.project, folder / one.project.name)
    return Environment(folder / one.project.name, one.sandbox, one.name, dict(one.settings))


def value(number: int) -> dict[str, object]:
    return {"env": {"MAX_NUM_SEQS": number}}


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess("deploy", process.returncode, output, errors)


def deployment(environment: Environment) -> Callable[[int], bool]:
    return lambda number: environment.status()["deployment"] == number


def test_who_is_overtaken_ends_with_31_and_the_other_one_serves(make: Make, tmp_path: Path) -> None:
    first = make("overtaken")
    first.deploy()
    second = colleague(first, tmp_path)
    first.write(service=value(96))
    slow = first.start("deploy", "--yes")
    wait_for(lambda: deployment(first)(1), 60)
    second.write(service=value(112))
    second.deploy()
    refused(ended(slow), 31, "somebody else submitted deployment 2", "inv plan")
    assert "env.MAX_NUM_SEQS: 112 -> 96" in first.inv("plan").stdout
    assert second.inv("plan", "--detailed-exitcode").returncode == 0
    assert second.ask().ok


def test_a_deploy_that_fails_does_not_undo_what_a_colleague_deployed_meanwhile(
    make: Make, tmp_path: Path, sandbox: Sandbox
) -> None:
    """The first one's replica never gets ready, and its time is up while the second one's fix starts."""
    first = make("undone")
    first.deploy()
    second = colleague(first, tmp_path)
    second.write(timeouts={"capacity": 60, "ready": 250}, service=value(112))
    sandbox.faults.add("unready")
    first.write(timeouts={"capacity": 60, "ready": 60}, service=value(96))
    slow = first.start("deploy", "--yes")
    wait_for(lambda: len(first.machines()) == 2, 60)
    time.sleep(15)
    sandbox.faults.clear()
    second.deploy()
    refused(ended(slow), 31, "somebody else submitted deployment 2")
    assert second.inv("plan", "--detailed-exitcode").returncode == 0
    assert second.ask().ok
