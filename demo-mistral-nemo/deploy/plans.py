"""What a deploy would change, asked of dstack: `make`. And what speaks against it: the `refuse` functions."""

from dataclasses import asdict, dataclass, replace

from deploy.answers import REFERENCE, Machine, ResourcePlan, RunPlan
from deploy.api import Api, Say, during
from deploy.changes import GATEWAY_IN_PLACE, Change, Part, judge_fleet, judge_gateway, judge_host, judge_service
from deploy.checks import bounds
from deploy.environments import Document, Environment
from deploy.errors import ExitCode, Failure
from deploy.offers import assess

GIVING_BACK_SECONDS = 120.0


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
        return made or "gateway" in self.service.fields

    @property
    def replaces(self) -> bool:
        """Whether every replica is a new one."""
        return self.service.change in (Change.CREATE, Change.ROLLING, Change.RESTART)

    @property
    def needs_machine(self) -> bool:
        return self.replaces or (self.service.change == Change.IN_PLACE and self.new_replicas > 0)

    @property
    def new_replicas(self) -> int:
        """How many machines a deploy rents; a service that scales is taken to go on with as many replicas as it has.

        Of a change in place alone what it says itself about replicas counts: those that were lost come without it.
        """
        if not self.replaces and not self.service.fields & {"replicas", "groups"}:
            return 0
        fewest, most = bounds(self.environment.service.get("replicas", 1))
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
    service = judge_service(run_plan)
    if "gateway" not in parts or parts["gateway"].change in (Change.UNCHANGED, Change.IN_PLACE):
        service = judge_host(service, current, environment.host)
    parts["service"] = service
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
