"""The scripts in .ci/ of the workflows here, with stand-ins for `gh` and `docker` that repeat their words."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rendered import ROOT

NOTES = runpy.run_path(str(ROOT / ".ci" / "release_notes.py"))["notes"]
CHANGELOG = """# Changelog

## Unreleased

## 1.1.0 - 2027-01-15

### Changed

- vLLM 0.29.

## 1.0.0 - 2026-12-01

- The template.
"""
Run = Callable[..., str]


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A clone with a template's service file, of a bare repository beside it."""
    folder = tmp_path / "clone"
    service = folder / "<<cookiecutter.project_slug>>" / "dstack" / "service.dstack.yml"
    service.parent.mkdir(parents=True)
    service.write_text("image: vllm/vllm-omni:v0.30.0\nimage: vllm/vllm-openai:v0.28.0-cu129\n")
    shutil.copytree(ROOT / ".ci", folder / ".ci")
    git = ["git", "-c", "user.name=user", "-c", "user.email=user@host"]
    for words in (
        ["init", "--quiet", "--bare", str(tmp_path / "origin")],
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "--all"],
        ["commit", "--quiet", "--message=first"],
        ["remote", "add", "origin", str(tmp_path / "origin")],
        ["push", "--quiet", "origin", "main"],
    ):
        subprocess.run([*git, *words], cwd=folder, check=True)
    return folder


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> Run:
    """run(script, *words, gh=..., docker=...): what it and its stand-ins say; those are shell scripts."""

    def call(script: str, *words: str, gh: str = "true", docker: str = "true") -> str:
        for name, body in {"gh": gh, "docker": docker}.items():
            (tmp_path / "bin").mkdir(exist_ok=True)
            (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@" >&2\n{body}\n')
            (tmp_path / "bin" / name).chmod(0o755)
        environ = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
        command = [repository / ".ci" / script] if script != "verify" else [sys.executable, ".ci/images.py", script]
        done = subprocess.run([*command, *words], cwd=repository, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    return call


def test_a_release_says_what_the_changelog_says() -> None:
    assert NOTES("v1.1.0", CHANGELOG, "1.1.0") == "### Changed\n\n- vLLM 0.29."
    assert NOTES("v1.0.0", CHANGELOG, "1.0.0") == "- The template."


@pytest.mark.parametrize(
    ("tag", "version", "changelog", "why"),
    [
        ("v1.1.0", "1.0.0", CHANGELOG, "pyproject.toml has version 1.0.0"),
        ("1.1.0", "1.1.0", CHANGELOG, "that makes v1.1.0"),
        ("v1.2.0", "1.2.0", CHANGELOG, "says nothing under `## 1.2.0"),
        ("v1.1.0", "1.1.0", CHANGELOG.replace("- vLLM 0.29.", "").replace("### Changed", ""), "says nothing"),
        ("v1.1.0", "1.1.0", CHANGELOG.replace(" - 2027-01-15", ""), "says nothing"),
        ("v1.1.0", "1.1.0", CHANGELOG.replace("Unreleased", "Unreleased\n\n- More."), "entries under Unreleased"),
    ],
)
def test_a_release_that_is_not_written_up_is_refused(tag: str, version: str, changelog: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        NOTES(tag, changelog, version)


def test_the_changelog_has_released_what_pyproject_says_or_nothing_yet() -> None:
    released = re.findall(r"^## ([\d.]+) - ", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert released[:1] in ([], [project["version"]])
    assert released == sorted(released, key=numbers, reverse=True)


def test_the_version_in_pyproject_can_be_tagged_once_nothing_is_unreleased() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    changelog = re.sub(
        r"^(## Unreleased\n)(?:(?!## ).*\n)*", r"\1", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.M
    )
    assert NOTES(f"v{version}", changelog, version)


def test_every_release_that_a_page_names_is_in_the_changelog() -> None:
    released = set(re.findall(r"^## ([\d.]+) - ", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.M))
    template = ROOT / "<<cookiecutter.project_slug>>"
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *template.rglob("*.md")]
    texts = [page.read_text("utf-8") for page in pages]
    named = {name for text in texts for name in re.findall(r"checkout[\"`:]*[ =]+[\"`]?v(\d[\d.]*\d)", text)}
    assert named
    assert named <= released


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_changes_are_proposed_once_and_tested(repository: Path, run: Run, tmp_path: Path) -> None:
    (repository / "new.txt").write_text("new\n")
    said = run("propose", "dependencies", "Raise them", gh='test "$1" != pr || echo 0')
    assert "gh pr create --head dependencies --title Raise them" in said
    assert said.strip().endswith("gh workflow run ci.yml --ref dependencies")
    (repository / "new.txt").write_text("newer\n")
    said = run("propose", "dependencies", "Raise them", gh='test "$1" != pr || echo 1')
    assert "gh pr create" not in said
    shown = ["git", "show", "--format=%an: %s", "dependencies:new.txt"]
    assert subprocess.run(shown, cwd=tmp_path / "origin", capture_output=True, text=True).stdout == "newer\n"


def test_without_changes_nothing_is_proposed(run: Run) -> None:
    assert run("propose", "dependencies", "Raise them") == "nothing to propose\n"


NOT_VERIFIED = "is not verified, so it is not taken. Verify it: gh workflow run verify-image.yml -f image="


@pytest.mark.parametrize(
    ("released", "exists", "images", "why"),
    [
        ("v0.29.0", True, ["v0.30.0", "v0.29.0-cu129"], "vllm/vllm-openai: v0.29.0-cu129 is good: Used with GPUs"),
        ("v0.31.0", True, ["v0.30.0", "v0.29.0-cu129"], "vllm/vllm-openai: v0.31.0-cu129 is broken: torchcodec"),
        ("v0.100.0", True, ["v0.30.0", "v0.29.0-cu129"], f"v0.100.0-cu129 {NOT_VERIFIED}vllm/vllm-openai"),
        ("v0.100.0", True, ["v0.30.0", "v0.29.0-cu129"], f"v0.100.0 {NOT_VERIFIED}vllm/vllm-omni"),
        ("v0.100.0", False, ["v0.30.0", "v0.28.0-cu129"], "vllm-openai: there is no image v0.100.0-cu129 yet"),
        ("v0.28.0", True, ["v0.30.0", "v0.28.0-cu129"], "v0.28.0-cu129 is the newest"),
    ],
)
def test_vllm_goes_to_the_newest_release_whose_image_is_known_to_be_good(
    repository: Path, run: Run, released: str, exists: bool, images: list[str], why: str
) -> None:
    said = run("newest-vllm", gh=f"echo {released}", docker="true" if exists else "false")
    assert why in said
    assert "--repo vllm-project/vllm --" in said
    assert "--repo vllm-project/vllm-omni --" in said
    service = next(repository.glob("*/dstack/service.dstack.yml")).read_text()
    assert re.findall(r"^image: vllm/vllm-\w+:(.+)$", service, re.M) == images


def test_a_verified_image_is_proposed_and_taken_by_the_next_run(repository: Path, run: Run) -> None:
    """With a stand-in for docker that knows one digest and whose imports succeed."""
    digest = "sha256:" + "ab" * 32
    docker = f"""case "$1" in inspect) echo '["vllm/vllm-openai@{digest}"]';; esac"""
    said = run("verify", "vllm/vllm-openai", "v0.40.0-cu129", docker=docker)
    assert "vllm/vllm-openai:v0.40.0-cu129 is good" in said
    assert digest in said
    said = run("propose", "image-vllm-openai-v0.40.0-cu129", "A verdict", gh='test "$1" != pr || echo 0')
    assert "gh pr create --head image-vllm-openai-v0.40.0-cu129" in said
    run("newest-vllm", gh="echo v0.40.0")
    service = next(repository.glob("*/dstack/service.dstack.yml")).read_text()
    assert "image: vllm/vllm-openai:v0.40.0-cu129\n" in service
