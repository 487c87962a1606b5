"""Pods, through the connections and the client that the dstack server itself uses."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx
import psutil
import pytest
import websocket
from dstack._internal.core.consts import DSTACK_RUNNER_HTTP_PORT
from dstack._internal.core.errors import SSHError
from dstack._internal.core.models.runs import JobStatus

from tests.sandbox.server_view import Cloud, application, output, pull_until, runner, serving, states, submit, tunnel

SERVE = "vllm serve mistralai/Mistral-Nemo-Instruct-2407 --port 8000 --served-model-name nemo"
GIB = 1024**3


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.close()


def descendants() -> set[psutil.Process]:
    return set(psutil.Process().children(recursive=True))


def keep_asking(http: httpx.Client, seconds: float) -> None:
    """Overlooks answers that break off."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with suppress(httpx.ReadError, httpx.RemoteProtocolError):
            http.get("/health")


def test_the_server_runs_a_service_and_reads_its_logs(cloud: Cloud) -> None:
    pod = cloud.start()
    with runner(pod, cloud.private_key) as client:
        health = client.healthcheck()
        assert health is not None
        assert (health.service, health.version) == ("dstack-runner", "0.22.5")
        submit(client, SERVE)
        info = client.run_job()
        assert info is not None
        assert info.username == "root"
        answer = pull_until(client, serving)
        assert states(answer) == [JobStatus.RUNNING]
        assert answer.has_more
        moments = [event.timestamp for event in (*answer.job_states, *answer.job_logs, *answer.runner_logs)]
        assert len(set(moments)) == len(moments)
        assert client.pull(answer.last_updated).job_logs == []
    with application(pod, cloud.private_key) as http:
        assert http.get("/v1/models").json()["data"][0]["id"] == "nemo"


def test_who_attaches_sees_the_logs_from_the_beginning_to_the_end(cloud: Cloud) -> None:
    pod = cloud.start()
    with runner(pod, cloud.private_key) as client:
        submit(client, "echo first; sleep 1; echo last")
        client.run_job()
        pull_until(client, lambda answer: "first" in output(answer))
    seen = b""
    with tunnel(pod, cloud.private_key, DSTACK_RUNNER_HTTP_PORT) as path, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        logs = websocket.create_connection("ws://localhost/logs_ws", socket=connection)
        while message := logs.recv():
            assert isinstance(message, bytes)
            seen += message
    assert seen == b"first\nlast\n"


def test_a_pod_that_is_not_ready_never_finishes_loading(cloud: Cloud) -> None:
    pod = cloud.start(ready=False)
    with runner(pod, cloud.private_key) as client:
        submit(client, SERVE, env={"SANDBOX_LOAD_SECONDS": "0"})
        client.run_job()
        pull_until(client, lambda answer: "Starting to load model" in output(answer))
        time.sleep(1)
        assert not serving(client.pull(0))
    with application(pod, cloud.private_key) as http, pytest.raises(httpx.TransportError):
        http.get("/health")


def test_the_figures_follow_what_the_engine_does(cloud: Cloud) -> None:
    pod = cloud.start(gpu_count=2, load_seconds=6)
    with runner(pod, cloud.private_key) as client, application(pod, cloud.private_key) as http:
        figures = [client.get_metrics()]
        submit(client, f"{SERVE} --gpu-memory-utilization 0.5", env={"SANDBOX_TOKEN_SECONDS": "0.1"})
        client.run_job()
        pull_until(client, lambda answer: " 40% Completed" in output(answer))
        figures.append(client.get_metrics())
        pull_until(client, serving)
        client.get_metrics()
        http.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": "hello"}], "max_tokens": 3})
        figures.append(client.get_metrics())
        time.sleep(0.5)
        figures.append(client.get_metrics())
    idle, loading, busy, quiet = (figure for figure in figures if figure is not None)
    assert [gpu.gpu_memory_usage_bytes for gpu in idle.gpus] == [0, 0]
    assert 0 < loading.gpus[0].gpu_memory_usage_bytes < 12 * GIB
    assert [gpu.gpu_memory_usage_bytes for gpu in busy.gpus] == [12 * GIB, 0]
    assert idle.gpus[0].gpu_util_percent == loading.gpus[0].gpu_util_percent == quiet.gpus[0].gpu_util_percent == 0
    assert 20 <= busy.gpus[0].gpu_util_percent <= 100  # a pause of this machine counts as quiet
    assert idle.cpu_usage_micro < loading.cpu_usage_micro < busy.cpu_usage_micro < quiet.cpu_usage_micro
    assert idle.memory_usage_bytes < loading.memory_usage_bytes < busy.memory_usage_bytes < 32 * GIB


@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # httpcore's, when it is refused
def test_a_killed_pod_refuses_connections_and_leaves_nothing(cloud: Cloud) -> None:
    other = cloud.start()
    before = descendants()
    pod = cloud.start()
    with runner(pod, cloud.private_key) as client:
        submit(client, f"setsid sleep 600 & {SERVE}")  # the sleep leaves the job's session
        client.run_job()
        pull_until(client, serving)
    with application(pod, cloud.private_key) as http:
        assert http.get("/health").status_code == 200
        processes = descendants() - before
        assert {"sleep", "sh"} <= {process.name() for process in processes}
        cloud.kill(pod)
        _, alive = psutil.wait_procs(processes, timeout=5)  # the kernel clears them away a moment later
        assert not alive
        with pytest.raises(httpx.ConnectError):  # the tunnel has ended, not only the pod's end of it
            keep_asking(http, seconds=5)
    with pytest.raises(SSHError), runner(pod, cloud.private_key):
        pass
    cloud.kill(pod)
    assert (pod.running, other.running) == (False, True)


def test_a_pod_whose_runner_dies_is_noticed(cloud: Cloud) -> None:
    pod = cloud.start()
    for process in descendants():
        if "sandbox.pods.runner" in process.cmdline():
            process.kill()
    deadline = time.monotonic() + 5
    while pod.running:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with pytest.raises(SSHError), runner(pod, cloud.private_key):
        pass


def test_only_authorized_keys_get_in(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "stranger").mkdir()
    stranger = Cloud(tmp_path / "stranger")
    try:
        with pytest.raises(SSHError), runner(cloud.start(), stranger.private_key):
            pass
    finally:
        stranger.close()


def test_a_pod_that_cannot_start_says_so_and_leaves_nothing(cloud: Cloud) -> None:
    before = descendants()
    with pytest.raises(OSError, match=r"192\.0\.2\.1"):
        cloud.start(host="192.0.2.1")  # an address of nobody, RFC 5737
    assert descendants() == before


def test_a_pod_is_light(cloud: Cloud) -> None:
    others = {process.pid for process in descendants()}
    pod = cloud.start()
    with runner(pod, cloud.private_key) as client:
        submit(client, SERVE)
        client.run_job()
        pull_until(client, serving)
    proportional = sum(process.memory_full_info().pss for process in descendants() if process.pid not in others)
    assert proportional / 1024**2 < 80  # measured: 57, of which two Python processes with aiohttp have 28 each
