"""`python -m sandbox`, on a sandbox that runs already."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from sandbox import Sandbox
from sandbox.world.faults import KINDS
from tests.sandbox.deployment import ROOT


def command(*args: str, folder: Path | str | None) -> subprocess.CompletedProcess[str]:
    """Run `python -m sandbox ARGS` with SANDBOX_FOLDER set to `folder`."""
    environ = {**os.environ, "SANDBOX_FOLDER": str(folder)}
    return subprocess.run(
        [sys.executable, "-m", "sandbox", *args], cwd=ROOT, env=environ, capture_output=True, text=True
    )


def test_faults_come_and_go(clouds: Sandbox) -> None:
    args = ("fault", "error", "--cloud", "runpod", "--status", "429", "--times", "3")
    assert command(*args, folder=clouds.folder).returncode == 0
    assert json.loads(command("faults", folder=clouds.folder).stdout) == clouds.faults.in_force()[0].to_json()
    assert command("clear", "error", folder=clouds.folder).stdout == "1 ended\n"
    assert clouds.faults.in_force() == []


def test_pods_and_calls_are_listed(clouds: Sandbox) -> None:
    listed = command("pods", folder=clouds.folder).stdout.splitlines()
    assert listed[0].split()[0] == "POD"
    assert len(listed) == 1 + len(clouds.pods())
    logged = command("calls", "--json", "--folder", str(clouds.folder), folder="").stdout.splitlines()
    assert len(logged) == len(clouds.calls())


def test_a_mistake_is_answered_in_one_line(clouds: Sandbox, tmp_path: Path) -> None:
    said = command("kill", "nosuchpod", folder=clouds.folder)
    assert (said.returncode, said.stderr) == (1, "sandbox: no pod nosuchpod\n")
    said = command("fault", "slow", folder=clouds.folder)
    assert (said.returncode, said.stderr.count("\n")) == (1, 1)
    said = command("pods", folder=tmp_path)
    assert said.stderr == f"sandbox: no sandbox runs in {tmp_path}; start one with `python -m sandbox up`\n"
    assert "which sandbox?" in command("pods", folder="").stderr


def test_a_reader_that_has_enough_ends_a_list_without_a_word(clouds: Sandbox) -> None:
    """`python -m sandbox calls | head`, which is gone before the last line comes."""
    for words in (["pods"], ["pods", "--json"], ["clear"]):
        reader, writer = os.pipe()
        os.close(reader)
        typed = [sys.executable, "-m", "sandbox", *words, "--folder", str(clouds.folder)]
        done = subprocess.run(typed, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True)
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, ""), words


def test_the_readme_explains_every_fault_and_every_command() -> None:
    readme = (ROOT / "sandbox" / "README.md").read_text()
    assert re.findall(r"^\| `(\w+)` \|", readme.split("## Faults")[1].split("\n## ")[0], re.MULTILINE) == list(KINDS)
    commands = re.findall(r"^    (\S+)", command("--help", folder="").stdout, re.MULTILINE)
    assert "up" in commands
    assert [name for name in commands if f"python -m sandbox {name}" not in readme] == []
