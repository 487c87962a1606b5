"""A template with a release of its own, and a repository generated from it; each test writes a later version."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.cruft.repository import Repository
from tests.rendered import ROOT


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the template as it is here, tagged v1.0.0, and a repository generated from it; tests copy both."""
    folder = tmp_path_factory.mktemp("cruft")
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    template = Repository(folder / "ai-service", folder)
    for name in names:
        if not name.startswith(("demo-mistral-nemo/", "sandbox/", "tests/")) and (ROOT / name).exists():
            (template.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, template.folder / name)
    template.run("git", "init", "--quiet", "--initial-branch=main")
    template.commit("1.0.0")
    template.run("git", "tag", "v1.0.0")
    maker = Repository(folder, folder)
    assert "fill in .env" in maker.cruft("create", str(template.folder), "--no-input", "--checkout", "v1.0.0")
    return folder


@pytest.fixture
def template(generated: Path, tmp_path: Path) -> Repository:
    """The template, tagged v1.0.0."""
    return Repository(Path(shutil.copytree(generated / "ai-service", tmp_path / "ai-service")), tmp_path)


@pytest.fixture
def project(generated: Path, template: Repository, tmp_path: Path) -> Repository:
    """A repository generated from v1.0.0 of this very template, committed as it was generated."""
    repository = Repository(Path(shutil.copytree(generated / "mistral-nemo", tmp_path / "mistral-nemo")), tmp_path)
    repository.edit(".cruft.json", str(generated / "ai-service"), str(template.folder))
    repository.run("git", "init", "--quiet", "--initial-branch=main")
    repository.commit("generated")
    return repository
