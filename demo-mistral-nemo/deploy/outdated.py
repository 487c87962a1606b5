"""Refuses a plan with PLAN_OUTDATED when somebody else changed a resource after the plan was shown.

A deploy looks once more before it changes anything. Afterwards, dstack and Route 53 compare again what they are sent:
with the resource that was planned for, or with the records that were read. A part that has to be planned again, because
the deploy itself changed something that it depends on, is compared with the part that was shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from console.errors import ExitCode, Failure
from deploy.alarms import Alarm
from deploy.api import Api
from deploy.changes import Change, Part
from deploy.dstack.answers import Fleet, Run
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.gateway_choice import gateways_of
from deploy.records import RecordSet

if TYPE_CHECKING:
    from deploy.plans import Plan

AGAIN = "run `inv plan` and decide again"


@dataclass(frozen=True)
class Seen:
    """The existing resources of the service. None: it does not exist, or was not looked for."""

    run: Run | None = None
    fleet: Fleet | None = None
    gateways: Mapping[str, Gateway] = field(default_factory=dict)  # by name
    records: frozenset[RecordSet] | None = None
    alarms: frozenset[Alarm] | None = None

    def changed(self, now: Seen) -> list[str]:
        """Return the kinds that somebody changed, created or removed between this and `now`."""
        changes = {
            "service": _deployment(self.run) != _deployment(now.run),
            "fleet": _fleet_spec(self.fleet) != _fleet_spec(now.fleet),
            "gateway": _gateway_configurations(self.gateways) != _gateway_configurations(now.gateways),
            "records": self.records != now.records,
            "alarms": self.alarms != now.alarms,
        }
        return [kind for kind, changed in changes.items() if changed]


NOTHING = Seen()


def look(api: Api, environment: Environment, *, gateway: bool) -> Seen:
    """Return the existing run and fleet, and with `gateway` the existing gateways too."""
    name = environment.run_name
    return Seen(api.run(name), api.fleet(name), gateways_of(api, environment) if gateway else {})


def refuse_changed(api: Api, plan: Plan) -> None:
    """Fail when anything has changed since `plan` was made. Nothing has been applied yet."""
    records = plan.records_plan.zone.read() if plan.records_plan else None
    alarms = plan.alarms_plan.store.read() if plan.alarms_plan else None
    found = look(api, plan.environment, gateway="gateway" in plan.parts)
    gateways = plan.seen.gateways if "gateway" in plan.parts else {}
    before = Seen(plan.seen.run, plan.seen.fleet, gateways, plan.seen.records, plan.seen.alarms)
    now = Seen(found.run, found.fleet, found.gateways, records, alarms)
    if changed := before.changed(now):
        what = " and ".join(f"the {kind}" for kind in changed)
        name = plan.environment.run_name
        why = f"somebody changed {what} of {name} after it was planned (this command changed nothing)"
        raise Failure(ExitCode.PLAN_OUTDATED, why, AGAIN)


def refuse_changed_fleet(api: Api, plan: Plan) -> None:
    """Fail when the fleet has changed since it was planned: dstack would create one that somebody deleted."""
    name = plan.environment.run_name
    if Seen(fleet=plan.seen.fleet).changed(Seen(fleet=api.fleet(name))):
        raise Failure(ExitCode.PLAN_OUTDATED, f"somebody changed the fleet {name} after it was planned", AGAIN)


def refuse_unseen(kind: str, name: str, shown: Part, now: Part) -> None:
    """Fail when a part that was planned again does anything that was not shown.

    A part that was shown as a restart or a replacement is a creation now. It is also right when nothing is left to do:
    then somebody else made the same change.
    """
    expected = Change.CREATE if shown.change in (Change.RESTART, Change.REPLACE) else shown.change
    unseen = [difference.key for difference in now.differences if difference not in shown.differences]
    if now.change == Change.UNCHANGED or (now.change == expected and not unseen):
        return
    keys = ", ".join(unseen) or now.keys
    plans = f"the new plan is {now.change}{f' ({keys})' if keys else ''}, the shown plan was {shown.change}"
    raise Failure(ExitCode.PLAN_OUTDATED, f"somebody changed the {kind} of {name} after it was planned: {plans}", AGAIN)


def _deployment(run: Run | None) -> tuple[str, int] | None:
    """Return the id and the deployment of an active run; None when it does not run or is being stopped."""
    return (run.id, run.deployment_num) if run and run.active and run.status != "terminating" else None


def _fleet_spec(fleet: Fleet | None) -> tuple[str, object] | None:
    return (fleet.id, fleet.spec) if fleet and fleet.status in ("submitted", "active") else None


def _gateway_configurations(gateways: Mapping[str, Gateway]) -> dict[str, tuple[str, object]]:
    return {name: (gateway.id, gateway.configuration) for name, gateway in gateways.items()}
