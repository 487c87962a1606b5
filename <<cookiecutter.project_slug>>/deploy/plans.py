"""What a deploy would change, asked of dstack. What speaks against it is in guards.py."""

from dataclasses import asdict, dataclass, replace
from functools import cached_property

from capacity.offers import Evaluation, evaluate
from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import (
    GATEWAY_IN_PLACE,
    Change,
    Part,
    classify_fleet,
    classify_gateway,
    classify_host,
    classify_service,
)
from deploy.documents.checks import replica_bounds
from deploy.documents.files import Document
from deploy.dstack.answers import REFERENCE, Machine, ResourcePlan, RunPlan
from deploy.dstack.client import Say
from deploy.dstack.polling import poll
from deploy.environments import Environment
from deploy.existing import Resource, forgotten
from deploy.offers import machines

GIVING_BACK_SECONDS = 120.0


@dataclass(frozen=True)
class Plan:
    """`offers` in the order in which dstack tries them; `price` is what the run costs now, in USD per hour.

    `removals`: what exists and the files do not name any more; `dearer`: USD per hour of the cheapest offer that only
    the limit excludes, where no other is left.
    """

    environment: Environment
    parts: dict[str, Part]  # what is planned: fleet, gateway, records, service
    offers: list[Machine]
    price: float
    fleet_plan: ResourcePlan
    run_plan: RunPlan
    removals: tuple[Resource, ...] = ()
    dearer: float | None = None

    @property
    def fleet(self) -> Part:
        return self.parts["fleet"]

    @property
    def service(self) -> Part:
        return self.parts["service"]

    @property
    def changes(self) -> bool:
        return bool(self.removals) or any(part.change != Change.UNCHANGED for part in self.parts.values())

    @property
    def interrupts(self) -> bool:
        """Whether somebody who calls it now gets no answer for a while, or by the name that they use ever again."""
        return bool(self.removals) or any(part.change == Change.RESTART for part in self.parts.values())

    @property
    def moves(self) -> bool:
        """Whether this deploy itself changes something that dstack plans the service with."""
        created = Change.CREATE in (self.fleet.change, self.service.change)
        return created or self.restarts or self.registers or self.fleet.change != Change.UNCHANGED

    @property
    def restarts(self) -> bool:
        """Whether the service itself is stopped and started again."""
        return Change.RESTART in (self.fleet.change, self.service.change)

    @property
    def registers(self) -> bool:
        """Whether its recreated gateway registers the service before it is applied."""
        made = "gateway" in self.parts and self.parts["gateway"].change in (Change.CREATE, Change.RESTART)
        return made or "gateway" in self.service.fields

    @property
    def replaces(self) -> bool:
        """Whether every replica is a new one."""
        return self.service.change in (Change.CREATE, Change.ROLLING, Change.RESTART)

    @property
    def needs_machine(self) -> bool:
        """Whether it rents one: not for a service that is asleep, or deployed with 0 replicas."""
        return self.new_replicas > 0

    @property
    def new_replicas(self) -> int:
        """How many machines a deploy rents; a service that scales is taken to go on with as many replicas as it has.

        Of a change in place alone what it says itself about replicas counts: those that were lost come without it.
        """
        if not self.replaces and not self.service.fields & {"replicas", "groups"}:
            return 0
        fewest, most = replica_bounds(self.environment.service)
        return max(fewest, min(self.replicas, most)) - (0 if self.replaces else min(self.replicas, most))

    @property
    def replicas(self) -> int:
        """How many there are now."""
        return len(self.run_plan.current.replicas) if self.run_plan.current else 0

    @property
    def price_change(self) -> float | None:
        """What a deploy adds to `price`, USD per hour, if new replicas get the first offer; None without an offer."""
        if self.service.change == Change.UNCHANGED:
            return 0.0
        have = self.replicas
        kept = 0 if self.replaces else min(have, replica_bounds(self.environment.service)[1])
        if self.new_replicas and not self.offers:
            return None
        rented = self.offers[0].price * self.new_replicas if self.new_replicas else 0.0
        after = (self.price * kept / have if kept else 0.0) + rented
        return round(after - self.price, 4) or 0.0  # never -0.0

    @property
    def exit_code(self) -> int:
        """Of `inv plan --detailed-exitcode`."""
        return ExitCode.INTERRUPTING_CHANGES if self.interrupts else ExitCode.CHANGES if self.changes else 0

    @cached_property
    def evaluation(self) -> Evaluation:
        """What the service's model says about the offers, in their order."""
        return evaluate(self.environment.service, self.offers, self.environment.max_price_per_hour)

    def as_json(self) -> Document:
        """The plan for machines; prices in USD per hour."""
        return {
            "environment": self.environment.name,
            "run": self.environment.run_name,
            "interrupts": self.interrupts,
            "price_per_hour": self.price,
            "price_change_per_hour": self.price_change,
            **{name: asdict(part) for name, part in self.parts.items()},
            "removals": [resource.as_json() for resource in self.removals],
            "offers": [offer.as_json() for offer in self.evaluation.offers],
        }


