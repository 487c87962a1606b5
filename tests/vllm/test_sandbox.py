"""A sandbox whose pods run real vLLM: `inv deploy` in a generated repository, and an answer of vLLM's own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.vllm.install import Installation
from tests.end_to_end.project import Environment
from tests.rendered import ROOT, Bake
from tests.sandbox.deployment import wait_for

READY_SECONDS = 600  # vLLM takes 70 s to start on two cores that have little else to do


@pytest.fixture
def environment(vllm: Installation, bake: Bake) -> Iterator[Environment]:
    with Sandbox(engine=vllm.variables()) as sandbox:
        environment = Environment(bake(), sandbox, "cpu")
        environment.write(timeouts={"capacity": 120, "ready": READY_SECONDS})
        yield environment


def test_a_deployed_service_answers_with_vllm(environment: Environment) -> None:
    """Random weights call no tool: the deploy's smoke test would end with 30, so it is interrupted before that."""
    with environment.start("deploy", "--yes") as process:
        assert process.stderr
        ready = any(line.rstrip().endswith(": ready") for line in process.stderr)
        process.send_signal(signal.SIGINT)
        _, rest = process.communicate(timeout=60)
    assert ready, rest
    wait_for(lambda: environment.ask().ok, 180)
    answer = environment.ask().json()
    assert answer["choices"][0]["message"]["content"]
    assert "stand-in" not in str(answer)
    assert environment.inv("destroy", "--yes").returncode == 0


def test_a_model_needs_the_real_engine(tmp_path: Path) -> None:
    for words, said in (
        (["--model", str(tmp_path)], "the stand-in has no models; add --engine vllm"),
        (["--model", str(tmp_path), "--engine", "vllm"], f"{tmp_path}: a model's folder has a config.json"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "sandbox", "up", *words], cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 1
        assert done.stderr.startswith(f"sandbox: {said}")
