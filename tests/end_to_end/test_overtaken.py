"""Two people deploy one environment at the same time: each gets a true message, and nobody undoes the other's work."""

from __future__ import annotations

import shutil
import signal
import subprocess
import time
from pathlib import Path

from tests.end_to_end.project import Environment, refused

IMPATIENCE = 20  # seconds; dstack takes twice as long to replace a replica


def colleague(one: Environment, folder: Path) -> Environment:
    """The same environment in another clone of the repository."""
    shutil.copytree(one.project, folder / one.project.name)
    return Environment(folder / one.project.name, one.sandbox, one.name, dict(one.settings))


def value(number: int) -> dict[str, object]:
    return {"env": {"MAX_NUM_SEQS": number}}


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    output, errors = process.communicate(timeout=300)
    return subprocess.CompletedProcess("deploy", process.returncode, output, errors)


def test_who_is_overtaken_ends_with_31_and_the_other_one_serves(serving: Environment, tmp_path: Path) -> None:
    second, before = colleague(serving, tmp_path), serving.status()["deployment"]
    serving.write(service=value(96))
    first = serving.submit()
    second.write(service=value(112))
    second.deploy()
    refused(ended(first), 31, f"somebody else submitted deployment {before + 2}", "inv plan")
    assert "env.MAX_NUM_SEQS: 112 -> 96" in serving.inv("plan").stdout
    assert second.inv("plan", "--detailed-exitcode").returncode == 0
    assert second.ask().ok


def test_a_deploy_whose_time_is_up_does_not_undo_what_a_colleague_deployed_meanwhile(
    serving: Environment, tmp_path: Path
) -> None:
    """It is paused, as on a laptop whose lid is closed, until the colleague's deployment serves."""
    impatient, before = colleague(serving, tmp_path), serving.status()["deployment"]
    impatient.write(service=value(80), timeouts={"capacity": IMPATIENCE, "ready": IMPATIENCE})
    first = impatient.submit()
    first.send_signal(signal.SIGSTOP)
    stopped = time.monotonic()
    serving.write(service=value(120))
    serving.deploy()
    assert time.monotonic() - stopped > IMPATIENCE
    first.send_signal(signal.SIGCONT)
    refused(ended(first), 31, "somebody else submitted", f"deployment {before + 2}")
    assert serving.inv("plan", "--detailed-exitcode").returncode == 0
    assert serving.ask().ok
