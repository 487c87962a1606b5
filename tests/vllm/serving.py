"""Real vLLM in a pod, started by a service's own command line."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from dstack._internal.server.services.runner.client import RunnerClient

from sandbox.pods.pod import Pod
from sandbox.vllm.install import Installation
from tests.sandbox.server_view import Cloud, application, finished, output, pull_until, runner, serving, submit

START_SECONDS = 600  # 70 on two cores that have little else to do
MODEL = "mistralai/Mistral-Nemo-Instruct-2407"
HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 16, "ignore_eos": True}


@dataclass(frozen=True)
class Engine:
    """A service that runs, as dstack sees it and as its callers do."""

    service: dict[str, Any]
    runner: RunnerClient
    http: httpx.Client
    pod: Pod

    def chat(self, **body: Any) -> dict[str, Any]:
        """The first choice of the answer."""
        response = self.http.post("/v1/chat/completions", json=HELLO | body)
        assert response.status_code == 200, response.text
        choice: dict[str, Any] = response.json()["choices"][0]
        return choice


@contextmanager
def started(
    vllm: Installation, service: dict[str, Any], folder: Path, *, model: Path | None = None, **environ: str
) -> Iterator[Engine]:
    """The service's engine, once it serves, with the model in a folder; `environ` goes over the service's own `env`."""
    cloud = Cloud(folder)
    try:
        pod = cloud.start(engine=vllm.variables(model))
        with runner(pod, cloud.private_key) as client, application(pod, cloud.private_key) as http:
            env = {name: str(value) for name, value in service["env"].items()} | environ
            submit(client, "\n".join(service["commands"]), env)
            client.run_job()
            began = time.monotonic()
            said = pull_until(client, lambda answer: serving(answer) or finished(answer), START_SECONDS)
            assert serving(said), output(said)
            print(f"vLLM took {time.monotonic() - began:.0f} s to start")
            http.timeout = httpx.Timeout(120)
            yield Engine(service, client, http, pod)
    finally:
        cloud.close()
