"""The real vLLM, for this folder's tests: installed on first use, skipped where it can't be, but never in CI."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sandbox.errors import SandboxError
from sandbox.vllm import install
from sandbox.vllm.install import Installation


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder runs vLLM."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.vllm)


@pytest.fixture(scope="session")
def vllm() -> Installation:
    try:
        return install.get()
    except SandboxError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
