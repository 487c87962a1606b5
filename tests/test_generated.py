"""Generated code is code: linters, type checker and its own tests pass in the state in which it is generated.

All renderings of one kind, such as chats or pictures, have the same code. So the linters read one of each kind, and all
generated tests run for chats and for pictures. In other renderings only the data differs, so only the tests run that
read it; for embeddings, reranking and speech, these and the tests of what differs in code.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from template_catalogue import known_model
from tests.rendered import Bake, different_models, files
from tests.test_rendering import OTHERS, PICTURES, every_combination

Answers = dict[str, str]
Check = Callable[[str, Path], None]

LINTERS = ("ruff check", "ruff format --check", "mypy", "lint-imports --no-cache")
KINDS: dict[str, Answers] = {"chat": {}, "pictures": {"model_id": PICTURES}}
KINDS |= {kind: {"model_id": model_id} for model_id, kind in OTHERS.items()}
TESTED: dict[str, Answers] = {"chats": {}, "pictures": {"model_id": PICTURES, "gpu_clouds": "runpod"}}
OTHER_DATA: dict[str, Answers] = {
    "an unknown model": {"model_id": "somebody/Unknown-70B", "gpu_clouds": "vastai", "precision": "fp8"},
    "two GPUs": {"model_id": "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic", "gpu_clouds": "runpod"},
}

READ_DATA = (  # the generated tests that read the repository's own documents, pages or model
    *("test_agents", "test_bench", "test_combined", "test_docs", "test_doctor", "test_environments"),
    *("test_inv_capacity", "test_inv_deploy", "test_inv_front", "test_inv_operate", "test_inv_plan"),
    *("test_monitor_in_env", "test_offers", "test_outdated", "test_plans", "test_references", "test_schema"),
    *("test_sizing", "test_terminal"),
)


TESTS_OF_OTHERS = (
    *("test_inv_env", "test_inv_operate", "test_inv_capacity", "test_monitor", "test_sizing", "test_schema"),
    *("test_offers", "test_docs", "test_environments"),
)


@pytest.fixture
def check(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Check:
    """check(command, project): fails unless the command succeeds in the project and leaves nothing behind there."""
    environment = {
        **os.environ,
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the project's requirements have no plugin, the template's have
        # the project is shared with other tests: no caches in it
        "PYTEST_ADDOPTS": "-p no:cacheprovider",
        "PYTHONDONTWRITEBYTECODE": "1",
        "RUFF_NO_CACHE": "true",
        "MYPY_CACHE_DIR": str(tmp_path_factory.getbasetemp() / "mypy"),  # what all kinds import is read once
        # two pytests that clean up one folder at a time stumble over each other
        "PYTEST_DEBUG_TEMPROOT": str(tmp_path),
    }

    def run(command: str, project: Path) -> None:
        before = files(project)
        program, *words = command.split()
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *words],
            cwd=project,
            env=environment,
            capture_output=True,
            text=True,
            timeout=1400,  # 150 s on two idle cores
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert files(project) == before, "the check left something behind"

    return run


def code(project: Path) -> dict[str, str]:
    """The files that linters and type checker read, and the tests."""
    return {name: text for name, text in files(project).items() if name.endswith((".py", ".toml"))}


@pytest.mark.parametrize("command", LINTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_linters_find_nothing_in_a_generated_project(baked: Bake, check: Check, kind: str, command: str) -> None:
    check(command, baked(**KINDS[kind]))


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", TESTED)
def test_a_generated_project_passes_its_own_tests(baked: Bake, check: Check, name: str) -> None:
    check("pytest", baked(**TESTED[name]))


@pytest.mark.parametrize("name", OTHER_DATA)
def test_other_data_passes_the_tests_that_read_it(baked: Bake, check: Check, name: str) -> None:
    check(" ".join(["pytest", *(f"tests/{file}.py" for file in READ_DATA)]), baked(**OTHER_DATA[name]))


@pytest.mark.parametrize("kind", OTHERS.values())
def test_what_differs_in_a_service_of_another_kind_passes_its_tests(baked: Bake, check: Check, kind: str) -> None:
    """The rest is the same as in a service for chats, and takes minutes."""
    tests = (f"test_{kind}", *TESTS_OF_OTHERS)
    check(" ".join(["pytest", *(f"tests/{name}.py" for name in tests)]), baked(**KINDS[kind]))


def kind(model_id: str) -> str:
    return str(known_model(model_id, "published")["kind"])


NAMES = {"project_name": "A service", "project_slug": "a-service"}  # they would follow from the model


@every_combination
def test_all_projects_of_a_kind_have_the_same_code(baked: Bake, answers: Answers) -> None:
    assert code(baked(**answers | NAMES)) == code(baked(**KINDS[kind(answers["model_id"])] | NAMES))


@pytest.mark.parametrize("model_id", different_models())
def test_a_known_model_changes_no_code(baked: Bake, model_id: str) -> None:
    assert code(baked(model_id=model_id, **NAMES)) == code(baked(**KINDS[kind(model_id)] | NAMES))
