"""What a deploy would change, and whether that interrupts the service: asked of dstack, judged here.

`make` asks, the other functions decide from its answer alone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from deploy import dstack_keys
from deploy.answers import FleetPlan, GatewayPlan, Machine, RunPlan
from deploy.api import POLL_SECONDS, Api, Say
from deploy.environments import Document, Environment
from deploy.errors import ExitCode, Failure

GIVING_BACK_SECONDS = 120.0


class Change(StrEnum):
    """What happens to a fleet or a service."""

    UNCHANGED = "unchanged"
    CREATE = "create"
    IN_PLACE = "in place"  # no new replica
    ROLLING = "rolling"  # new replicas take over one by one
    RESTART = "restart"  # an outage: it is stopped and made again

    @property
    def needs_machine(self) -> bool:
        return self in (Change.CREATE, Change.ROLLING, Change.RESTART)


@dataclass(frozen=True)
class Difference:
    """One value that differs; None where it is absent."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Part:
    """The plan of a fleet or a service."""

    change: Change
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class Plan:
    """`offers` in the order in which dstack tries them; `price` is what the run costs now, in USD per hour."""

    environment: Environment
    parts: dict[str, Part]  # what is planned: fleet, gateway, records, service
    offers: list[Machine]
    price: float
    fleet_plan: FleetPlan
    run_plan: RunPlan

    @property
    def fleet(self) -> Part:
        return self.parts["fleet"]

    @property
    def service(self) -> Part:
        return self.parts["service"]

    @property
    def changes(self) -> bool:
        return any(part.change != Change.UNCHANGED for part in self.parts.values())

    @property
    def interrupts(self) -> bool:
        return any(part.change == Change.RESTART for part in self.parts.values())

    @property
    def restarts(self) -> bool:
        """Whether the service itself is stopped and started again."""
        return Change.RESTART in (self.fleet.change, self.service.change)

    @property
    def exit_code(self) -> int:
        """Of `inv plan --detailed-exitcode`."""
        return ExitCode.INTERRUPTING_CHANGES if self.interrupts else ExitCode.CHANGES if self.changes else 0

    def as_json(self) -> Document:
        """The plan for machines; prices in USD per hour."""
        return {
            "environment": self.environment.name,
            "run": self.environment.run_name,
            "interrupts": self.interrupts,
            "price_per_hour": self.price,
            **{name: asdict(part) for name, part in self.parts.items()},
            "offers": [
                {"cloud": o.backend, "region": o.region, "gpu": o.gpu, "price_per_hour": o.price} for o in self.offers
            ],
        }


def make(api: Api, environment: Environment, say: Say) -> Plan:
    """Ask dstack what applying `environment` would do. Changes nothing.

    A machine that is being given back fills a place of the fleet until it is gone, and a full fleet has no offers: that
    is waited for.
    """
    until = time.monotonic() + GIVING_BACK_SECONDS
    while True:
        plan = _ask(api, environment)
        if plan.offers or not plan.service.change.needs_machine or not plan.fleet_plan.giving_back:
            return plan
        if time.monotonic() > until:
            return plan
        say("waiting for a machine that is being given back")
        time.sleep(POLL_SECONDS)


def _ask(api: Api, environment: Environment) -> Plan:
    current = api.run(environment.run_name)
    fleet_plan = api.plan_fleet(environment.fleet)
    run_plan = api.plan_run(environment.service, current)
    fleet = judge_fleet(fleet_plan, serving=bool(current and current.active))
    service = judge_service(run_plan)
    if fleet.change == Change.RESTART and service.change != Change.CREATE:
        service = Part(Change.RESTART, service.differences)  # its fleet goes, and it with it
    offers = run_plan.offers
    if service.change.needs_machine and fleet.change in (Change.CREATE, Change.RESTART):
        # dstack finds no offers for a fleet that does not exist yet: ask what there is in the clouds
        offers = api.plan_run(environment.service, current, any_fleet=True).offers
    parts = {"fleet": fleet, **_front(api, environment), "service": service}
    return Plan(environment, parts, offers, current.price if current else 0.0, fleet_plan, run_plan)


