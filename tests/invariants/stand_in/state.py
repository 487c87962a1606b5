"""What the stand-in remembers: runs, fleets, gateways and rented machines; and what a test can let go wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PROJECT = "sandbox"
USER = "admin"
FINISHED = {"terminated", "failed", "done"}  # of runs
JOB_FINISHED = FINISHED | {"aborted"}
_EPOCH = 1_767_225_600.0  # 1 January 2026


@dataclass
class Conditions:
    """How the clouds and the containers are. A container that was started ill stays ill."""

    capacity: bool = True  # whether a machine can be rented
    sold_out: int = 0  # how many of the cheapest offers are gone, though plans still list them
    crashing: bool = False  # containers that start from now on exit with an error
    unready: bool = False  # containers that start from now on never pass their probes


@dataclass(frozen=True)
class Offer:
    """A machine that can be rented; `price` in USD per hour, memory and disk in GB."""

    backend: str
    region: str
    gpu: str
    memory: int
    price: float
    compute_capability: str = "8.9"
    count: int = 1


@dataclass
class Machine:
    """A machine that is rented: of a fleet, or a gateway's instance."""

    id: str
    num: int
    owner: str  # the id of its fleet or gateway
    price: float  # USD per hour
    status: str  # provisioning, busy, terminating
    since: float
    created: float
    offer: Offer | None = None  # None: a gateway's


@dataclass
class Attempt:
    """One submission of a replica."""

    id: str
    replica: int
    number: int
    deployment: int
    spec: Any  # dstack's JobSpec
    written: dict[str, Any]  # the same as JSON
    submitted: float
    since: float
    status: str = "submitted"
    machine: Machine | None = None
    provisioning: dict[str, Any] | None = None  # dstack's JobProvisioningData as JSON
    passed: int = 0  # probes in a row
    ill: str = ""  # crashing, unready
    reason: str | None = None
    message: str | None = None
    exit_status: int | None = None
    registered: str | None = None  # the id of the gateway that knows it

    @property
    def active(self) -> bool:
        return self.status not in JOB_FINISHED | {"terminating"}

    @property
    def ready(self) -> bool:
        return self.status == "running" and self.passed >= 1

    @property
    def env(self) -> dict[str, str]:
        return dict(self.written["env"])


@dataclass
class Run:
    """A run with all its replicas' attempts; `gateway` is the id of the one that it is assigned to."""

    id: str
    name: str
    spec: Any  # dstack's RunSpec
    submitted: float
    desired: int
    service: dict[str, Any]
    status: str = "submitted"
    deployment: int = 0
    jobs: dict[int, list[Attempt]] = field(default_factory=dict)
    reason: str | None = None
    gateway: str | None = None
    fleet: tuple[str, str] | None = None  # id and name
    resubmissions: int = 0
    checked: dict[str, int] = field(default_factory=dict)  # attempt: deployment that it was compared with

    @property
    def latest(self) -> list[Attempt]:
        return [attempts[-1] for _, attempts in sorted(self.jobs.items())]

    @property
    def attempts(self) -> list[Attempt]:
        return [attempt for _, attempts in sorted(self.jobs.items()) for attempt in attempts]

    @property
    def finished(self) -> bool:
        return self.status in FINISHED


@dataclass
class Fleet:
    id: str
    name: str
    spec: Any  # dstack's FleetSpec
    created: float
    status: str = "active"


@dataclass
class Gateway:
    id: str
    name: str
    configuration: Any  # dstack's GatewayConfiguration
    created: float
    status: str = "submitted"
    deleting: float | None = None  # since when


@dataclass
class State:
    """Everything, and the time in seconds."""

    now: float = _EPOCH
    runs: dict[str, Run] = field(default_factory=dict)  # by name: finished ones until they are overwritten
    fleets: dict[str, Fleet] = field(default_factory=dict)
    gateways: dict[str, Gateway] = field(default_factory=dict)
    machines: dict[str, Machine] = field(default_factory=dict)
    secrets: dict[str, str] = field(default_factory=dict)
    conditions: Conditions = field(default_factory=Conditions)
    _ids: int = 0

    def new_id(self) -> str:
        """An id as dstack has them, UUIDs of version 4."""
        self._ids += 1
        return f"{self._ids:08x}-0000-4000-8000-000000000000"

    def machines_of(self, owner: str) -> list[Machine]:
        return sorted((one for one in self.machines.values() if one.owner == owner), key=lambda one: one.num)

    def rent(self, owner: str, price: float, offer: Offer | None = None) -> Machine:
        """A new machine of a fleet or a gateway, billed from now on."""
        taken = {machine.num for machine in self.machines_of(owner)}
        num = next(number for number in range(len(taken) + 1) if number not in taken)
        machine = Machine(self.new_id(), num, owner, price, "provisioning", self.now, self.now, offer)
        self.machines[machine.id] = machine
        return machine

    def release(self, machine: Machine) -> None:
        """Begin to release a machine; it is billed until it is gone."""
        if machine.status != "terminating":
            machine.status, machine.since = "terminating", self.now


def timestamp(seconds: float) -> str:
    """A time as dstack writes it."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def as_json(model: Any) -> Any:
    """A model of dstack's as its server sends it."""
    return model.model_dump(mode="json")
