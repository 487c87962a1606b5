"""A generated project to drive as a person would: its environments, its `inv`, and callers who use what it deployed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
import yaml

from sandbox import Sandbox

MODEL = "mistralai/Mistral-Nemo-Instruct-2407"
PROBE_INTERVAL = "1s"  # the shortest that dstack takes; `inv demo` and the workflows' tests have the service's own
PATIENCE = {"capacity": 240, "ready": 300}  # seconds; a deploy that has to succeed does so on a busy machine too


@dataclass(frozen=True)
class Answer:
    """What a caller got: `failure` is None when it was whole; times as time.monotonic() has them."""

    began: float
    ended: float
    failure: str | None


@dataclass
class Environment:
    """One environment of the project: its own run and fleet, so that tests don't meet."""

    project: Path
    sandbox: Sandbox
    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def run_name(self) -> str:
        return f"mistral-nemo-{self.name}"

    @property
    def url(self) -> str:
        return f"{self.sandbox.url}/proxy/services/{self.sandbox.project}/{self.run_name}/v1"

    @property
    def prefix(self) -> list[str]:
        """What a command of the project runs under."""
        return []

    @property
    def headers(self) -> dict[str, str]:
        """What a caller sends."""
        return {"Authorization": f"Bearer {self.sandbox.token}"}

    def write(self, **settings: Any) -> None:
        """Write the environment's file: the sandbox's, patient, with frequent probes, and `settings` over its keys."""
        self.settings = self.settings | settings
        common = yaml.safe_load((self.project / "environments" / "sandbox.yml").read_text("utf-8"))
        document = common | {"timeouts": PATIENCE} | self.settings
        service = document.get("service", {})
        environ = {"env": {"HF_TOKEN": None} | service.get("env", {})}
        document["service"] = {"probes": self._frequent_probes()} | service | environ
        (self.project / "environments" / f"{self.name}.yml").write_text(yaml.safe_dump(document), "utf-8")

    def _frequent_probes(self) -> list[dict[str, Any]]:
        """The service's own probes, PROBE_INTERVAL apart: with its own, a new replica takes 15 seconds longer."""
        service = yaml.safe_load((self.project / "dstack" / "service.dstack.yml").read_text("utf-8"))
        return [probe | {"interval": PROBE_INTERVAL} for probe in service["probes"]]

    def start(self, *words: str, piped: int = subprocess.DEVNULL, **variables: str) -> subprocess.Popen[str]:
        """Start `inv …` in the project."""
        others = ("DSTACK_", "COLUMNS")  # the test runner's width would fold tables
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(others)}
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "invoke", *words, "--env", self.name],
            cwd=self.project,
            env=inherited | self.sandbox.environ | variables,
            stdin=piped,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def inv(self, *words: str, typed: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run `inv …` to its end; `typed` comes through a pipe."""
        piped = subprocess.DEVNULL if typed is None else subprocess.PIPE
        process = self.start(*words, piped=piped, **variables)
        output, errors = process.communicate(typed, timeout=600)
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    def inv_asked(
        self, *words: str, meanwhile: Callable[[], object], answer: str = "y"
    ) -> subprocess.CompletedProcess[str]:
        """Run `inv …` on a terminal. When it asks, let something else happen before it gets its answer."""
        terminal, other_end = os.openpty()
        try:
            process = self.start(*words, piped=other_end)
            assert process.stderr
            asked = ""
            while "[y/N]" not in asked:
                character = process.stderr.read(1)
                assert character, f"it ended without a question: {asked}"
                asked += character
            meanwhile()
            os.write(terminal, f"{answer}\n".encode())
            output, errors = process.communicate(timeout=600)
        finally:
            os.close(terminal)
            os.close(other_end)
        return subprocess.CompletedProcess(words, process.returncode, output, f"{asked}\n{errors}")

    def ask_dstack(self, path: str, **body: Any) -> Any:
        """Return the dstack server's answer to a call of this project; None for what does not exist."""
        url = f"{self.sandbox.url}/api/project/{self.sandbox.project}/{path}"
        answer = requests.post(url, json=body, headers=self.headers, timeout=60)
        if answer.status_code == 400 and "resource_not_exists" in answer.text:
            return None
        assert answer.ok, answer.text
        return answer.json() if answer.content else None

    def deploy(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Deploy, which has to succeed."""
        done = self.inv("deploy", "--yes", *words)
        assert done.returncode == 0, done.stderr
        return done

    def submit(self) -> subprocess.Popen[str]:
        """Start a deploy; returns when it has submitted its change and waits for it."""
        process = self.start("deploy", "--yes")
        assert process.stderr is not None
        for line in process.stderr:
            if "submitted" in line:
                return process
        raise AssertionError(f"it ended with {process.wait()} before it submitted anything")

    def status(self) -> dict[str, Any]:
        done = self.inv("status", "--json")
        assert done.returncode in (0, 46), done.stderr  # 46: nothing serves yet, or any more
        status: dict[str, Any] = json.loads(done.stdout)
        return status

    def ask(self, **body: Any) -> requests.Response:
        """One chat, as a backend sends it."""
        chat = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8} | body
        held = bool(body.get("stream_options"))  # the caller reads the stream piece by piece
        return requests.post(f"{self.url}/chat/completions", json=chat, headers=self.headers, timeout=60, stream=held)

    def context(self) -> int | None:
        """The MAX_MODEL_LEN of the engine that answers; None when nobody does."""
        answer = requests.get(f"{self.url}/models", headers=self.headers, timeout=30)
        return int(answer.json()["data"][0]["max_model_len"]) if answer.ok else None

    def flaw(self, stream: bool) -> str | None:
        """What is wrong with the answer to a chat; None when it is whole."""
        try:
            answer = self.ask(stream=stream)
        except requests.RequestException as error:
            return repr(error)
        whole = answer.text.rstrip().endswith("[DONE]" if stream else "}") and "error" not in answer.text
        return None if answer.ok and whole else f"{answer.status_code}, stream {stream}: {answer.text[-200:]}"

    @contextmanager
    def load(self, every: float = 0.2, callers: int = 2) -> Iterator[list[Answer]]:
        """Chats from half of the callers and streams from the others, `every` seconds after the last; their answers."""
        answers: list[Answer] = []
        over = threading.Event()

        def call(stream: bool) -> None:
            while not over.is_set():
                began = time.monotonic()
                failure = self.flaw(stream)
                answers.append(Answer(began, time.monotonic(), failure))
                time.sleep(every)

        threads = [threading.Thread(target=call, args=(number % 2 == 1,)) for number in range(callers)]
        for thread in threads:
            thread.start()
        try:
            yield answers
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def machines(self) -> list[str]:
        """Ids of this environment's machines that a cloud bills now."""
        return [pod.id for pod in self.sandbox.pods() if pod.running and (pod.run or "").startswith(self.run_name)]


def refused(done: subprocess.CompletedProcess[str], code: int, *said: str) -> None:
    """The command ended with this code and one line of instruction, no traceback."""
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    for text in said:
        assert text in error
