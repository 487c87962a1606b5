"""A template with a release of its own, and a repository generated from it; each test writes a later version."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cruft.repository import Repository
from tests.rendered import ROOT


@pytest.fixture
def template(tmp_path: Path) -> Repository:
    """The template as it is here, tagged v1.0.0."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    repository = Repository(tmp_path / "ai-service", tmp_path)
    for name in names:
        if not name.startswith(("demo-mistral-nemo/", "sandbox/", "tests/")) and (ROOT / name).exists():
            (repository.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, repository.folder / name)
    repository.run("git", "init", "--quiet", "--initial-branch=main")
    repository.commit("1.0.0")
    repository.run("git", "tag", "v1.0.0")
    return repository


@pytest.fixture
def project(template: Repository, tmp_path: Path) -> Repository:
    """A repository generated from v1.0.0, committed as it was generated."""
    maker = Repository(tmp_path, tmp_path)
    assert "Fill in .env" in maker.cruft("create", str(template.folder), "--no-input", "--checkout", "v1.0.0")
    repository = Repository(tmp_path / "mistral-nemo", tmp_path)
    repository.run("git", "init", "--quiet", "--initial-branch=main")
    repository.commit("generated")
    return repository
