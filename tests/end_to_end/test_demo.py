"""`inv demo`, as somebody runs it who has just cloned the template."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.rendered import ROOT


def state() -> bytes:
    """What git says of the demo's files."""
    return subprocess.run(["git", "status", "--porcelain", "demo-mistral-nemo"], cwd=ROOT, capture_output=True).stdout


@pytest.mark.timeout(1500)  # beside other hosts that boot, it takes nine minutes
@pytest.mark.parametrize("env", ["sandbox", pytest.param("prod", marks=pytest.mark.gateway)])
def test_the_demo_deploys_answers_survives_and_leaves_nothing(env: str) -> None:
    before = state()
    command = [sys.executable, "-m", "invoke", "demo", "--env", env]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stand-in" in done.stdout
    assert "the first answer came after" in done.stdout
    assert ("back to commit" in done.stdout) == (env == "prod")
    assert ("after the instance was terminated" in done.stdout) == (env == "prod")
    assert state() == before
