"""What a deploy would change, and whether that interrupts the service: asked of dstack, judged here.

`make` asks, the other functions decide from its answer alone.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

from deploy.answers import REFERENCE, Machine, ResourcePlan, Run, RunPlan
from deploy.api import Api, Say, during
from deploy.environments import Document, Environment, bounds
from deploy.errors import ExitCode, Failure
from deploy.offers import assess

GIVING_BACK_SECONDS = 120.0
# The fields that dstack calls "in-place" (dstack._internal.server.services.runs.spec); other fields that it can update
# are rolled out replica by replica, and its `action` says which can't be updated at all. The template's tests compare.
IN_PLACE = frozenset({"groups", "gateway", "priority", "replicas", "scaling"})
GATEWAY_IN_PLACE = frozenset({"default", "domain", "replicas"})  # likewise; any other change takes a new gateway


class Change(StrEnum):
    """What happens to a fleet, a gateway, records or a service."""

    UNCHANGED = "unchanged"
    CREATE = "create"
    IN_PLACE = "in place"  # no new replica
    ROLLING = "rolling"  # new replicas take over one by one
    RESTART = "restart"  # an outage: it is stopped and made again


@dataclass(frozen=True)
class Difference:
    """One value that differs; None where it is absent."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Part:
    """The plan of one of them."""

    change: Change
    differences: tuple[Difference, ...] = ()

    @property
    def keys(self) -> str:
        return ", ".join(difference.key for difference in self.differences)


@dataclass(frozen=True)
class Plan:
    """`offers` in the order in which dstack tries them; `price` is what the run costs now, in USD per hour."""

    environment: Environment
    parts: dict[str, Part]  # what is planned: fleet, gateway, records, service
    offers: list[Machine]
    price: float
    fleet_plan: ResourcePlan
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
    def registers(self) -> bool:
        """Whether its gateway, made anew, registers the service before it is applied."""
        made = "gateway" in self.parts and self.parts["gateway"].change in (Change.CREATE, Change.RESTART)
        return made or any(difference.key.split(".")[0] == "gateway" for difference in self.service.differences)

    @property
    def replaces(self) -> bool:
        """Whether every replica is a new one."""
        return self.service.change in (Change.CREATE, Change.ROLLING, Change.RESTART)

    @property
    def needs_machine(self) -> bool:
        return self.replaces or (self.service.change == Change.IN_PLACE and self.new_replicas > 0)

    @property
    def new_replicas(self) -> int:
        """How many machines a deploy rents; a service that scales is taken to go on with as many replicas as it has."""
        have = len(self.run_plan.current.replicas) if self.run_plan.current else 0
        fewest, most = bounds(self.environment.service.get("replicas", 1))
        return max(fewest, min(have, most)) - (0 if self.replaces else min(have, most))

    @property
    def price_change(self) -> float | None:
        """What a deploy adds to `price`, USD per hour, if new replicas get the first offer; None without an offer."""
        if self.service.change == Change.UNCHANGED:
            return 0.0
        have = len(self.run_plan.current.replicas) if self.run_plan.current else 0
        kept = 0 if self.replaces else min(have, bounds(self.environment.service.get("replicas", 1))[1])
        if self.new_replicas and not self.offers:
            return None
        rented = self.offers[0].price * self.new_replicas if self.new_replicas else 0.0
        after = (self.price * kept / have if kept else 0.0) + rented
        return round(after - self.price, 4) or 0.0  # never -0.0

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
            "price_change_per_hour": self.price_change,
            **{name: asdict(part) for name, part in self.parts.items()},
            "offers": [offer.as_json() for offer in assess(self.environment, self.offers)[0]],
        }


def make(api: Api, environment: Environment, say: Say, *, front: bool = True) -> Plan:
    """Ask dstack what applying `environment` would do, with `front` to gateway and records too. Changes nothing.

    A machine that is being given back fills a place of the fleet until it is gone, and a full fleet has no offers: that
    is waited for.
    """
    for _ in during(GIVING_BACK_SECONDS):
        plan = _ask(api, environment, front)
        instances = (plan.fleet_plan.current_resource or {}).get("instances", [])
        giving_back = any(instance["status"] == "terminating" for instance in instances)
        if plan.offers or not plan.needs_machine or not giving_back:
            break
        say("waiting for a machine that is being given back")
    return plan


def _ask(api: Api, environment: Environment, front: bool) -> Plan:
    current = api.run(environment.run_name)
    fleet_plan = api.plan("fleet", environment.fleet)
    run_plan = api.plan_run(environment.service, current)
    fleet = judge_fleet(fleet_plan, serving=bool(current and current.active))
    parts, settled = {"fleet": fleet}, True
    if front and environment.gateway is not None:
        parts["gateway"] = judge_gateway(plan_gateway(api, environment.gateway, environment.run_name))
        settled = parts["gateway"].change in (Change.UNCHANGED, Change.CREATE)
    if front and environment.dns is not None:
        from deploy import dns  # boto3 takes longer to import than the rest takes to run

        gateway = api.gateway(environment.run_name)
        parts["records"] = dns.judge(environment, gateway.targets if gateway else (), settled=settled)
    parts["service"] = service = judge_host(judge_service(run_plan), current, environment.host)
    if fleet.change == Change.RESTART and service.change != Change.CREATE:
        parts["service"] = replace(service, change=Change.RESTART)  # its fleet goes, and it with it
    plan = Plan(environment, parts, run_plan.offers, current.price if current else 0.0, fleet_plan, run_plan)
    if plan.needs_machine and fleet.change in (Change.CREATE, Change.RESTART):
        # dstack finds no offers for a fleet that does not exist yet: ask what there is in the clouds
        return replace(plan, offers=api.plan_run(environment.service, current, any_fleet=True).offers)
    return plan


