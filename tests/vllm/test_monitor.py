"""engine/monitor.py beside real vLLM: its numbers, a full batch that is no hang, and an engine that really hangs."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import httpx
import psutil
import pytest

from sandbox.vllm.install import Installation
from tests.sandbox.server_view import finished, output, pull_until
from tests.vllm.serving import HELLO, Engine, started

HANG_SECONDS = 15  # above the 10 seconds from one scrape to the next
BATCH = 2


@pytest.fixture(scope="module")
def engine(vllm: Installation, service: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    folder, seconds = tmp_path_factory.mktemp("cloud"), str(HANG_SECONDS)
    with started(vllm, service, folder, HANG_SECONDS=seconds, MAX_NUM_SEQS=str(BATCH)) as engine:
        engine.chat()  # an engine's first answer takes seconds more
        yield engine


def said(engine: Engine) -> str:
    return output(engine.runner.pull(0))


def lines(engine: Engine) -> list[dict[str, Any]]:
    """The monitor's lines until now."""
    found = [line for line in said(engine).splitlines() if line.startswith('{"monitor":')]
    return [json.loads(line)["monitor"] for line in found]


def next_line(engine: Engine) -> dict[str, Any]:
    """The first line that is printed from now on."""
    count, deadline = len(lines(engine)), time.monotonic() + 60
    while len(found := lines(engine)) == count:
        assert time.monotonic() < deadline, "the monitor prints no line"
        time.sleep(0.5)
    return found[count]


def test_its_numbers_are_vllms(engine: Engine) -> None:
    before = next_line(engine)
    for _ in range(3):
        engine.chat(max_tokens=20)
    line = next_line(engine)
    seconds = line["at"] - before["at"]
    assert round(line["requests_per_second"] * seconds) == 3
    assert line["output_tokens_per_second"] * seconds == pytest.approx(60, rel=0.05)
    assert line["prompt_tokens_per_second"] > 0
    assert (line["running"], line["waiting"], line["in_flight"], line["preemptions"]) == (0, 0, 0, 0)
    for name in ("time_to_first_token", "inter_token_latency"):
        assert 0 < line[name]["p50"] <= line[name]["p95"]
    idle = next_line(engine)
    assert (idle["requests_per_second"], idle["time_to_first_token"]["p50"]) == (0, None)


def test_a_full_batch_is_no_hang(engine: Engine) -> None:
    """For longer than HANG_SECONDS more requests wait than run."""
    deadline = time.monotonic() + 2 * HANG_SECONDS + 10

    def call(_: int) -> None:
        while time.monotonic() < deadline:
            with suppress(httpx.RemoteProtocolError):  # a connection that was lost says nothing of the engine
                engine.chat(max_tokens=500)

    count = len(lines(engine))
    with ThreadPoolExecutor(3 * BATCH) as callers:
        list(callers.map(call, range(3 * BATCH)))
    full = [line for line in lines(engine)[count:] if line["waiting"]]
    assert len(full) >= 2
    assert {line["running"] for line in full} == {BATCH}
    assert max(line["in_flight"] for line in full) == 3 * BATCH
    assert "hangs" not in said(engine)


def test_a_caller_who_goes_leaves_nothing_in_flight(engine: Engine) -> None:
    """vLLM tells of a step without an answer too, so its gauges do not keep a request that nobody waits for."""
    body = HELLO | {"stream": True, "max_tokens": 5000}
    with engine.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        next(answer.iter_lines())
    next_line(engine)
    line = next_line(engine)
    assert (line["running"], line["waiting"], line["in_flight"]) == (0, 0, 0)


def test_an_engine_that_hangs_ends_the_container_with_an_error(engine: Engine) -> None:
    """Its process is stopped. The API's process answers /health as before, and counts what it can't pass on."""
    home = str(engine.pod.spec.folder / "home")
    cores = [process for process in psutil.process_iter() if "EngineCore" in process.name()]
    [core] = [core for core in cores if any(parent.environ().get("HOME") == home for parent in core.parents()[:-1])]
    os.kill(core.pid, signal.SIGSTOP)
    with ThreadPoolExecutor(1) as callers:
        asked = callers.submit(engine.http.post, "/v1/chat/completions", json=HELLO)
        time.sleep(2)
        assert engine.http.get("/health").status_code == 200
        end = pull_until(engine.runner, finished, 120)
        with pytest.raises(httpx.HTTPError):
            asked.result(30)
    text = output(end)
    assert "monitor: engine 0 hangs: no sign of life for 15 s with requests in flight" in text
    assert end.job_states[-1].state.value == "failed"
    assert end.job_states[-1].exit_status == 137
