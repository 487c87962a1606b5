"""`inv demo`, as somebody runs it who has just cloned the template."""

from __future__ import annotations

import subprocess
import sys

from tests.rendered import ROOT


def test_the_demo_deploys_answers_moves_and_leaves_nothing() -> None:
    before = subprocess.run(["git", "status", "--porcelain", "demo-mistral-nemo"], cwd=ROOT, capture_output=True)
    command = [sys.executable, "-m", "invoke", "demo"]
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "stand-in" in done.stdout
    assert "the first answer came after" in done.stdout
    changed = subprocess.run(["git", "status", "--porcelain", "demo-mistral-nemo"], cwd=ROOT, capture_output=True)
    assert changed.stdout == before.stdout