def plan_gateway(api: Api, wanted: Document, name: str) -> ResourcePlan:
    """dstack's own plan, which takes a project's admin; for others what the gateway is, with `wanted` over it.

    That sees every key that the file names; it misses one that was taken out of the file.
    """
    found = api.gateway(name)
    wanted = tagged(wanted, found.reference if found else None)
    try:
        return api.plan("gateway", wanted)
    except Failure as failure:
        if failure.code != ExitCode.TOKEN_REFUSED:
            raise
    before = found.configuration if found else {}
    after = before | wanted
    in_place = all(before.get(key) == after[key] for key in after.keys() - GATEWAY_IN_PLACE)
    current = {"configuration": before} if found else None
    action, effective = "update" if in_place else "create", {"configuration": after}
    return ResourcePlan(action=action, spec={}, effective_spec=effective, current_resource=current)


def tagged(gateway: Document, reference: str | None) -> Document:
    """The gateway's document with the tag that says how runs have to write it, see gateways.py."""
    return gateway | {"tags": (gateway.get("tags") or {}) | {REFERENCE: reference}} if reference else gateway


def judge_host(service: Part, current: Run | None, host: str) -> Part:
    """`service`, as a restart where it would keep an old name: dstack gives a running service none of a new domain."""
    if not host or not current or not current.active or current.host in (None, host):
        return service
    named = Difference("gateway.domain", current.host, host)
    return Part(Change.RESTART, (*service.differences, named))


def judge_service(plan: RunPlan) -> Part:
    """Which of the five changes dstack's answer means for the service, and the values behind it."""
    current = plan.current
    if current and (not current.active or current.status == "terminating"):
        current = None  # nobody is served by it any more
    part = _judge(plan, current.run_spec if current else None)
    in_place = all(difference.key.split(".")[0] in IN_PLACE for difference in part.differences)
    return part if in_place or part.change != Change.IN_PLACE else replace(part, change=Change.ROLLING)


def judge_fleet(plan: ResourcePlan, *, serving: bool) -> Part:
    """The same for the fleet. One that can't be updated has to be deleted first, which ends a run inside it."""
    current = plan.current_resource
    part = _judge(plan, current["spec"] if current and current["status"] in ("submitted", "active") else None)
    return part if serving or part.change != Change.RESTART else replace(part, change=Change.CREATE)


def judge_gateway(plan: ResourcePlan) -> Part:
    """The same for the gateway; RESTART: deleted and made again."""
    current = plan.current_resource
    return _judge(plan, plan.effective_spec | {"configuration": current["configuration"]} if current else None)


def _judge(plan: ResourcePlan, before: Document | None) -> Part:
    """`before` is the spec of what exists; "create" in spite of it means that dstack can't update it."""
    if before is None:
        return Part(Change.CREATE)
    found = tuple(differences(before, plan.effective_spec))
    possible = Change.IN_PLACE if plan.action == "update" else Change.RESTART
    return Part(possible if found else Change.UNCHANGED, found)


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
    environment = plan.environment
    if plan.restarts and environment.protected and not allow_restart:
        keys = ", ".join(part.keys for part in (plan.fleet, plan.service) if part.keys)
        why = f"changing {keys} would restart {environment.run_name}, an outage of minutes, and it is protected"
        mend = f"undo the change, or allow it: inv deploy --env {environment.name} --allow-restart"
        raise Failure(ExitCode.RESTART_REFUSED, f"{why}; {mend}")
    if "gateway" in plan.parts:
        refuse_recreation(plan.parts["gateway"], environment, allow_recreation=allow_recreation)
    if plan.needs_machine and not plan.offers:
        clouds = ", ".join(environment.service.get("backends", ["the clouds"]))
        living = "" if plan.service.change == Change.CREATE else "; the service goes on as it is"
        why = f"nothing on {clouds} fits service.resources{living}"
        raise Failure(ExitCode.NO_CAPACITY, f"{why}; ask for less, or try again in a few minutes")
    limit, cheapest = environment.max_price_per_hour, min((offer.price for offer in plan.offers), default=0.0)
    if plan.needs_machine and limit and cheapest > limit:
        why = f"the cheapest offer is ${cheapest:.2f} an hour, max_price_per_hour is {limit:.2f}"
        raise Failure(ExitCode.NO_CAPACITY, f"{why}; raise it, or try again later")


def refuse_outage(environment: Environment, *, allowed: bool) -> None:
    """Fail with RESTART_REFUSED when a protected service would be ended and nobody allowed that by name."""
    if environment.protected and not allowed:
        why = f"{environment.run_name} is protected, and this ends all requests to it"
        raise Failure(ExitCode.RESTART_REFUSED, f"{why}; if that is meant, add --allow-outage")


def refuse_recreation(part: Part, environment: Environment, *, allow_recreation: bool) -> None:
    """Fail with GATEWAY_RECREATION_REFUSED when the gateway would be replaced and nobody allowed that."""
    if part.change == Change.RESTART and not allow_recreation:
        why = f"changing {part.keys} takes a new gateway: minutes in which {environment.host} answers nobody"
        mend = f"undo it, or allow it: inv gateway.deploy --env {environment.name} --allow-recreation"
        raise Failure(ExitCode.GATEWAY_RECREATION_REFUSED, f"{why}; {mend}")
