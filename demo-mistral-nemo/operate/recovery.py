"""Decides how to recover a gateway whose instance has ended, or that was deleted behind the service.

dstack can't see which replica is dead, and drops the oldest when it scales in. So as many replicas are added as have to
go, and then the old ones are dropped. Where that is not possible, another gateway is created under the other name.

Each step is derived from what exists now. So a recovery that was killed is continued by running it again, and two at
the same time do the same steps: dstack and Route 53 refuse a stale one.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from deploy.documents.files import Document
from deploy.dstack.gateway import Gateway
from deploy.dstack.observations import Event
from deploy.instances import State

LIMIT = 9  # replicas of a gateway, as dstack's server is delivered
HOUR = timedelta(hours=1)
ACTIVE = {"submitted", "provisioning", "running"}
RECOVERING = (State.IMPAIRED, State.STARTING)


class Do(StrEnum):
    """One step."""

    WAIT = "wait"
    ASK = "ask Route 53"
    PUBLISH = "point the record at"
    ADD = "add replicas"
    REMOVE = "drop the oldest replicas"
    CREATE = "create another gateway"
    REGISTER = "register the service at the other gateway"
    DELETE = "delete the old gateway"
    ALARMS = "bring the alarms to the instances"
    STOP = "stop"


@dataclass(frozen=True)
class Step:
    """One step, and why.

    `replicas`: the gateway's number afterwards. `targets`: addresses for the record. `drops`: it ends replicas that may
    serve, so the record must have left them. `begins`: it starts a recovery, and does not continue one.
    """

    do: Do
    why: str
    replicas: int = 0
    targets: tuple[str, ...] = ()
    drops: bool = False
    begins: bool = False

    @property
    def needs_record(self) -> bool:
        """Whether it must not be taken while Route 53 refuses."""
        return self.drops or self.do == Do.ASK

    def __str__(self) -> str:
        detail = " ".join(self.targets) or (f"({self.replicas} in total)" if self.replicas else "")
        return f"{self.do} {detail}: {self.why}".replace(" :", ":")


@dataclass(frozen=True)
class Scene:
    """What a step is derived from.

    `gateway`: the one that the service uses; None when it is gone. `other`: the environment's other one, if it exists.
    `states`: EC2's word on each instance, by address. `recorded`: the addresses in the record; None where no record has
    to follow. `unread`: Route 53 did not say what is in the record. `wanted`: replicas in the file. `record_first`: the
    record has to point at a new gateway before it answers there.
    """

    gateway: Gateway | None
    states: dict[str, State]
    recorded: frozenset[str] | None
    wanted: int = 1
    other: Gateway | None = None
    unread: bool = False
    record_first: bool = False

    def of(self, gateway: Gateway | None, *states: State) -> list[str]:
        """Return the addresses of the gateway's instances in these states, the oldest first."""
        addresses = by_age(gateway.running) if gateway else []
        return [address for address in addresses if self.states.get(address) in states]


def next_step(scene: Scene) -> Step | None:
    """Return the next step; None when there is nothing to recover."""
    gateway, other = scene.gateway, scene.other
    if gateway is None:
        return _instead(scene, "dstack has no gateway that the service uses")
    if ended := scene.of(gateway, State.ENDED):
        return _without(ended, gateway, scene)
    if scene.of(gateway, *RECOVERING):
        return Step(Do.WAIT, "EC2's status checks have not passed: EC2 recovers the instance, at the same address")
    if gateway.running and (_active(gateway) != gateway.wanted or gateway.status == "provisioning"):
        return Step(Do.WAIT, gateway.summary)
    if scene.recorded is not None and gateway.ready and scene.recorded != frozenset(gateway.targets):
        return Step(Do.PUBLISH, "the record names other addresses", targets=gateway.targets)
    if other and scene.of(other, State.ENDED):
        drops = bool(scene.of(other, State.RUNNING))
        return Step(Do.DELETE, f"the service has left {other.name}, whose instance has ended", drops=drops)
    return None


