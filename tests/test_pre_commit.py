"""The hooks of .pre-commit-config.yaml, run by pre-commit itself: they pass as generated and refuse a bad file."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.rendered import ROOT, Bake

CONFIG = ".pre-commit-config.yaml"
PICTURES = "Tongyi-MAI/Z-Image-Turbo"
PreCommit = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def pre_commit(tmp_path: Path) -> PreCommit:
    """pre_commit(folder, *words): what pre-commit says in a repository whose files are all added to git."""

    def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
        variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        variables |= {
            "PATH": f"{Path(sys.executable).parent}:{variables['PATH']}",
            "PRE_COMMIT_HOME": str(tmp_path / "pre-commit"),
            "MYPY_CACHE_DIR": str(tmp_path / "mypy"),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for git in (["init", "--quiet"], ["add", "--all", "--force"]):
            subprocess.run(["git", *git], cwd=folder, env=variables, check=True)
        command = [sys.executable, "-m", "pre_commit", *words]
        return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, timeout=300)

    return run


@pytest.fixture
def project(bake: Bake) -> Path:
    return bake()


@pytest.mark.parametrize("folder", [ROOT, ROOT / "<<cookiecutter.project_slug>>"], ids=["template", "generated"])
def test_hooks_run_what_is_installed_and_clone_nothing(folder: Path) -> None:
    repositories = yaml.safe_load((folder / CONFIG).read_text("utf-8"))["repos"]
    assert [repository["repo"] for repository in repositories] == ["local"]
    for hook in repositories[0]["hooks"]:
        assert hook["language"] in ("system", "fail"), hook["id"]


@pytest.mark.parametrize("name", ["template", "generated"])
def test_the_configuration_is_valid(pre_commit: PreCommit, baked: Bake, tmp_path: Path, name: str) -> None:
    source = ROOT if name == "template" else baked()
    shutil.copy(source / CONFIG, tmp_path)
    done = pre_commit(tmp_path, "validate-config", CONFIG)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("answers", [{}, {"model_id": PICTURES}], ids=["chat", "pictures"])
def test_every_hook_passes_in_a_new_repository(bake: Bake, pre_commit: PreCommit, answers: dict[str, str]) -> None:
    done = pre_commit(bake(**answers), "run", "--all-files")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("Passed") == 5, done.stdout  # the sixth has no file to refuse


@pytest.mark.parametrize(
    ("hook", "file", "text", "said"),
    [
        ("no-secrets", ".env", "DSTACK_TOKEN=made-up\n", "git rm --cached"),
        ("no-secrets", ".env.prod", "DSTACK_TOKEN=made-up\n", "git rm --cached"),
        ("ruff-check", "operate/wrong.py", '"""A file."""\n\nimport os\n', "F401"),
        ("ruff-format", "operate/wrong.py", 'x = {  "a":1 }\n', "files were modified"),
        ("lint-imports", "console/wrong.py", '"""A file."""\n\nimport deploy.api\n', "console.wrong -> deploy.api"),
        ("mypy", "operate/wrong.py", '"""A file."""\n\nnumber: int = "text"\n', "Incompatible types"),
        (
            "inv-render",
            "environments/staging.yml",
            "server: {project: a}\nprotekted: true\n",
            "environments/staging.yml: protekted",
        ),
    ],
)
def test_a_bad_file_is_refused(
    project: Path, pre_commit: PreCommit, hook: str, file: str, text: str, said: str
) -> None:
    (project / file).write_text(text, "utf-8")
    done = pre_commit(project, "run", hook, "--files", file)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout


def test_a_leftover_variable_of_another_server_does_not_stop_a_commit(
    project: Path, pre_commit: PreCommit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DSTACK_SERVER_URL", "https://dstack.example.com")
    done = pre_commit(project, "run", "inv-render", "--files", "environments/dev.yml")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("hook", "file", "text", "said"),
    [
        ("no-secrets", "demo-mistral-nemo/.env", "DSTACK_TOKEN=made-up\n", "git rm --cached"),
        ("ruff-check", "wrong.py", "import os\n", "F401"),
        ("ruff-format", "wrong.py", 'x = {  "a":1 }\n', "files were modified"),
        ("yamllint", ".github/workflows/wrong.yml", "name:  wrong\n", "too many spaces"),
    ],
)
def test_a_bad_file_of_the_template_is_refused(
    tmp_path: Path, pre_commit: PreCommit, hook: str, file: str, text: str, said: str
) -> None:
    folder = tmp_path / "repository"
    (folder / file).parent.mkdir(parents=True)
    for name in (CONFIG, "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    (folder / file).write_text(text, "utf-8")
    done = pre_commit(folder, "run", hook, "--files", file)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout


@pytest.mark.parametrize("file", ["<<cookiecutter.project_slug>>/dstack/fleet.dstack.yml", "models/qwen.yml"])
def test_the_demo_is_rendered_again_when_the_template_changes(tmp_path: Path, pre_commit: PreCommit, file: str) -> None:
    """With a stand-in for `inv` that repeats its words: rendering would take the whole template."""
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "inv").write_text('#!/bin/sh\necho called with "$@"\nexit 1\n')
    (tmp_path / "bin" / "inv").chmod(0o755)
    folder = tmp_path / "repository"
    (folder / file).parent.mkdir(parents=True)
    (folder / file).touch()
    text = (ROOT / CONFIG).read_text("utf-8").replace("entry: inv ", f"entry: {tmp_path / 'bin' / 'inv'} ")
    (folder / CONFIG).write_text(text, "utf-8")
    assert "called with rebuild-demo" in pre_commit(folder, "run", "rebuild-demo", "--files", file).stdout
