"""The containers for development: their keys, their image, and the script that prepares them, run in a clean folder.

No container is started here: there is no Docker. What an image brings (Python, git, sudo) comes from this machine.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rendered import ROOT, Bake

KEYS = {"name": str, "image": str, "postCreateCommand": str, "remoteEnv": dict}  # of containers.dev's schema


@pytest.fixture(params=["template", "generated"])
def folder(request: pytest.FixtureRequest, baked: Bake) -> Path:
    return ROOT if request.param == "template" else baked()


def configuration(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / ".devcontainer" / "devcontainer.json").read_text("utf-8"))
    return document


def test_keys_are_those_of_the_schema(folder: Path) -> None:
    found = configuration(folder)
    assert {key: type(value) for key, value in found.items()} == KEYS
    assert all(isinstance(value, str) for value in found["remoteEnv"].values())


def test_the_image_is_one_of_a_named_version_everywhere(baked: Bake) -> None:
    images = {configuration(folder)["image"] for folder in (ROOT, baked())}
    assert len(images) == 1
    assert re.fullmatch(r"mcr\.microsoft\.com/devcontainers/python:\d+-3\.\d+-[a-z]+", images.pop())


def test_the_image_has_the_python_that_the_workflows_of_a_service_use(baked: Bake) -> None:
    setup = (baked() / ".github" / "actions" / "setup" / "action.yml").read_text("utf-8")
    [version] = re.findall(r'python-version: "([\d.]+)"', setup)
    assert f"-{version}-" in configuration(baked())["image"]


def test_the_script_exists_and_can_be_executed(folder: Path) -> None:
    script = folder / configuration(folder)["postCreateCommand"]
    assert script.stat().st_mode & stat.S_IXUSR
    shellcheck = [str(Path(sys.executable).with_name("shellcheck")), str(script)]
    assert subprocess.run(shellcheck, capture_output=True, text=True).stdout == ""


def test_the_terminal_finds_the_programs_that_the_script_installs(folder: Path) -> None:
    path = configuration(folder)["remoteEnv"]["PATH"]
    assert path.startswith("${containerWorkspaceFolder}/.venv/bin:")
    assert "python3 -m venv .venv\n" in (folder / ".devcontainer" / "post-create.sh").read_text("utf-8")


@pytest.mark.slow
def test_the_script_of_a_generated_repository_makes_inv_work(bake: Bake) -> None:
    project = bake()
    (project / ".env").write_text("DSTACK_TOKEN=mine\n", "utf-8")
    done = subprocess.run([project / ".devcontainer" / "post-create.sh"], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "deploy" in done.stdout
    assert (project / ".env").read_text("utf-8") == "DSTACK_TOKEN=mine\n"
    (project / ".env").unlink()
    [copy] = [
        line for line in (project / ".devcontainer" / "post-create.sh").read_text("utf-8").splitlines() if "cp " in line
    ]
    subprocess.run(["sh", "-euc", copy], cwd=project, check=True)
    assert (project / ".env").read_text("utf-8") == (project / ".env.example").read_text("utf-8")


def test_the_script_of_the_template_installs_packages_and_the_lock(tmp_path: Path) -> None:
    """With stand-ins for sudo, python3 and pip that repeat their words: `.ci/run` shows that the lock installs."""
    (tmp_path / "bin").mkdir()
    log = tmp_path / "log"
    pip = (
        f"mkdir -p .venv/bin\nprintf '#!/bin/sh\\necho pip \"$@\" >> {log}\\n' > .venv/bin/pip\nchmod +x .venv/bin/pip"
    )
    for name, body in {"sudo": "true", "python3": pip}.items():
        (tmp_path / "bin" / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {log}\n{body}\n')
        (tmp_path / "bin" / name).chmod(0o755)
    clone = tmp_path / "clone"
    for name in (".ci", ".devcontainer"):
        shutil.copytree(ROOT / name, clone / name)
    variables = {**os.environ, "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}"}
    subprocess.run([clone / ".devcontainer" / "post-create.sh"], env=variables, check=True, capture_output=True)
    packages = " ".join((ROOT / ".ci" / "packages").read_text("utf-8").split())
    _, installed, venv, lock = log.read_text("utf-8").splitlines()
    assert installed.endswith(f"--no-install-recommends {packages}")
    assert venv == "python3 -m venv .venv"
    assert lock.endswith("--require-hashes -r requirements.txt")
