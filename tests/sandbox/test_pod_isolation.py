"""Pods side by side, as root and as an ordinary user, with namespaces and without, and when their starter is killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from tests.sandbox.server_view import application, output, pull_until, runner, submit

STARTER = Path(__file__).with_name("starter.py")
ENVIRON = {
    "PATH": os.environ["PATH"],
    "PYTHONPATH": os.pathsep.join((str(STARTER.parents[2]), *filter(None, sys.path))),
}
ORDINARY = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--no-new-privs")
# A real refusal: in this user namespace the kernel grants no further network namespaces.
REFUSED = (
    *("unshare", "--user", "--map-root-user", "sh", "-c"),
    'echo 0 > /proc/sys/user/max_net_namespaces && exec "$@"',
    "sh",
)
PREFIXES = {
    "as the tests' user": (),
    "as an ordinary user": ORDINARY if os.getuid() == 0 else (),
    "without namespaces": REFUSED,
}


@dataclass
class Pod:
    """What is known of a pod in another process."""

    id: str
    port: int  # of its SSH server


@dataclass
class Starter:
    """A process that has started two pods."""

    process: subprocess.Popen[bytes]
    isolated: bool
    pods: list[Pod]
    private_key: str

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)


@contextmanager
def starter(prefix: tuple[str, ...]) -> Iterator[Starter]:
    """A starter whose command is behind `prefix`."""
    with tempfile.TemporaryDirectory() as folder:
        key, pods = Path(folder, "key"), Path(folder, "pods")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        pods.mkdir()
        for path in (Path(folder), pods):
            path.chmod(0o777)  # another user's too
        command = [*prefix, interpreter(prefix), str(STARTER), str(pods), "2", key.with_suffix(".pub").read_text()]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=ENVIRON) as process:
            try:
                assert process.stdout
                says = json.loads(process.stdout.readline())
                started = [Pod(f"pod{number}", port) for number, port in enumerate(says["ports"])]
                yield Starter(process, says["isolated"], started, key.read_text())
            finally:
                process.kill()


def assert_gone(processes: list[psutil.Process]) -> None:
    """Within seconds, because what nobody waits for is left to the machine's first process."""
    deadline = time.monotonic() + 5
    while left := [process for process in processes if process.is_running()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def interpreter(prefix: tuple[str, ...]) -> str:
    """A Python that can start itself behind `prefix`: another user may not be let into the tests' own environment."""
    attempt = "import aiohttp, asyncssh, psutil, subprocess as s, sys; s.run([sys.executable, '-c', ''], check=True)"
    candidates = (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")
    for candidate in candidates:
        if subprocess.run([*prefix, candidate, "-c", attempt], env=ENVIRON, capture_output=True).returncode == 0:
            return candidate
    raise AssertionError(f"behind {prefix} none of {candidates} runs with the tests' packages")


@pytest.mark.parametrize("way", PREFIXES)
def test_two_pods_serve_on_the_same_port_side_by_side(way: str) -> None:
    with starter(PREFIXES[way]) as started, ExitStack() as stack:
        assert started.isolated == (way != "without namespaces")
        for pod in started.pods:
            client = stack.enter_context(runner(pod, started.private_key))
            submit(client, f"vllm serve nemo --port 8000 --served-model-name {pod.id}")
            client.run_job()
            pull_until(client, lambda answer: "startup complete" in output(answer))
        for pod in started.pods:
            http = stack.enter_context(application(pod, started.private_key))
            assert http.get("/v1/models").json()["data"][0]["id"] == pod.id
        processes = started.descendants()
        started.process.communicate()  # the end of its input
        assert started.process.returncode == 0
        assert_gone(processes)


@pytest.mark.parametrize("way", PREFIXES)
def test_pods_end_with_a_starter_that_is_killed(way: str) -> None:
    with starter(PREFIXES[way]) as started:
        with runner(started.pods[0], started.private_key) as client:
            # a job that ignores what it can, and a process that has left both its session and its parent
            submit(client, "trap '' HUP INT TERM; (setsid sleep 600 &); vllm serve nemo")
            client.run_job()
            pull_until(client, lambda answer: "startup complete" in output(answer))
        processes = started.descendants()
        assert {"sleep", "sh"} <= {process.name() for process in processes}
        os.kill(started.process.pid, signal.SIGKILL)
        assert_gone(processes)
