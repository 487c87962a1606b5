"""A plan that was shown is refused, with PLAN_OUTDATED, when somebody else changed what it was made for.

A deploy looks once more before it touches anything. What dstack or Route 53 is sent afterwards is compared again there:
with the resource that was planned for, or with the records that were read. A part that has to be planned again, because
the deploy itself changed what it depends on, is compared with what was shown of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import Change, Part
from deploy.dstack.answers import Fleet, Gateway, Run
from deploy.environments import Environment
from deploy.records import RecordSet

if TYPE_CHECKING:
    from deploy.plans import Plan

AGAIN = "run `inv plan` and decide again"


@dataclass(frozen=True)
class Seen:
    """What exists of the service; None: nothing, or it is not looked for."""

    run: Run | None = None
    fleet: Fleet | None = None
    gateway: Gateway | None = None
    records: frozenset[RecordSet] | None = None

    def changed(self, now: Seen) -> list[str]:
        """Return the kinds that somebody changed, created or removed between this and `now`."""
        changes = {
            "service": _deployment(self.run) != _deployment(now.run),
            "fleet": _fleet_spec(self.fleet) != _fleet_spec(now.fleet),
            "gateway": _gateway_configuration(self.gateway) != _gateway_configuration(now.gateway),
            "records": self.records != now.records,
        }
        return [kind for kind, changed in changes.items() if changed]


NOTHING = Seen()


def look(api: Api, environment: Environment, *, gateway: bool) -> Seen:
    """Return what exists of run and fleet, with `gateway` of the gateway too."""
    name = environment.run_name
    return Seen(api.run(name), api.fleet(name), api.gateway(name) if gateway else None)


def refuse_changed(api: Api, plan: Plan) -> None:
    """Fail when anything is not as it was when `plan` was made. Nothing has been touched yet."""
    records = plan.records_plan.zone.read() if plan.records_plan else None
    found = look(api, plan.environment, gateway="gateway" in plan.parts)
    gateway = plan.seen.gateway if "gateway" in plan.parts else None
    before = Seen(plan.seen.run, plan.seen.fleet, gateway, plan.seen.records)
    now = Seen(found.run, found.fleet, found.gateway, records)
    if changed := before.changed(now):
        what = " and ".join(f"the {kind}" for kind in changed)
        why = f"somebody changed {what} of {plan.environment.run_name} after it was planned (nothing was changed here)"
        raise Failure(ExitCode.PLAN_OUTDATED, why, AGAIN)


def refuse_changed_fleet(api: Api, plan: Plan) -> None:
    """Fail when the fleet is not as it was planned: dstack would create one that was deleted since."""
    name = plan.environment.run_name
    if Seen(fleet=plan.seen.fleet).changed(Seen(fleet=api.fleet(name))):
        raise Failure(ExitCode.PLAN_OUTDATED, f"somebody changed the fleet {name} meanwhile", AGAIN)


def refuse_unseen(kind: str, name: str, shown: Part, now: Part) -> None:
    """Fail when a part that was planned again would do anything that was not shown.

    What was shown as a restart is a creation by now. Nothing to do is as good: somebody did the same.
    """
    expected = Change.CREATE if shown.change == Change.RESTART else shown.change
    unseen = [difference.key for difference in now.differences if difference not in shown.differences]
    if now.change == Change.UNCHANGED or (now.change == expected and not unseen):
        return
    keys = ", ".join(unseen) or now.keys
    would = f"deploying it now is {now.change}{f' ({keys})' if keys else ''}, and {shown.change} was shown"
    raise Failure(ExitCode.PLAN_OUTDATED, f"somebody changed the {kind} of {name} meanwhile: {would}", AGAIN)


def _deployment(run: Run | None) -> tuple[str, int] | None:
    """Return which deployment of which run is there; None when nothing runs, or it is being stopped."""
    return (run.id, run.deployment_num) if run and run.active and run.status != "terminating" else None


def _fleet_spec(fleet: Fleet | None) -> tuple[str, object] | None:
    return (fleet.id, fleet.spec) if fleet and fleet.status in ("submitted", "active") else None


def _gateway_configuration(gateway: Gateway | None) -> tuple[str, object] | None:
    return (gateway.id, gateway.configuration) if gateway else None
