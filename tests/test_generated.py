"""Generated code is code: linters, type checker and its own tests pass in the state in which it is generated."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from template_catalogue import catalogue
from tests.rendered import Bake, files
from tests.test_rendering import every_combination

Check = Callable[[str, Path], tuple[int, str]]

CODE = (".py", ".toml")
# What each command reads of a project. Where that is the same in two projects, so is the result.
CHECKS = {
    "ruff check": CODE,
    "ruff format --check": CODE,
    "mypy": CODE,
    "lint-imports --no-cache": CODE,
    "pytest": ("",),
}


@pytest.fixture(scope="session")
def check(tmp_path_factory: pytest.TempPathFactory) -> Check:
    """check(command, project): exit code and output, run once for all projects in which it reads the same."""
    results: dict[tuple[str, str], tuple[int, str]] = {}
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the project's requirements have no plugin, the template's have
        # the project is shared with other tests: no caches in it
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RUFF_NO_CACHE": "true",
        "MYPY_CACHE_DIR": str(tmp_path_factory.mktemp("mypy")),
        # two pytests that clean up one folder at a time stumble over each other
        "PYTEST_DEBUG_TEMPROOT": str(tmp_path_factory.mktemp("temporary")),
    }

    def run(command: str, project: Path) -> tuple[int, str]:
        read = {name: text for name, text in files(project).items() if name.endswith(CHECKS[command])}
        key = (command, hashlib.sha256(repr(read).encode()).hexdigest())
        if key not in results:
            program, *words = command.split()
            done = subprocess.run(
                [Path(sys.executable).with_name(program), *words],
                cwd=project,
                env=environment,
                text=True,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=300,
            )
            results[key] = done.returncode, done.stdout
        return results[key]

    return run


@pytest.mark.parametrize("command", CHECKS)
@every_combination
def test_a_generated_project_passes_its_own_checks(
    baked: Bake, check: Check, answers: dict[str, str], command: str
) -> None:
    project = baked(**answers)
    before = files(project)
    code, output = check(command, project)
    assert code == 0, output
    assert files(project) == before, "the check left something behind"


@pytest.mark.parametrize("command", CHECKS)
@pytest.mark.parametrize("model_id", catalogue())
def test_a_project_for_a_known_model_passes_its_own_checks(
    baked: Bake, check: Check, model_id: str, command: str
) -> None:
    code, output = check(command, baked(model_id=model_id))
    assert code == 0, output
