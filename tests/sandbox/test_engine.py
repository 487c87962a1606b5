"""The stand-in engine, as a client of vLLM meets it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).parents[2]
VLLM = ROOT / "sandbox" / "pods" / "bin" / "vllm"
MODEL = "mistralai/Mistral-Nemo-Instruct-2407"
HELLO = {"model": MODEL, "messages": [{"role": "user", "content": "Hello there"}]}


@contextmanager
def engine(*flags: str, model: str = MODEL, **env: str) -> Iterator[tuple[httpx.Client, subprocess.Popen[str]]]:
    """`vllm serve MODEL flags…` that has loaded, and a client of it."""
    port = free_port()
    with subprocess.Popen(
        [VLLM, "serve", model, "--host", "127.0.0.1", "--port", str(port), *flags],
        env=environ(**{"SANDBOX_LOAD_SECONDS": "0"} | env),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
                wait_until(lambda: answers(client))
                yield client, process
        finally:
            process.kill()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def environ(**env: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "SANDBOX_PYTHON": sys.executable,
        "SANDBOX_PYTHONPATH": os.pathsep.join((str(ROOT), *filter(None, sys.path))),
        **env,
    }


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/health").status_code == 200
    except httpx.ConnectError:
        return False


def wait_until(true: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def events(response: httpx.Response) -> list[Any]:
    """The data of a stream's events; the last one, [DONE], as it is."""
    lines = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    return [json.loads(line) if line != "[DONE]" else line for line in lines]


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with engine("--max-model-len", "100", SANDBOX_TOKEN_SECONDS="0") as (client, _):
        yield client


def test_it_says_that_it_is_a_stand_in(client: httpx.Client) -> None:
    reply = client.post("/v1/chat/completions", json=HELLO).json()
    assert "stand-in for vLLM" in reply["choices"][0]["message"]["content"]
    assert "Hello there" in reply["choices"][0]["message"]["content"]
    assert "stand-in" in client.get("/v1/models").json()["data"][0]["owned_by"]
    assert "standin" in client.get("/version").json()["version"]
    completion = client.post("/v1/completions", json={"model": MODEL, "prompt": "Once"}).json()
    assert "stand-in for vLLM" in completion["choices"][0]["text"]


def test_usage_adds_up_and_max_tokens_is_honoured(client: httpx.Client) -> None:
    reply = client.post("/v1/chat/completions", json=HELLO | {"max_tokens": 1}).json()
    usage = reply["usage"]
    assert reply["choices"][0]["finish_reason"] == "length"
    assert reply["choices"][0]["message"]["content"] == "I"
    assert usage["completion_tokens"] == 1
    assert usage["total_tokens"] == usage["prompt_tokens"] + 1
    endless = client.post("/v1/chat/completions", json=HELLO | {"max_tokens": 50, "ignore_eos": True}).json()
    assert endless["usage"]["completion_tokens"] == 50


def test_stop_ends_the_answer_before_its_text(client: httpx.Client) -> None:
    choice = client.post("/v1/chat/completions", json=HELLO | {"stop": ["stand-in", "vLLM"]}).json()["choices"][0]
    assert choice["message"]["content"] == "I am the sandbox's"
    assert choice["finish_reason"] == "stop"


def test_a_stream_gives_the_same_text_in_pieces_and_ends_with_done(client: httpx.Client) -> None:
    whole = client.post("/v1/chat/completions", json=HELLO).json()
    options = {"stream": True, "stream_options": {"include_usage": True}}
    with client.stream("POST", "/v1/chat/completions", json=HELLO | options) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        *chunks, usage, done = events(response)
    assert done == "[DONE]"
    assert len(chunks) == whole["usage"]["completion_tokens"] + 1
    text = "".join(chunk["choices"][0]["delta"]["content"] for chunk in chunks)
    assert text == whole["choices"][0]["message"]["content"]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[-2:]] == [None, "stop"]
    assert (usage["choices"], usage["usage"]) == ([], whole["usage"])


