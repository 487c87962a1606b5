"""README.md is short, and what it promises is so."""

from __future__ import annotations

import re
import sys

import yaml

import template_docs
from sandbox.aws.vpc import network
from sandbox.world import processes
from tests.rendered import ROOT

README = (ROOT / "README.md").read_text("utf-8")


def test_it_is_read_in_five_minutes() -> None:
    assert len(README.splitlines()) <= 150


def test_badges_are_of_workflows_and_files_that_exist() -> None:
    badges = re.findall(r"\[!\[[^]]*\]\(([^)]+)\)\]\(([^)]+)\)", README)
    assert badges
    for picture, target in badges:
        workflow = re.search(r"/toffee/ai-service/actions/workflows/([\w.]+)/badge\.svg$", picture)
        if workflow:
            assert (ROOT / ".github" / "workflows" / workflow[1]).is_file()
        else:
            assert "MIT" in picture
            assert (ROOT / target).read_text("utf-8").startswith("MIT License")


def test_the_table_of_models_is_the_catalogue() -> None:
    table = README.split(template_docs.MODELS_MARKS[0])[1].split(template_docs.MODELS_MARKS[1])[0]
    assert table == template_docs.table_of_models(), "`inv record --tables` writes it again"


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


def test_the_packages_of_the_demo_are_the_same_on_both_pages() -> None:
    pages = (README.split("## Quick start")[1], (ROOT / "docs" / "try.md").read_text("utf-8"))
    first, second = (re.findall(r"`([a-z-]+)`", page.split("```")[0].split("Python 3")[1]) for page in pages)
    assert first == second
    assert set(first) <= set((ROOT / ".ci" / "packages").read_text("utf-8").split())


def test_no_lock_names_a_registry() -> None:
    for name in ("requirements.txt", "demo-mistral-nemo/requirements.txt"):
        text = (ROOT / name).read_text("utf-8")
        assert "://" not in text
        assert "--hash=sha256:" in text


def test_python_is_the_one_that_is_promised() -> None:
    assert sys.version_info >= (3, 11)
