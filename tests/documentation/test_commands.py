"""Commands in the pages' blocks exist, and those that need no cloud and no network run here."""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from importlib import import_module
from pathlib import Path

import pytest
from invoke.collection import Collection

from tests.documentation.markdown import Block, blocks, pages, programs
from tests.rendered import ROOT, Bake

PROGRAMS = {
    *("cd", "cookiecutter", "cp", "curl", "dstack", "git", "inv", "pip", "pipx", "pytest", "python", "python3"),
    *("source", "sudo", "uv", "uvx"),
}
RUN = {  # how a block is run, by the page and the block's first command
    "template": {("docs/models.md", "inv record --tables")},
    "generated": {("docs/updating.md", "inv render --env prod")},
}
DEAR = {"inv test --fast", "inv test"}  # a part of the block that is not run: it is this test run itself


def every_block() -> list[Block]:
    return [block for page in pages() for block in blocks(page)]


@cache
def tasks(root: Path) -> dict[str, set[str]]:
    """Return the flags of each task of a repository, by the task's name."""
    script = (
        "import json, tasks; from invoke import Collection\n"
        "found = getattr(tasks, 'namespace', None) or getattr(tasks, 'ns', None) or Collection.from_module(tasks)\n"
        "print(json.dumps({name: [f for a in found[name].get_arguments() for f in a.names] for name in found.task_names}))"
    )
    shown = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = __import__("json").loads(shown)
    return {name: {word.replace("_", "-") for word in words} for name, words in found.items()}


def unknown(command: str, known: dict[str, set[str]]) -> str:
    """Return what is unknown in a command; empty when nothing is."""
    for words in programs(command):
        program, *rest = [word for word in words if word != "sudo"] or [""]
        name = Path(program).name
        if name not in PROGRAMS:
            return f"program {program}"
        if name == "inv" and (why := unknown_task(rest, known)):
            return why
    return ""


def unknown_task(words: list[str], known: dict[str, set[str]]) -> str:
    task = words[0] if words else "--list"
    if task.startswith("--"):
        return ""
    if task not in known:
        return f"task {task}"
    ours = words[1 : words.index("--")] if "--" in words else words[1:]
    flags = {word.partition("=")[0].lstrip("-") for word in ours if word.startswith("--")}
    return ", ".join(f"flag --{flag} of {task}" for flag in sorted(flags - known[task]))


@pytest.fixture(scope="module")
def known(baked: Bake) -> dict[str, set[str]]:
    """The tasks of the template and of a generated repository."""
    ours, theirs = tasks(ROOT), tasks(baked())
    return {name: ours.get(name, set()) | theirs.get(name, set()) for name in {*ours, *theirs}}


@pytest.mark.parametrize("page", pages())
def test_every_command_exists(page: str, known: dict[str, set[str]]) -> None:
    commands = [command for block in blocks(page) for command in block.commands]
    assert {command: why for command in commands if (why := unknown(command, known))} == {}


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("inv deplyo", "task deplyo"),
        ("cd x && .venv/bin/inv record --talbes", "flag --talbes of record"),
        ("inv deploy --dry-runs --env prod", "flag --dry-runs of deploy"),
        ("git diff | kubectl apply", "program kubectl"),
        ("inv dstack -- ps --any", ""),
        ("sudo .venv/bin/inv demo --env prod", ""),
    ],
)
def test_a_command_that_does_not_exist_is_found(command: str, why: str, known: dict[str, set[str]]) -> None:
    assert unknown(command, known) == why


def test_there_are_blocks_on_every_page_for_users() -> None:
    with_blocks = {block.page for block in every_block()}
    assert with_blocks >= {"README.md", *(f"docs/{name}.md" for name in ("try", "generate", "deploy", "models", "updating"))}


def test_the_template_has_a_task_for_each_command_that_maintainers_are_told(known: dict[str, set[str]]) -> None:
    page = (ROOT / "docs" / "how-it-is-built.md").read_text("utf-8")
    table = page.split("## The tasks of the template")[1].split("\n## ")[0]
    for name in Collection.from_module(import_module("tasks")).task_names:
        assert f"`inv {name}`" in table, name