@pytest.mark.parametrize(
    ("body", "status", "parameter"),
    [
        (json.dumps(HELLO | {"model": "gpt-5"}), 404, "model"),
        ("{not json", 400, None),
        ("[]", 400, None),
        ("{}", 400, None),
        (json.dumps(HELLO | {"messages": []}), 400, "messages"),
        (json.dumps(HELLO | {"max_tokens": 0}), 400, "max_tokens"),
        (json.dumps(HELLO | {"max_tokens": 99}), 400, "max_tokens"),
        (json.dumps(HELLO | {"n": 2}), 400, "n"),
        (json.dumps(HELLO | {"tools": [{"type": "function"}]}), 400, None),
    ],
)
def test_errors_have_the_shape_of_vllms(client: httpx.Client, body: str, status: int, parameter: str | None) -> None:
    response = client.post("/v1/chat/completions", content=body)
    error = response.json()["error"]
    assert (response.status_code, error["code"], error["param"]) == (status, status, parameter)
    assert error["type"] == {404: "NotFoundError", 400: "BadRequestError"}[status]
    assert error["message"]


def test_an_unknown_path_is_not_found(client: httpx.Client) -> None:
    assert client.get("/v1/nothing").status_code == 404
    assert client.get("/v1/chat/completions").status_code == 405


def test_the_metrics_have_vllms_names_and_count(client: httpx.Client) -> None:
    def counted() -> float:
        lines = client.get("/metrics").text.splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith("vllm:generation_tokens_total{"))

    before = counted()
    reply = client.post("/v1/chat/completions", json=HELLO).json()
    assert counted() == before + reply["usage"]["completion_tokens"]
    for name in ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc", "request_success_total"):
        assert f'vllm:{name}{{engine="0"' in client.get("/metrics").text
    assert f'vllm:time_to_first_token_seconds_count{{engine="0",model_name="{MODEL}"}}' in client.get("/metrics").text


def test_served_names_adapters_and_the_api_key() -> None:
    flags = ("--served-model-name", "nemo", "--enable-lora", "--lora-modules", "sql=/lora", "--api-key", "secret")
    with engine(*flags) as (client, process):
        assert client.get("/v1/models").status_code == 401
        assert client.get("/metrics").status_code == 200
        client.headers["Authorization"] = "Bearer secret"
        assert [model["id"] for model in client.get("/v1/models").json()["data"]] == ["nemo", "sql"]
        assert client.post("/v1/chat/completions", json=HELLO).status_code == 404
        assert client.post("/v1/chat/completions", json=HELLO | {"model": "sql"}).status_code == 200
        process.terminate()
        assert "secret" not in process.communicate()[0]


def test_streams_in_flight_finish_within_the_shutdown_timeout() -> None:
    with engine("--shutdown-timeout", "20", SANDBOX_TOKEN_SECONDS="0.1") as (client, process):
        with client.stream("POST", "/v1/chat/completions", json=HELLO | {"stream": True}) as response:
            lines = response.iter_lines()
            next(lines)
            process.terminate()
            time.sleep(0.3)
            assert client.get("/health").status_code == 200
            refused = client.post("/v1/chat/completions", json=HELLO)
            assert (refused.status_code, refused.json()["error"]["code"]) == (500, 500)
            *_, last, done = filter(None, lines)
        assert json.loads(last.removeprefix("data: "))["choices"][0]["finish_reason"] == "stop"
        assert done == "data: [DONE]"
        assert process.wait(10) == 0


@pytest.mark.parametrize("timeout", ["0", "1"])
def test_streams_that_outlive_the_shutdown_timeout_end_with_an_error_event(timeout: str) -> None:
    with engine("--shutdown-timeout", timeout, SANDBOX_TOKEN_SECONDS="0.5") as (client, process):
        with client.stream("POST", "/v1/chat/completions", json=HELLO | {"stream": True}) as response:
            threading.Timer(0.7, process.terminate).start()
            *_, last, done = events(response)
        assert (last["error"]["code"], done) == (500, "[DONE]")
        assert process.wait(10) == 0


