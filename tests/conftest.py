"""Bakes of the template: `bake` makes a project for one test, `baked` shares it with all tests that only read it."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cookiecutter.exceptions import FailedHookException
from hypothesis import settings

from tests.rendered import ROOMS, ROOT, Bake

settings.register_profile("any machine", deadline=None)  # how long an example takes depends on what else runs
settings.load_profile("any machine")

HERE = Path(__file__).parent
SLOW = (  # of all that starts no dstack server: linters and tests of every rendering, act, cruft, pods
    *("cruft/", "workflows/", "invariants/test_every_call.py", "invariants/test_hunt.py"),
    *("sandbox/test_gateway.py", "sandbox/test_jobs.py", "sandbox/test_pod_isolation.py"),
    *("documentation/test_site.py", "test_account.py", "test_command_line.py", "test_fleet_limits.py"),
    *("test_generate_many.py", "test_generated.py", "test_pre_commit.py", "test_served.py"),
    *("test_setup_github.py", "test_sizing_from_hugging_face.py", "test_workflows.py"),
)
# Files with a dstack server that take longest, in this order: all workers would wait for one that started last.
LONGEST = (
    *("end_to_end/test_gateway.py", "end_to_end/test_gateway_outages.py", "end_to_end/test_recovery.py"),
    *("end_to_end/test_history.py", "sandbox/test_deployments.py", "workflows/test_pipeline.py"),
    *("end_to_end/test_forgotten.py", "workflows/test_pipeline_in_a_vpc.py", "end_to_end/test_first_hour.py"),
    *("end_to_end/test_asleep.py", "end_to_end/test_faults.py", "end_to_end/test_demo.py"),
    *("end_to_end/test_gateway_replaced.py", "end_to_end/test_failed_updates.py", "end_to_end/test_alarms.py"),
    *("end_to_end/test_updates.py", "invariants/test_sequences.py", "end_to_end/test_policies.py"),
    *("end_to_end/test_gateway_variants.py", "end_to_end/test_seeing.py", "end_to_end/test_replicas.py"),
    *("end_to_end/test_overtaken.py", "end_to_end/test_documents.py"),
    *("sandbox/test_gateway.py", "end_to_end/test_records.py", "end_to_end/test_deploys.py"),
)
QUESTIONS = {key for key in json.loads((ROOT / "cookiecutter.json").read_text("utf-8")) if not key.startswith("_")}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _file(item).startswith(SLOW):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: LONGEST.index(_file(item)) if _file(item) in LONGEST else len(LONGEST))


def _file(item: pytest.Item) -> str:
    return item.path.relative_to(HERE).as_posix()


def _bake(cookies: Any, answers: dict[str, str]) -> Path:
    """The project that pytest-cookies renders from `answers`, without ~/.cookiecutterrc.

    Raises what stopped the rendering, and for an answer to no question: cookiecutter would ignore it.
    """
    if unknown := answers.keys() - QUESTIONS:
        raise ValueError(f"cookiecutter.json doesn't ask for {', '.join(sorted(unknown))}")
    result = cookies.bake(extra_context=answers, template=str(ROOT))
    if result.exception is not None:
        raise result.exception
    return Path(result.project_path)


@pytest.fixture
def bake(cookies: Any) -> Bake:
    """bake(**answers): a new project, the test's own to change."""
    return lambda **answers: _bake(cookies, answers)


@pytest.fixture(scope="session")
def baked(cookies_session: Any) -> Bake:
    """baked(**answers): a project to read, rendered once for all tests that give the same answers."""
    projects: dict[frozenset[tuple[str, str]], Path] = {}

    def project(**answers: str) -> Path:
        key = frozenset(answers.items())
        if key not in projects:
            projects[key] = _bake(cookies_session, answers)
        return projects[key]

    return project


@pytest.fixture(scope="session")
def rooms(baked: Bake) -> dict[str, Any]:
    """The packages of a rendering by name, with all their modules: imported while the rendering is on the path."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(baked())
        for name in ROOMS:
            for path in sorted((baked() / name).rglob("*.py")):
                module = ".".join(path.relative_to(baked()).with_suffix("").parts)
                importlib.import_module(module.removesuffix(".__init__"))
        return {name: importlib.import_module(name) for name in ROOMS}


@pytest.fixture(scope="session")
def console(rooms: dict[str, Any]) -> Any:
    """The package `console` of a rendering."""
    return rooms["console"]


@pytest.fixture(scope="session")
def deploy(rooms: dict[str, Any]) -> Any:
    """The package `deploy` of a rendering."""
    return rooms["deploy"]


@pytest.fixture(scope="session")
def capacity(rooms: dict[str, Any]) -> Any:
    """The package `capacity` of a rendering."""
    return rooms["capacity"]


@pytest.fixture(scope="session")
def local(deploy: Any) -> Any:
    """Modules of a rendering that check documents; hypothesis would ask the package `deploy` for names it has not."""
    names = ("combined", "references", "schema", "server_rules")
    found = {name: getattr(deploy.documents, name) for name in names}
    return SimpleNamespace(environments=deploy.environments, **found)


@pytest.fixture
def refusal(cookies: Any, tmp_path: Path) -> Callable[..., str]:
    """refusal(**answers): what cookiecutter says when it refuses them; fails when anything stays on disk."""

    def refuse(**answers: str) -> str:
        with pytest.raises(FailedHookException) as refused:
            _bake(cookies, answers)
        assert (tmp_path / "cookies").is_dir(), "pytest-cookies renders somewhere else now"
        assert list((tmp_path / "cookies").glob("*/*")) == []
        return f"{refused.value}\n"

    return refuse
