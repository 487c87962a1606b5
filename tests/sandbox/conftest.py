"""Sandboxes to test in: only the clouds, in seconds, or everything with the real dstack server."""

from __future__ import annotations

import gc
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from dstack._internal.core.backends.runpod.api_client import RunpodApiClient
from dstack._internal.core.backends.vastai.api_client import VastAIAPIClient

from sandbox import Sandbox
from tests.sandbox.deployment import Deployment


@pytest.fixture(scope="session")
def _clouds() -> Iterator[Sandbox]:
    with Sandbox(load_seconds=0.0, server=False) as sandbox:
        yield sandbox


@pytest.fixture
def clouds(_clouds: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Sandbox]:
    """Emulated clouds without faults, to which every HTTPS request of this process goes."""
    for name, value in _clouds.cloud_environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(urllib.request, "_opener", None)  # its proxies were chosen when it was first used
    yield _clouds
    _clouds.faults.clear()
    gc.collect()  # what a client left open must not be found, as a warning, in somebody else's test


@pytest.fixture
def runpod_client(clouds: Sandbox) -> RunpodApiClient:
    return RunpodApiClient(clouds.keys["runpod"])


@pytest.fixture
def vastai_client(clouds: Sandbox) -> VastAIAPIClient:
    return VastAIAPIClient(clouds.keys["vastai"])


@pytest.fixture(scope="session")
def _sandbox() -> Iterator[Sandbox]:
    with Sandbox(load_seconds=0.5) as sandbox:
        yield sandbox


@pytest.fixture
def deployment(_sandbox: Sandbox, tmp_path: Path) -> Iterator[Deployment]:
    """The real dstack in a sandbox without faults; what the test deployed is gone afterwards."""
    deployment = Deployment(_sandbox, tmp_path)
    yield deployment
    _sandbox.faults.clear()
    deployment.delete()


@pytest.fixture
def temporary(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where sandboxes make their temporary folders, and nobody else anything."""
    tmp_path_factory.getbasetemp()  # pytest's own, before it would be made in here
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", folder)
        yield Path(folder)
