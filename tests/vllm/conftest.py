"""The real vLLM, for this folder's tests: installed on first use, skipped where it can't be, but never in CI."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sandbox.errors import SandboxError
from sandbox.vllm import install
from sandbox.vllm.install import Installation
from tests.rendered import Bake


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder runs vLLM."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)


def sent(project: Path) -> dict[str, Any]:
    """The service as `inv deploy --env sandbox` sends it."""
    variables = {"DSTACK_SERVER_URL": "http://127.0.0.1:1", "DSTACK_TOKEN": "none"}
    command = [sys.executable, "-m", "invoke", "render", "--env", "sandbox", "--json"]
    done = subprocess.run(command, cwd=project, env=variables, check=True, capture_output=True, text=True)
    document: dict[str, Any] = json.loads(done.stdout)["service"]
    return document


@pytest.fixture(scope="session")
def service(baked: Bake) -> dict[str, Any]:
    return sent(baked())


@pytest.fixture(scope="session")
def vllm() -> Installation:
    try:
        return install.get()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
