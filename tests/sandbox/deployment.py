"""Deploying with dstack's own command line, and asking the result a question."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psutil
import requests
import yaml

from sandbox import PodInfo, Sandbox

ROOT = Path(__file__).parents[2]
T = TypeVar("T")
MODEL = "mistralai/Mistral-Nemo-Instruct-2407"
FLEET: dict[str, Any] = {"type": "fleet", "name": "chat", "nodes": "0..2", "backends": ["runpod", "vastai"]}
SERVICE: dict[str, Any] = {
    "type": "service",
    "name": "chat",
    "image": "vllm/vllm-openai:v0.28.0",
    "commands": [f"exec vllm serve {MODEL} --port 8000"],
    "port": 8000,
    "model": MODEL,
    "probes": [{"type": "http", "url": "/health", "interval": "5s"}],
    "gateway": False,
    "fleets": ["chat"],
    "backends": ["runpod", "vastai"],
    "spot_policy": "on-demand",
    "resources": {"gpu": "32GB", "disk": "100GB.."},  # Vast.ai's is the cheaper one
}


def processes_of(folder: Path) -> list[psutil.Process]:
    """All processes whose command line (in their `info`) or working directory tells of a sandbox in `folder`."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "cwd"], ad_value="")
        if str(folder) in " ".join([*process.info["cmdline"], process.info["cwd"]])
    ]


def dstack_server_of(folder: Path) -> psutil.Process | None:
    """The dstack server of a sandbox in `folder`, once it was started.

    An engine has `--port` too. For an instant, so has a program that the server starts: the server is the oldest.
    """
    servers = [process for process in processes_of(folder) if {"server", "--port"} <= set(process.info["cmdline"])]
    return min(servers, key=lambda process: process.create_time(), default=None)


def wait_for(found: Callable[[], T | None], seconds: float = 120.0) -> T:
    """What `found` returns once it isn't None or empty; fails after `seconds`.

    A question that takes long is asked less often: asking takes half of the time at most.
    """
    asked = time.monotonic()
    end = asked + seconds
    while not (value := found()):
        now = time.monotonic()
        assert now < end, f"not within {seconds:g} s"
        time.sleep(max(0.3, now - asked))
        asked = time.monotonic()
    return value


class Deployment:
    """A fleet and a service called `chat`."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox = sandbox
        self._folder = folder
        folder.mkdir(exist_ok=True)

    def dstack(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run dstack's command line as the sandbox's admin, with a HOME of its own."""
        environ = {"PATH": os.environ["PATH"], "HOME": str(self._folder), "COLUMNS": "200", **self.sandbox.environ}
        command = [str(Path(sys.executable).with_name("dstack")), *args]
        return subprocess.run(
            command, cwd=self._folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )

    def apply(self, **changes: Any) -> subprocess.CompletedProcess[str]:
        """Apply the fleet and then the service, with `changes` to the service; returns what the latter said."""
        for document in (FLEET, SERVICE | changes):
            file = self._folder / f"{document['type']}.dstack.yml"
            file.write_text(yaml.safe_dump(document))
            said = self.dstack("apply", "-f", str(file), "-y", "-d")
        return said

    def run(self) -> dict[str, Any]:
        """The run as the dstack server tells it; empty when there was none."""
        url = f"{self.sandbox.url}/api/project/{self.sandbox.project}/runs/get"
        headers = {"Authorization": f"Bearer {self.sandbox.token}"}
        said = requests.post(url, json={"run_name": "chat"}, headers=headers, timeout=60)
        run: dict[str, Any] = said.json() if said.ok else {}
        return run

    def pod(self) -> PodInfo | None:
        """The service's newest pod that runs."""
        return next((pod for pod in reversed(self.sandbox.pods()) if pod.run == "chat" and pod.running), None)

    def ask(
        self, path: str = "/proxy/services/sandbox/chat/v1/chat/completions", seconds: float = 30
    ) -> requests.Response:
        """One chat through the dstack server; raises requests.Timeout after `seconds`."""
        body = {"model": MODEL, "messages": [{"role": "user", "content": "Are you there?"}]}
        headers = {"Authorization": f"Bearer {self.sandbox.token}"}
        return requests.post(f"{self.sandbox.url}{path}", json=body, headers=headers, timeout=seconds)

    def answer(self) -> str:
        """What the service says once it answers."""

        def content() -> str | None:
            response = self.ask()
            return response.json()["choices"][0]["message"]["content"] if response.ok else None

        return wait_for(content)

    def delete(self) -> None:
        """Stop the service; return when it is gone and all pods are released. The fleet stays: it costs nothing.

        A run or a fleet that still terminates must not be applied again: dstack takes it for unchanged.
        """
        self.dstack("stop", "chat", "-y")
        wait_for(lambda: self.run().get("status", "failed") in ("terminated", "failed", "done"))
        wait_for(lambda: all(pod.ended for pod in self.sandbox.pods()))