def _instead(scene: Scene, why: str) -> Step:
    """Return the next step on the way to a gateway under the other name."""
    gateway, other = scene.gateway, scene.other
    if other is None and gateway is None and scene.recorded == frozenset():
        return Step(Do.STOP, f"{why}, and no record is left: somebody took it down, `inv deploy` creates it")
    if other is None and gateway is None and scene.unread:
        return Step(Do.ASK, f"{why}, and only its record says whether somebody took it down")
    if other is None or not other.ready:
        return Step(Do.CREATE, why, begins=other is None)
    if scene.record_first and scene.recorded not in (None, frozenset(other.targets)):
        return Step(Do.PUBLISH, f"{why}, and {other.name} needs the record first", targets=other.targets)
    return Step(Do.REGISTER, why)


def _without(ended: list[str], gateway: Gateway, scene: Scene) -> Step:
    """Return the next step on the way from a gateway with ended replicas to one without."""
    recorded = None if gateway.hostname else scene.recorded  # the name of a load balancer stays
    wanted, running = min(scene.wanted, gateway.wanted), by_age(gateway.running)
    good = [address for address in running if address not in ended]
    why = f"the instance of {' and '.join(ended)} has ended"
    if scene.other and scene.other.ready and not scene.of(scene.other, State.ENDED, *RECOVERING):
        return _instead(scene, why)
    if recorded is not None and good and recorded - set(good):
        shown = tuple(sorted(recorded & set(good))) or tuple(sorted(good))
        return Step(Do.PUBLISH, why, targets=shown)
    if _active(gateway) > gateway.wanted:
        return Step(Do.WAIT, "dstack drops the oldest replicas")
    go = running.index(ended[-1]) + 1  # dstack drops the oldest, so all up to the youngest that ended
    enough = wanted + go
    if gateway.wanted < enough and enough > _limit(gateway):
        return _instead(scene, f"{why}, and dstack takes at most {_limit(gateway)} replicas of it")
    if gateway.wanted < enough:
        return Step(Do.ADD, why, replicas=enough, begins=gateway.wanted <= wanted)
    if not gateway.ready:
        return Step(Do.WAIT, gateway.summary)
    final = tuple(sorted(running[go:]))
    if recorded is not None and recorded != frozenset(final):
        return Step(Do.PUBLISH, "these replicas stay", targets=final)
    return Step(Do.REMOVE, why, replicas=gateway.wanted - go, drops=bool(set(running[:go]) & set(good)))


def recovered_lately(events: Iterable[Event], names: Iterable[str], now: datetime) -> bool:
    """Return whether dstack's events of the last hour show a recovery of the gateway, under one of its names.

    A recovery changes `replicas` twice, or creates a gateway after there was another one. A deploy that does the same
    counts too: a gateway that ends so soon after it needs a person.
    """
    own = [one for one in events if any(to.type == "gateway" and to.name in names for to in one.targets)]
    late = [one for one in own if now - one.recorded_at < HOUR]
    changes = [one for one in late if "Changed fields" in one.message and "replicas" in one.message]
    created = [one for one in late if "Gateway created" in one.message]
    return len(changes) >= 2 or any(other.recorded_at < one.recorded_at for one in created for other in own)


def by_age(replicas: Iterable[Document]) -> list[str]:
    """Return the addresses of replicas as dstack lists them, the oldest first."""
    ordered = sorted(replicas, key=lambda one: datetime.fromisoformat(str(one["created_at"])))
    return [str(one["hostname"]) for one in ordered]


def _limit(gateway: Gateway) -> int:
    """Return how many replicas dstack takes: with a certificate of Let's Encrypt, one."""
    certificate = gateway.configuration.get("certificate") or {}
    return 1 if certificate.get("type") == "lets-encrypt" else LIMIT


def _active(gateway: Gateway) -> int:
    return sum(one["status"] in ACTIVE for one in gateway.replicas)
