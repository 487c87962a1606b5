"""The command of each kind of known model, run with the stand-in engine, and asked by its own smoke test."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
import yaml

from template_catalogue import catalogue
from tests.rendered import Bake, different_models
from tests.sandbox.test_engine import VLLM, answers, environ, free_port, wait_until

LORA = "--enable-lora --max-lora-rank 32 --lora-modules sql=acme/sql-lora"
CHECK = """
import json, sys
from operate import smoke
url, service = sys.argv[1:]
print(json.dumps(smoke.check(url, "t", json.loads(service)).as_json()))
"""


@contextmanager
def served(project: Path, **variables: str) -> Iterator[httpx.Client]:
    """The service's command with `variables` over its environment, once it answers; stopped as dstack stops it."""
    service = yaml.safe_load((project / "dstack" / "service.dstack.yml").read_text("utf-8"))
    port = free_port()
    settings = {name: str(value) for name, value in service["env"].items()} | variables
    sandbox = {"SANDBOX_PORT": str(port), "SANDBOX_LOAD_SECONDS": "0", "SANDBOX_TOKEN_SECONDS": "0"}
    environment = environ(**settings, **sandbox)
    environment["PATH"] = os.pathsep.join((str(VLLM.parent), environment["PATH"]))
    with (
        subprocess.Popen(
            ["sh", "-c", "\n".join(service["commands"])], env=environment, start_new_session=True
        ) as shell,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        try:
            wait_until(lambda: answers(client))
            yield client
        finally:
            os.killpg(shell.pid, signal.SIGKILL)


def smoke(project: Path, client: httpx.Client, **variables: str) -> subprocess.CompletedProcess[str]:
    """What the project's own smoke test says of the engine, with the service's document, `variables` over its own."""
    service = yaml.safe_load((project / "dstack" / "service.dstack.yml").read_text("utf-8"))
    service["env"] |= variables
    command = [sys.executable, "-c", CHECK, str(client.base_url.join("/v1")), json.dumps(service)]
    return subprocess.run(command, cwd=project, capture_output=True, text=True)


@pytest.mark.parametrize("model_id", different_models())
def test_a_known_model_passes_its_own_smoke_test(baked: Bake, model_id: str) -> None:
    entry, project = catalogue()[model_id], baked(model_id=model_id)
    with served(project) as client:
        done = smoke(project, client)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["model"] == model_id
    assert ("tool_ms" in report) == ("tool_parser" in entry)
    assert ("think" in report["text"]) == ("reasoning_parser" in entry)


def test_an_adapter_is_a_setting_and_callers_ask_for_it_by_name(baked: Bake) -> None:
    project = baked()
    with served(project, LORA_FLAGS=LORA) as client:
        models = client.get("/v1/models").json()["data"]
        done = smoke(project, client)
    assert [model["id"] for model in models] == ["mistralai/Mistral-Nemo-Instruct-2407", "sql"]
    assert done.returncode == 0, done.stderr


def test_tools_that_are_switched_off_are_refused(baked: Bake) -> None:
    project = baked()
    with served(project, TOOL_FLAGS="") as client:
        assert smoke(project, client, TOOL_FLAGS="").returncode == 0
        assert "--enable-auto-tool-choice" in smoke(project, client).stderr
