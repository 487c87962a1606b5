"""One sandbox a test file, and environments in it: real dstack server, real commands, emulated clouds.

What is still deployed at the end goes with the sandbox: `inv destroy` takes up to a minute, and has tests of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.behind import need_hosts
from tests.end_to_end.project import Environment
from tests.rendered import ROOT

Make = Callable[..., Environment]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder starts a dstack server."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.server)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(load_seconds=1) as running:
        yield running


@pytest.fixture(scope="module")
def vpc() -> Iterator[Sandbox]:
    """A sandbox with an AWS account, in which private gateways are real hosts."""
    with Sandbox(aws=True, load_seconds=1) as running:
        need_hosts(running)
        yield running


@pytest.fixture(scope="module")
def project(cookies_session: Any) -> Path:
    """A project of its own: tests write environments into it."""
    result = cookies_session.bake(template=str(ROOT))
    return Path(result.project_path)


@pytest.fixture
def make(project: Path, sandbox: Sandbox) -> Iterator[Make]:
    """make(name, **settings): an environment with its own run and fleet; at the end the clouds are well again."""

    def environment(name: str, **settings: Any) -> Environment:
        made = Environment(project, sandbox, name)
        made.write(**settings)
        return made

    yield environment
    sandbox.faults.clear()


@pytest.fixture(scope="module")
def serving(project: Path, sandbox: Sandbox) -> Environment:
    """A service that is deployed already; a test that changes it leaves it serving."""
    environment = Environment(project, sandbox, "serving")
    environment.write()
    environment.deploy()
    return environment