def make(api: Api, environment: Environment, say: Say, *, front: bool = True) -> Plan:
    """Ask dstack what applying `environment` would do, with `front` to gateway and records too. Changes nothing.

    Files that dstack would refuse, then or when it makes a replica, are refused here. A machine that is being released
    fills a place of the fleet until it is gone, and a full fleet has no offers: that is waited for.
    """
    from deploy.documents import schema  # dstack's models take longer to import than the rest takes to run

    schema.check(environment)
    for _ in poll(GIVING_BACK_SECONDS):
        plan = _ask(api, environment, front)
        instances = (plan.fleet_plan.current_resource or {}).get("instances", [])
        giving_back = any(instance["status"] == "terminating" for instance in instances)
        if plan.offers or not plan.needs_machine or not giving_back:
            break
        say("waiting for a machine that is being released")
    if not front:
        return plan
    gateway = api.gateway(environment.run_name)
    return replace(plan, removals=forgotten(api, environment, plan.run_plan.current, gateway, say))


def _ask(api: Api, environment: Environment, front: bool) -> Plan:
    current = api.run(environment.run_name)
    fleet_plan = api.plan("fleet", environment.fleet)
    run_plan = api.plan_run(environment.service, current)
    parts = {"fleet": classify_fleet(fleet_plan, serving=bool(current and current.active))}
    parts |= _front(api, environment) if front else {}
    service = classify_service(run_plan)
    if "gateway" not in parts or parts["gateway"].change in (Change.UNCHANGED, Change.IN_PLACE):
        service = classify_host(service, current, environment.host)
    if parts["fleet"].change == Change.RESTART and service.change != Change.CREATE:
        service = replace(service, change=Change.RESTART)  # its fleet goes, and it with it
    parts["service"], price = service, current.price if current else 0.0
    plan = Plan(environment, parts, run_plan.offers, price, fleet_plan, run_plan)
    if not plan.needs_machine:
        return plan
    if plan.fleet.change != Change.UNCHANGED:
        # dstack plans with the fleet as it is now: ask for what the fleet will allow
        plan = replace(plan, offers=machines(api, environment))
    limit = environment.max_price_per_hour
    if not plan.offers and limit:
        unlimited = machines(api, environment, unlimited=True)
        plan = replace(plan, dearer=min((offer.price for offer in unlimited if offer.price > limit), default=None))
    return plan


def _front(api: Api, environment: Environment) -> dict[str, Part]:
    """The parts of gateway and records, as far as the environment has them."""
    parts, settled = {}, True
    if environment.gateway is not None:
        parts["gateway"] = classify_gateway(plan_gateway(api, environment.gateway, environment.run_name))
        settled = parts["gateway"].change in (Change.UNCHANGED, Change.CREATE)
    if environment.dns is not None:
        from deploy import dns  # boto3 takes longer to import than the rest takes to run

        gateway = api.gateway(environment.run_name)
        parts["records"] = dns.judge(environment, gateway.targets if gateway else (), settled=settled)
    return parts


def replanned(api: Api, plan: Plan) -> RunPlan:
    """dstack's plan of the service, asked again after this deploy itself changed what it depends on.

    Fails with PLAN_OUTDATED when it would do anything that was not shown: somebody else changed something meanwhile.
    """
    environment = plan.environment
    asked = api.plan_run(environment.service, api.run(environment.run_name))
    now, shown = classify_service(asked), plan.service
    expected = Change.CREATE if shown.change == Change.RESTART else shown.change
    unseen = [difference.key for difference in now.differences if difference not in shown.differences]
    if now.change not in (expected, Change.UNCHANGED) or unseen:
        would = f"deploying it now is {now.change} ({', '.join(unseen) or now.keys}), and {shown.change} was shown"
        why = f"somebody changed {environment.run_name} meanwhile: {would}"
        raise Failure(ExitCode.PLAN_OUTDATED, f"{why}; run `inv plan` and decide again")
    return asked


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
