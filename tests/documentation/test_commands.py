"""Commands in the pages' blocks exist, and those that need no cloud and no network run here."""

from __future__ import annotations

import json
import re
import shlex
import shutil
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
    *("cd", "cookiecutter", "cp", "curl", "dstack", "git", "inv", "pip", "pipx", "pre-commit"),
    *("pytest", "python", "python3", "source", "sudo", "uv", "uvx"),
}
WAYS = {  # how each block is run, by the beginning of its first command; the longest one that fits counts
    "cp .env.example .env": "here",
    "pipx run cookiecutter gh:toffee/ai-service": "tests/documentation/test_answers.py has the recorded session",
    "pipx run cookiecutter gh:toffee/ai-service --no-input": "here",
    "cookiecutter gh:toffee/ai-service": "tests/test_generate_many.py",
    "cp ~/.cookiecutter_replay": "tests/test_generate_many.py",
    "source .venv/bin/activate": "tests/end_to_end/test_demo.py",
    "inv record --tables": "tests/documentation/test_readme.py and test_answers.py compare what it writes",
    "git clone": "needs a network; CI starts from a clone",
    "python3 -m venv": ".ci/run",
    "sudo .venv/bin/inv demo": "tests/end_to_end/test_demo.py",
    ".venv/bin/inv sandbox": "tests/sandbox/test_command_line.py",
    "python -m sandbox": "tests/sandbox/test_command_line.py",
    "inv hunt": "tests/invariants/test_hunt.py",
    ".venv/bin/inv hunt": "tests/invariants/test_hunt.py",
    "cd demo-mistral-nemo": "tests/end_to_end/test_demo.py",
    "inv server": "needs keys of the clouds",
    "inv secrets.set": "needs a server",
    "inv doctor": "needs a server",
    "inv deploy": "tests/end_to_end/test_demo.py deploys into the sandbox",
    "inv destroy": "tests/end_to_end/test_demo.py destroys what is in the sandbox",
    "inv size --config": "tests/test_sizing_from_hugging_face.py, without a network",
    "uvx cruft": "tests/cruft, without a network",
}


def every_block() -> list[Block]:
    return [block for page in pages() for block in blocks(page)]


@cache
def tasks(root: Path) -> dict[str, set[str]]:
    """Return the flags of each task of a repository, by the task's name."""
    script = """
import json, tasks
from invoke import Collection
found = getattr(tasks, "namespace", None) or getattr(tasks, "ns", None) or Collection.from_module(tasks)
arguments = {name: found[name].get_arguments() for name in found.task_names}
print(json.dumps({name: [flag for each in those for flag in each.names] for name, those in arguments.items()}))
"""
    shown = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout
    found: dict[str, list[str]] = json.loads(shown)
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
    names = ("try", "generate", "deploy", "models", "updating")
    assert {block.page for block in every_block()} >= {"README.md", *(f"docs/{name}.md" for name in names)}


def way(block: Block) -> str:
    """Return how a block is run; empty when nobody decided."""
    fitting = [start for start in WAYS if block.commands[0].startswith(start)]
    return WAYS[max(fitting, key=len)] if fitting else ""


def test_somebody_decided_how_each_block_is_run() -> None:
    assert {block for block in every_block() if not way(block)} == set()
    for text in WAYS.values():
        for path in re.findall(r"tests/[\w/]+(?:\.py)?|\.ci/run", text):
            assert (ROOT / path).exists(), text


@pytest.mark.parametrize("block", [block for block in every_block() if way(block) == "here"], ids=str)
def test_a_block_that_needs_no_cloud_and_no_network_runs(block: Block, baked: Bake, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(baked(), tmp_path / "generated"))
    script = "\n".join(block.commands).replace("pipx run", f"{shlex.quote(sys.executable)} -m")
    script = script.replace("gh:toffee/ai-service", f"--default-config {shlex.quote(str(ROOT))}")
    done = subprocess.run(["bash", "-euc", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_answers_given_in_advance_are_taken(tmp_path: Path) -> None:
    [block] = [block for block in every_block() if way(block) == "here" and "--no-input" in block.commands[0]]
    answers = shlex.split(block.commands[0].split("--no-input")[1])
    command = [sys.executable, "-m", "cookiecutter", "--default-config", str(ROOT), "--no-input", *answers]
    subprocess.run(command, cwd=tmp_path, capture_output=True, check=True)
    [project] = tmp_path.iterdir()
    readme = (project / "README.md").read_text("utf-8")
    for answer in answers:
        assert answer.partition("=")[2] in readme


def test_the_template_has_a_task_for_each_command_that_maintainers_are_told(known: dict[str, set[str]]) -> None:
    page = (ROOT / "docs" / "how-it-is-built.md").read_text("utf-8")
    table = page.split("## The tasks of the template")[1].split("\n## ")[0]
    for name in Collection.from_module(import_module("tasks")).task_names:
        assert f"`inv {name}`" in table, name
