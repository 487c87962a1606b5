"""README.md and the files agree."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib import import_module

import pytest
import yaml
from invoke.collection import Collection

from sandbox.aws.vpc import network
from sandbox.world import processes
from tests.rendered import ROOT

README = (ROOT / "README.md").read_text("utf-8")
COOKIECUTTER = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
TROUBLE = (ROOT / "docs" / "what-can-go-wrong.md").read_text("utf-8")
PROMPTS = [name for name in COOKIECUTTER if not name.startswith("_")]


def test_there_are_at_most_ten_prompts_and_each_says_what_it_is() -> None:
    assert len(PROMPTS) <= 10
    assert list(COOKIECUTTER["__prompts__"]) == PROMPTS
    for name, prompt in COOKIECUTTER["__prompts__"].items():
        choices = COOKIECUTTER[name] if isinstance(COOKIECUTTER[name], list) else []
        assert isinstance(prompt, str) if not choices else set(prompt) == {"__prompt__", *choices}


def test_every_prompt_is_in_the_readme_in_order() -> None:
    table = README.split("## Generate your own")[1].split("What you get:")[0]
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == PROMPTS


def test_every_task_is_in_the_readme() -> None:
    for name in Collection.from_module(import_module("tasks")).task_names:
        assert f"inv {name}" in README, name


@pytest.mark.slow
@pytest.mark.parametrize("words", sorted(set(re.findall(r"pytest (tests/[^`\n]+)", TROUBLE))))
def test_every_proof_of_what_is_done_about_trouble_is_a_test(words: str) -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", *words.split()]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_every_proof_in_a_generated_repository_is_one_of_its_tests() -> None:
    named = set(re.findall(r"`tests/(test_\w+\.py)`", TROUBLE))
    assert len(named) > 2
    assert named <= {path.name for path in (ROOT / "demo-mistral-nemo" / "tests").iterdir()}


def test_the_test_command_is_the_one_that_ci_runs() -> None:
    [command] = re.findall(r"^\$ (python3 .*inv test)$", README, re.M)
    assert r"s/^\$ \(python3 .*inv test\)$/\1/p" in (ROOT / ".ci" / "run").read_text("utf-8")
    steps = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text("utf-8"))["jobs"]["test"]["steps"]
    assert any(step.get("run", "").endswith(".ci/run") for step in steps)
    assert "requirements.txt" in command


def test_system_packages_are_the_same_everywhere() -> None:
    listed = (ROOT / ".ci" / "packages").read_text("utf-8").split()
    paragraph = README.split("(.ci/packages)")[1].split("\n\n")[0]
    assert re.findall(r"`([a-z0-9-]+)`", paragraph) == listed
    assert set(processes.PACKAGES.values()) | set(network.PACKAGES.values()) <= set(listed)


def test_no_lock_names_a_registry() -> None:
    for name in ("requirements.txt", "demo-mistral-nemo/requirements.txt"):
        text = (ROOT / name).read_text("utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text


def test_python_is_the_one_that_is_promised() -> None:
    assert sys.version_info >= (3, 11)
