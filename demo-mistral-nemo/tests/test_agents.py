"""AGENTS.md and the code agree: tasks, flags, exit codes, and what costs nothing."""

import re

from console.errors import ExitCode
from deploy.environments import ROOT
from tasks import namespace

AGENTS = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
NAMES = {name: set(namespace[name].argspec(namespace[name].body).parameters) for name in namespace.task_names}
FLAGS = {f"--{name}".replace("_", "-") for names in NAMES.values() for name in names}
ROWS = [line.split("|")[1] for line in AGENTS.splitlines() if line.startswith("|")]


def test_every_task_that_agents_are_told_of_exists() -> None:
    named = set(re.findall(r"\binv ([a-z]+(?:\.[a-z]+)?)", AGENTS))
    assert named
    assert named <= set(namespace.task_names)


def test_every_flag_that_agents_are_told_of_exists() -> None:
    commands = re.sub(r"\b(ruff|uv) .*", "", AGENTS)
    named = set(re.findall(r"(?<!\S)`?(--[a-z-]+[a-z])", commands)) - {"--debug"}  # of every task
    assert {"--json", "--yes", "--allow-restart", "--adopt"} <= named
    assert named <= FLAGS


def test_every_exit_code_is_explained_once() -> None:
    codes = [int(code) for row in ROWS if re.fullmatch(r"[ \d,]+", row) for code in re.findall(r"\d+", row)]
    assert sorted(codes) == sorted({0, *ExitCode})


def test_nothing_that_asks_for_approval_is_said_to_change_nothing() -> None:
    [harmless] = [row for row in ROWS if "`inv doctor`" in row]
    tasks = re.findall(r"`inv ([a-z.]+)`", harmless)
    assert len(tasks) > 5
    for task in tasks:
        assert "yes" not in NAMES[task], task


def test_every_flag_that_permits_an_outage_is_forbidden() -> None:
    [rule] = re.findall(r"^3\. (.*?)^4\. ", AGENTS, re.M | re.S)
    permitting = {flag for flag in FLAGS if flag.startswith(("--allow", "--adopt"))}
    assert permitting == set(re.findall(r"`(--[a-z-]+)`", rule))
