"""The machines that were rented from the emulated clouds: their pods, and what they cost."""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from sandbox.clouds.pod_info import PodInfo
from sandbox.pods.pod import Pod, PodSpec
from sandbox.world.faults import Faults

logger = logging.getLogger(__name__)

_AUTHORIZED_KEY = "--ssh-authorized-key"  # the flag of dstack's runner, see keys_in()
_JOB_LABEL = re.compile(r"dstack-(?:sandbox-)?(?P<run>.+)-\d+-\d+-[a-z0-9]{8}")  # project, run, job, replica, suffix


@dataclass(frozen=True)
class Hardware:
    """What a rented machine has; memory in GB."""

    gpu_name: str
    gpu_count: int
    gpu_memory: int  # of one GPU
    cpus: int
    memory: int  # of the machine


@dataclass(frozen=True)
class Order:
    """What was rented, and on which terms."""

    id: str  # the cloud's id of the machine
    cloud: Literal["runpod", "vastai"]
    label: str  # the name that the customer gave it
    region: str
    hardware: Hardware
    price: float  # USD per hour, disk included
    spot: bool
    command: str  # the shell command that the machine runs


class Rental:
    """A rented machine. It costs money from its order until it dies or is released."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.started = time.time()
        self.error: str | None = None  # why it didn't start
        self.returned = False  # whether the customer gave it back; the cloud doesn't know it any more
        self._ended: float | None = None
        self._pod: Pod | None = None
        self._boot: asyncio.Task[None] | None = None

    def boot(self, spec: PodSpec, pull_seconds: float) -> None:
        """Start its pod in the background, after the time that pulling the image takes."""
        self._boot = asyncio.create_task(self._start(spec, pull_seconds))

    async def _start(self, spec: PodSpec, pull_seconds: float) -> None:
        await asyncio.sleep(pull_seconds)
        try:
            self._pod = await Pod.start(spec)
        except OSError as e:
            self.error = f"the pod didn't start: {e}; see {spec.folder}"
            self._ended = time.time()
            logger.exception("pod %s", spec.id)

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of its SSH server, while it runs."""
        return (self._pod.spec.host, self._pod.port) if self._pod is not None and self._pod.running else None

    @property
    def ended(self) -> float | None:
        """Return when it died or was released. A death is noticed only when this is called."""
        if self._ended is None and self._pod is not None and not self._pod.running:
            self._ended = time.time()
        return self._ended

    async def kill(self) -> None:
        """Let it die, as when the host fails."""
        if self._boot is not None:
            self._boot.cancel()
            await asyncio.gather(self._boot, return_exceptions=True)
        if self._pod is not None:
            await self._pod.kill()
        self._ended = self._ended or time.time()

    def hang(self) -> None:
        """Let its engine hang: it computes nothing more, and its /health stays 200. Fails while no pod runs."""
        if self.address is None or self._pod is None:
            raise ValueError(f"pod {self.order.id} does not run")
        self._pod.spec.hang_file.touch()

    def info(self) -> PodInfo:
        order = self.order
        ended = self.ended
        job = _JOB_LABEL.fullmatch(order.label)
        return PodInfo(
            id=order.id,
            cloud=order.cloud,
            run=job["run"] if job else None,
            gpu=order.hardware.gpu_name,
            gpu_count=order.hardware.gpu_count,
            region=order.region,
            spot=order.spot,
            price=order.price,
            cost=order.price * ((ended or time.time()) - self.started) / 3600,
            running=self.address is not None,
            started=self.started,
            ended=ended,
        )


class Rentals:
    """All machines that were ever rented in this sandbox, of both clouds."""

    def __init__(self, folder: Path, faults: Faults, load_seconds: float, engine: dict[str, str]) -> None:
        self._folder = folder
        self._faults = faults
        self._load_seconds = load_seconds
        self._engine = engine
        self.address = "127.0.0.1"  # where the pods' SSH servers listen
        self._rentals: dict[str, Rental] = {}

    def __iter__(self) -> Iterator[Rental]:
        return iter(self._rentals.values())

    def find(self, id: str) -> Rental | None:
        """Return the machine with that id, unless it was released: clouds forget those."""
        rental = self._rentals.get(id)
        return None if rental is None or rental.returned else rental

    def rent(self, order: Order) -> Rental:
        """Start the machine of `order`, which has an address later. Raises ValueError if its command has no keys."""
        hardware = order.hardware
        spec = PodSpec(
            id=order.id,
            folder=self._folder / order.id,
            authorized_keys=keys_in(order.command),
            gpu_name=hardware.gpu_name,
            gpu_count=hardware.gpu_count,
            gpu_memory_gib=hardware.gpu_memory,
            cpus=hardware.cpus,
            memory_gib=hardware.memory,
            load_seconds=self._load_seconds,
            ready=self._faults.active("unready", order.cloud) is None,
            engine=self._engine,
            host=self.address,
        )
        pull = self._faults.active("pull", order.cloud)
        rental = self._rentals[order.id] = Rental(order)
        rental.boot(spec, pull.seconds if pull else 0.0)
        return rental

    async def give_back(self, rental: Rental) -> None:
        rental.returned = True
        await rental.kill()

    async def stop(self) -> None:
        await asyncio.gather(*(rental.kill() for rental in self))

    def infos(self) -> list[dict[str, Any]]:
        return [asdict(rental.info()) for rental in self]


def keys_in(command: str) -> tuple[str, ...]:
    """The public keys that dstack's start command for a container gives its runner.

    The command is a chain of ` && `, the runner with its flags is the last of it (`get_docker_commands` in dstack).
    Raises ValueError when there is none: such a machine couldn't be reached.
    """
    words = shlex.split(command.rsplit(" && ", 1)[-1])
    keys = tuple(key for flag, key in pairwise(words) if flag == _AUTHORIZED_KEY)
    if not keys:
        raise ValueError(f"the start command has no {_AUTHORIZED_KEY}; the sandbox runs dstack's jobs only")
    return keys