def _front(api: Api, environment: Environment) -> dict[str, Part]:
    """What is before the service: its gateway, and the records that point there."""
    if environment.gateway is None:
        return {}
    found = {"gateway": judge_gateway(api.plan_gateway(environment.gateway))}
    if environment.dns:
        from deploy import dns  # boto3 takes longer to import than the rest takes to run

        gateway = api.gateway(environment.run_name)
        found["records"] = dns.judge(environment, gateway.targets if gateway else ())
    return found


def judge_service(plan: RunPlan) -> Part:
    """Which of the five changes dstack's answer means for the service, and the values behind it.

    "create" while a run of that name is active means that dstack can't update it: only stopping and starting again
    would apply the change.
    """
    current = plan.current
    if current is None or not current.active:
        return Part(Change.CREATE, ())
    differing = tuple(differences(current.run_spec, plan.effective_run_spec))
    if plan.action == "create":
        # A run that is being stopped can't be updated either, but nobody is served by it any more.
        return Part(Change.CREATE if current.status == "terminating" else Change.RESTART, differing)
    if not differing:
        return Part(Change.UNCHANGED, ())
    in_place = all(difference.key.split(".")[0] in dstack_keys.IN_PLACE for difference in differing)
    return Part(Change.IN_PLACE if in_place else Change.ROLLING, differing)


def judge_fleet(plan: FleetPlan, *, serving: bool) -> Part:
    """The same for the fleet. One that can't be updated has to be deleted first, which ends a run inside it."""
    if plan.current_resource is None or plan.current_resource["status"] not in ("submitted", "active"):
        return Part(Change.CREATE, ())
    differing = tuple(differences(plan.current_resource["spec"], plan.effective_spec))
    if not differing:
        return Part(Change.UNCHANGED, ())
    if plan.action == "update":
        return Part(Change.IN_PLACE, differing)
    return Part(Change.RESTART if serving else Change.CREATE, differing)


def judge_gateway(plan: GatewayPlan) -> Part:
    """The same for the gateway; RESTART: deleted and made again."""
    if plan.current_resource is None:
        return Part(Change.CREATE, ())
    before, after = plan.current_resource["configuration"], plan.effective_spec["configuration"]
    differing = tuple(differences(before, after))
    if not differing:
        return Part(Change.UNCHANGED, ())
    return Part(Change.IN_PLACE if plan.action == "update" else Change.RESTART, differing)


def differences(before: Document, after: Document, prefix: str = "") -> Iterator[Difference]:
    """Values that differ between two specs, with dotted keys; what is below `configuration` is named as in the file."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        name = "" if not prefix and key == "configuration" else f"{prefix}{key}"
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{name}." if name else "")
        elif old != new:
            yield Difference(name, old, new)


def refuse(plan: Plan, *, allow_restart: bool, allow_recreation: bool = False) -> None:
    """Fail with what speaks against applying `plan`, before anything is touched."""
    name = plan.environment.name
    if plan.restarts and plan.environment.protected and not allow_restart:
        keys = ", ".join(difference.key for difference in plan.fleet.differences + plan.service.differences)
        why = f"changing {keys} would restart {plan.environment.run_name}, an outage of minutes, and it is protected"
        mend = f"undo the change, or allow it: inv deploy --env {name} --allow-restart"
        raise Failure(ExitCode.RESTART_REFUSED, f"{why}; {mend}")
    if "gateway" in plan.parts:
        refuse_recreation(plan.parts["gateway"], plan.environment, allow_recreation=allow_recreation)
    if plan.service.change.needs_machine and not plan.offers:
        clouds = ", ".join(plan.environment.service.get("backends", ["the clouds"]))
        living = "" if plan.service.change == Change.CREATE else "; the service goes on as it is"
        why = f"nothing on {clouds} fits service.resources{living}"
        raise Failure(ExitCode.NO_CAPACITY, f"{why}; ask for less, or try again in a few minutes")


def refuse_recreation(part: Part, environment: Environment, *, allow_recreation: bool) -> None:
    """Fail with GATEWAY_RECREATION_REFUSED when the gateway would be replaced and nobody allowed that."""
    if part.change == Change.RESTART and not allow_recreation:
        keys = ", ".join(difference.key for difference in part.differences)
        why = f"changing {keys} takes a new gateway: minutes in which {environment.host} answers nobody"
        mend = f"undo it, or allow it: inv gateway.deploy --env {environment.name} --allow-recreation"
        raise Failure(ExitCode.GATEWAY_RECREATION_REFUSED, f"{why}; {mend}")