def test_ctrl_c_ends_streams_at_once_whatever_the_shutdown_timeout() -> None:
    with engine("--shutdown-timeout", "20", SANDBOX_TOKEN_SECONDS="0.5") as (client, process):
        with client.stream("POST", "/v1/chat/completions", json=HELLO | {"stream": True}) as response:
            threading.Timer(0.7, process.send_signal, [signal.SIGINT]).start()
            *_, last, done = events(response)
        assert (last["error"]["code"], done) == (500, "[DONE]")
        assert process.wait(10) == 0


def test_loading_takes_its_time_and_is_logged() -> None:
    with engine(SANDBOX_LOAD_SECONDS="1") as (_, process):
        process.terminate()
        said = process.communicate()[0]
    assert "Starting to load model mistralai/Mistral-Nemo-Instruct-2407" in said
    assert "Loading weights took 1.00 seconds" in said
    assert said.index("100% Completed") < said.index("Application startup complete")


def test_a_crash_on_demand_ends_with_code_1_and_a_reason() -> None:
    crashed = subprocess.run(
        [str(VLLM), "serve", MODEL],
        env=environ(SANDBOX_LOAD_SECONDS="0", SANDBOX_CRASH="1"),
        capture_output=True,
        text=True,
    )
    assert crashed.returncode == 1
    assert "CUDA out of memory" in crashed.stdout


def test_a_port_in_use_ends_with_code_1_and_a_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        command = [str(VLLM), "serve", MODEL, "--host", "127.0.0.1", "--port", str(taken.getsockname()[1])]
        ended = subprocess.run(command, env=environ(SANDBOX_LOAD_SECONDS="0"), capture_output=True, text=True)
    assert ended.returncode == 1
    assert "address already in use" in ended.stdout.lower()


def test_a_setting_that_is_no_number_is_named() -> None:
    ended = subprocess.run(
        [str(VLLM), "serve", MODEL], env=environ(SANDBOX_TOKEN_SECONDS="fast"), capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert ended.stderr == "SANDBOX_TOKEN_SECONDS=fast: a number is expected\n"


def gauge(client: httpx.Client, name: str) -> float:
    """A metric without its labels."""
    [line] = [line for line in client.get("/metrics").text.splitlines() if line.startswith(f"vllm:{name}{{")]
    return float(line.rpartition(" ")[2])


def test_an_engine_that_hangs_says_that_it_is_well_and_counts_who_waits(tmp_path: Path) -> None:
    file = tmp_path / "hang"
    with engine("--enable-server-load-tracking", SANDBOX_HANG=str(file)) as (client, _):
        client.post("/v1/chat/completions", json=HELLO)
        assert client.get("/load").json() == {"server_load": 0}
        before = gauge(client, "iteration_tokens_total_count")
        assert before > 0
        file.touch()
        time.sleep(1)
        with pytest.raises(httpx.ReadTimeout):
            client.post("/v1/chat/completions", json=HELLO, timeout=1)
        caller = threading.Thread(target=silent, args=(client,))
        caller.start()
        wait_until(lambda: client.get("/load").json()["server_load"] > 0)
        assert client.get("/health").status_code == 200
        assert gauge(client, "iteration_tokens_total_count") == before
        assert gauge(client, "num_requests_running") == 0  # what it said last
        caller.join()


def silent(client: httpx.Client) -> None:
    """Send a chat that gets no answer."""
    with pytest.raises(httpx.ReadTimeout):
        client.post("/v1/chat/completions", json=HELLO, timeout=3)


def test_without_its_flag_an_engine_does_not_count_who_waits(tmp_path: Path) -> None:
    file = tmp_path / "hang"
    with engine(SANDBOX_HANG=str(file)) as (client, _):
        file.touch()
        time.sleep(1)
        caller = threading.Thread(target=silent, args=(client,))
        caller.start()
        time.sleep(1)
        assert client.get("/load").json() == {"server_load": 0}
        caller.join()


def test_a_load_that_one_sets_is_seen_in_the_metrics() -> None:
    with engine("--max-num-seqs", "4", SANDBOX_REQUESTS="6") as (client, _):
        wait_until(lambda: gauge(client, "num_requests_running") == 4)
        assert gauge(client, "num_requests_waiting") == 2
        assert gauge(client, "kv_cache_usage_perc") > 0
