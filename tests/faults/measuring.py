"""A service of two replicas behind its private gateway, its callers inside the VPC, and what they lose."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

import psutil

from sandbox.aws.aws_account import environ_inside
from tests.end_to_end.behind import Behind
from tests.end_to_end.project import MODEL
from tests.sandbox.deployment import processes_of

CALLER = Path(__file__).with_name("caller.py")
EVERY = 0.2  # seconds between two requests
RESOLVED_AGAIN = 1  # seconds for which the callers keep an address
QUIET = 5.0  # seconds before the fault and after its end
LOOK_SECONDS = 3.0


@dataclass(frozen=True)
class Loss:
    """What callers lost. `seconds` is the time from the first request that was lost to the last one."""

    requests: int
    lost: int
    seconds: float

    @classmethod
    def of_answers(cls, answers: Iterable[tuple[float, bool]]) -> Loss:
        """Return the loss among answers: when each request began, and whether it was answered."""
        all_of_them = list(answers)
        lost = [began for began, answered in all_of_them if not answered]
        return cls(len(all_of_them), len(lost), round(max(lost) - min(lost), 1) if lost else 0.0)


class Service(Behind):
    """The service that faults are made on. `usual`: variables of its engine."""

    usual: Mapping[str, object] = {"SANDBOX_TOKEN_SECONDS": "0.05"}

    def put(self, environ: Mapping[str, object] | None = None, gateway_replicas: int = 1) -> None:
        """Write the file: two replicas, probes once a second, these variables, and recovery without a terminal."""
        self.settings = {}
        self.write(service={"env": {**self.usual, **(environ or {})}}, recovery="automatic")
        self.settle(gateway={"replicas": gateway_replicas} if gateway_replicas > 1 else None, replicas=2)

    @property
    def whole(self) -> bool:
        """Whether two replicas serve, and no other machine is rented.

        The gateway learns of a replica some 15 seconds after its probes have passed. So both have to answer.
        """
        return len(self.machines()) == 2 and len(self.ready()) == 2 and len(self.engines()) == 2

    def await_whole(self, seconds: float = 480.0) -> None:
        """Wait until it is whole. Raises AssertionError when it takes longer than `seconds`."""
        await_true(lambda: self.whole, seconds)

    def engine_of(self, machine: str) -> psutil.Process:
        """Return the engine's process on a machine."""
        assert self.sandbox.folder
        for process in processes_of(self.sandbox.folder):
            if machine in process.info["cwd"] and "sandbox.engine" in process.info["cmdline"]:
                return process
        raise AssertionError(f"no engine runs on {machine}")


def await_true(found: Callable[[], bool], seconds: float) -> None:
    """Look every LOOK_SECONDS, which leaves the machine to those who are measured."""
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, f"not within {seconds:g} s"
        time.sleep(LOOK_SECONDS)


@contextmanager
def callers(service: Behind, *kept: int) -> Iterator[dict[int, list[tuple[float, bool]]]]:
    """Ask for chats by name during the block, with an address that is kept for so many seconds.

    Then the result has, for each of `kept`, when each request began and whether it was answered.
    """
    asking = (str(CALLER), service.host, MODEL, str(EVERY), *map(str, kept))
    words = service.sandbox.aws.command_inside(sys.executable, *asking)
    answers: dict[int, list[tuple[float, bool]]] = {seconds: [] for seconds in kept}
    with TemporaryFile("w+") as output:
        environ = environ_inside() | {"TOKEN": service.sandbox.token}
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=output, env=environ) as process:
            time.sleep(QUIET)
            try:
                yield answers
                time.sleep(QUIET)
            finally:
                assert process.stdin
                process.stdin.close()
                process.wait(timeout=120)
        output.seek(0)
        for seconds, began, answered in map(json.loads, output):
            answers[seconds].append((began, answered))


def measure(service: Service, fault: Callable[[Service], None]) -> Loss:
    """Make a fault while callers ask. Return what they lost; the service is whole again then."""
    with callers(service, RESOLVED_AGAIN) as answers:
        fault(service)
        service.await_whole()
    service.sandbox.faults.clear()
    service.put()
    service.deploy()
    service.await_whole()
    return Loss.of_answers(answers[RESOLVED_AGAIN])
