"""The plan of a deploy: what is shown, and exactly what is sent. planning.py makes it."""

from dataclasses import asdict, dataclass
from functools import cached_property

from capacity.offers import Evaluation, evaluate
from console.errors import ExitCode
from deploy.alarms import AlarmPlan
from deploy.changes import Change, Part
from deploy.documents.checks import replica_bounds
from deploy.documents.files import Document
from deploy.dstack.answers import Machine, ResourcePlan, RunPlan
from deploy.environments import Environment
from deploy.existing import Resource
from deploy.gateway_choice import GatewayPlan, replacement_interrupts
from deploy.outdated import NOTHING, Seen
from deploy.records import RecordPlan


@dataclass(frozen=True)
class Plan:
    """What a deploy does to fleet, gateway, records, alarms and service: dstack's own plans, and changes in AWS.

    `parts` is what is shown of them. A plan of gateway, records or alarms is None where none is made. `seen` is what
    existed when it was planned. `offers` are in the order in which dstack tries them; `price` is what the run costs
    now, in USD per hour. `removals`: resources that the files do not name any more. `cheapest_over_limit`: USD per hour
    of the cheapest offer that only the price limit excludes, when there is no other offer.
    """

    environment: Environment
    parts: dict[str, Part]  # what is planned: fleet, gateway, records, alarms, service
    offers: list[Machine]
    price: float
    fleet_plan: ResourcePlan
    run_plan: RunPlan
    gateway_plan: GatewayPlan | None = None
    records_plan: RecordPlan | None = None
    alarms_plan: AlarmPlan | None = None
    seen: Seen = NOTHING
    removals: tuple[Resource, ...] = ()
    cheapest_over_limit: float | None = None

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
        """Whether callers get no answer for a while, or never again under the name that they use."""
        changes = {part.change for part in self.parts.values()}
        moved = Change.REPLACE in changes and bool(replacement_interrupts(self.environment))
        removes = any(resource.kind != "alarms" for resource in self.removals)
        return removes or Change.RESTART in changes or moved

    @property
    def replans_service(self) -> bool:
        """Whether this deploy itself changes something that the service was planned with."""
        return self.restarts or self.registers or self.fleet.change != Change.UNCHANGED

    @property
    def restarts(self) -> bool:
        """Whether the service itself is stopped and started again."""
        return Change.RESTART in (self.fleet.change, self.service.change)

    @property
    def registers(self) -> bool:
        """Whether the service moves to a new gateway before it is applied."""
        made = "gateway" in self.parts and self.parts["gateway"].change in (Change.CREATE, Change.REPLACE)
        return made or "gateway" in self.service.fields

    @property
    def replaces(self) -> bool:
        """Whether every replica is a new one."""
        return self.service.change in (Change.CREATE, Change.ROLLING, Change.RESTART)

    @property
    def needs_machine(self) -> bool:
        """Whether it rents a machine: not for a service that is asleep, or deployed with 0 replicas."""
        return self.new_replicas > 0

    @property
    def new_replicas(self) -> int:
        """The number of machines that a deploy rents. A service that scales is expected to keep its replicas.

        A change in place rents only for its own change of `replicas`: dstack replaces lost replicas in any case.
        """
        if not self.replaces and not self.service.fields & {"replicas", "groups"}:
            return 0
        fewest, most = replica_bounds(self.environment.service)
        return max(fewest, min(self.replicas, most)) - (0 if self.replaces else min(self.replicas, most))

    @property
    def replicas(self) -> int:
        """The number of replicas now."""
        return len(self.run_plan.current.replicas) if self.run_plan.current else 0

    @property
    def releasing(self) -> bool:
        """Whether the fleet has a machine that no replica keeps. It takes a place of the fleet until it is gone."""
        machines = (self.fleet_plan.current_resource or {}).get("instances", [])
        kept = [machine for machine in machines if machine["status"] != "terminated"]
        return len(kept) > self.replicas

    @property
    def price_change(self) -> float | None:
        """The change of `price`, in USD per hour, if new replicas get the first offer; None without an offer."""
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
        """The exit code of `inv plan --detailed-exitcode`."""
        return ExitCode.INTERRUPTING_CHANGES if self.interrupts else ExitCode.CHANGES if self.changes else 0

    @cached_property
    def evaluation(self) -> Evaluation:
        """The offers in their order, with how the service's model fits them."""
        return evaluate(self.environment.service, self.offers, self.environment.max_price_per_hour)

    def as_json(self) -> Document:
        """Return the plan as `inv plan --json` prints it; prices in USD per hour."""
        return {
            "environment": self.environment.name,
            "run": self.environment.run_name,
            "commit": self.environment.deployment.commit if self.environment.deployment else "",
            "interrupts": self.interrupts,
            "price_per_hour": self.price,
            "price_change_per_hour": self.price_change,
            **{name: asdict(part) for name, part in self.parts.items()},
            "removals": [resource.as_json() for resource in self.removals],
            "offers": [offer.as_json() for offer in self.evaluation.offers],
        }
