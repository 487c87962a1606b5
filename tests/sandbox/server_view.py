"""Pods as the dstack server sees them: through its own SSH tunnels and its own runner client."""

from __future__ import annotations

import asyncio
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, TypeVar

import httpx
from dstack._internal.core.consts import DSTACK_RUNNER_HTTP_PORT
from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.resources import ResourcesSpec
from dstack._internal.core.models.runs import (
    ClusterInfo,
    Job,
    JobSpec,
    JobStatus,
    JobSubmission,
    Requirements,
    Run,
    RunStatus,
)
from dstack._internal.core.services.ssh.tunnel import IPSocket, SocketPair, SSHTunnel, UnixSocket
from dstack._internal.server.schemas.runner import PullResponse
from dstack._internal.server.services.runner.client import RunnerClient
from dstack._internal.server.testing.common import get_run_spec
from dstack._internal.utils.path import FileContent

from sandbox.pods.pod import Pod, PodSpec

IMAGE = "vllm/vllm-openai:v0.29.0-cu129"
T = TypeVar("T")


class Listening(Protocol):
    """What is needed to reach a pod."""

    @property
    def port(self) -> int: ...


class Cloud:
    """Starts pods from a loop of its own, so that a test can call dstack's blocking client meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._pods: list[Pod] = []
        key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        self.private_key = key.read_text()
        self.public_key = key.with_suffix(".pub").read_text()
        self._thread.start()

    def start(self, **changes: Any) -> Pod:
        """A running pod with one L4, with `changes` to its spec."""
        id = f"pod{len(self._pods)}"
        values: dict[str, Any] = {
            "id": id,
            "folder": self._folder / id,
            "authorized_keys": (self.public_key,),
            "gpu_name": "L4",
            "gpu_count": 1,
            "gpu_memory_gib": 24,
            "cpus": 8,
            "memory_gib": 32,
            "load_seconds": 0.2,
        }
        pod = self._call(Pod.start(PodSpec(**values | changes)))
        self._pods.append(pod)
        return pod

    def kill(self, pod: Pod) -> None:
        self._call(pod.kill())

    def close(self) -> None:
        for pod in self._pods:
            self.kill(pod)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(60)


@contextmanager
def tunnel(pod: Listening, private_key: str, port: int) -> Iterator[Path]:
    """A socket that leads to `port` in the pod, as long as ssh's master process runs."""
    ssh = SSHTunnel(destination="root@127.0.0.1", port=pod.port, identity=FileContent(private_key), batch_mode=True)
    path = Path(ssh.temp_dir.name, "forwarded.sock")
    ssh.forwarded_sockets.append(SocketPair(UnixSocket(path), IPSocket("localhost", port)))
    try:
        with ssh:
            yield path
    finally:
        ssh.temp_dir.cleanup()


@contextmanager
def runner(pod: Listening, private_key: str) -> Iterator[RunnerClient]:
    """dstack's client of the pod's runner."""
    with tunnel(pod, private_key, DSTACK_RUNNER_HTTP_PORT) as path:
        yield RunnerClient.from_address(path)


@contextmanager
def application(pod: Listening, private_key: str) -> Iterator[httpx.Client]:
    """An HTTP client of what listens on port 8000 in the pod.

    It keeps no connection: a server may close an idle one in the instant in which the client takes it again.
    """
    with tunnel(pod, private_key, 8000) as path:
        transport = httpx.HTTPTransport(uds=str(path), limits=httpx.Limits(max_keepalive_connections=0))
        with httpx.Client(transport=transport, base_url="http://pod", timeout=30) as client:
            yield client


def submit(client: RunnerClient, command: str, env: dict[str, str] | None = None, **changes: Any) -> None:
    """Submit a service's job as the server does, with `changes` to its job spec."""
    now = datetime.now(UTC)
    job_spec = JobSpec(
        job_num=0,
        job_name="chat-0-0",
        commands=["/bin/sh", "-i", "-c", command],
        env=env or {},
        image_name=IMAGE,
        requirements=Requirements(resources=ResourcesSpec()),
    ).model_copy(update=changes)
    submission = JobSubmission(
        id=uuid.uuid4(), submission_num=0, submitted_at=now, last_processed_at=now, status=JobStatus.PROVISIONING
    )
    job = Job(job_spec=job_spec, job_submissions=[submission])
    configuration = ServiceConfiguration(commands=[command], port=8000, image=IMAGE)
    run = Run(
        id=uuid.uuid4(),
        project_name="sandbox",
        user="admin",
        submitted_at=now,
        last_processed_at=now,
        status=RunStatus.PROVISIONING,
        run_spec=get_run_spec(repo_id="none", run_name="chat", configuration=configuration),
        jobs=[job],
    )
    cluster = ClusterInfo(job_ips=["127.0.0.1"], master_job_ip="127.0.0.1", gpus_per_job=1)
    client.submit_job(run=run, job=job, cluster_info=cluster, secrets={}, repo_credentials=None)


def pull_until(client: RunnerClient, done: Callable[[PullResponse], bool], seconds: float = 30) -> PullResponse:
    """The first answer to a pull from the beginning that `done` accepts."""
    deadline = time.monotonic() + seconds
    while not done(answer := client.pull(0)):
        assert time.monotonic() < deadline, (answer.job_states, output(answer))
        time.sleep(0.1)
    return answer


def output(answer: PullResponse) -> str:
    """What the job has said."""
    return b"".join(event.message for event in answer.job_logs).decode()


def states(answer: PullResponse) -> list[JobStatus]:
    return [event.state for event in answer.job_states]


def finished(answer: PullResponse) -> bool:
    return not answer.has_more


def serving(answer: PullResponse) -> bool:
    """Whether the stand-in engine has loaded."""
    return "Application startup complete" in output(answer)
