"""Chooses which of an environment's two gateway names is used, from what dstack has and nothing else.

A gateway is named as the run, or as the run with OTHER behind it. Usually one of the two exists. When a change needs
a new gateway, the other one is created beside it; the service moves there, and the one that it leaves is deleted. Both
exist only during that, and after a command that was interrupted. gateways.py carries it out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import GATEWAY_IN_PLACE, Change, Difference, Part, classify_gateway
from deploy.documents.files import Document
from deploy.dstack.answers import ResourcePlan, Run
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment

FITTING = (Change.UNCHANGED, Change.IN_PLACE)


@dataclass(frozen=True)
class GatewayPlan:
    """What a deploy does to the environment's gateways.

    `environment` has the name of the gateway that the service uses afterwards, and `plan` is dstack's own plan of it.
    `leaving` is the gateway that is deleted at the end.
    """

    environment: Environment
    plan: ResourcePlan
    part: Part
    leaving: Gateway | None = None
    recreates: bool = False  # the gateway has the right name, nobody uses it, and it is deleted first

    @property
    def name(self) -> str:
        return self.environment.gateway_name

    @property
    def changes(self) -> bool:
        """Whether dstack changes or creates the gateway that the service uses afterwards."""
        return classify_gateway(self.plan).change != Change.UNCHANGED


def gateways_of(api: Api, environment: Environment) -> dict[str, Gateway]:
    """Return the environment's gateways that exist, by name."""
    found = {name: api.gateway(name) for name in environment.gateway_names}
    return {name: gateway for name, gateway in found.items() if gateway}


def used_by(run: Run | None, environment: Environment) -> str | None:
    """Return the environment's gateway that an active run names, whether it still exists or not; None without one."""
    if run is None or not run.active or run.status == "terminating" or not run.gateway:
        return None
    name = run.gateway.removeprefix(f"{environment.project}/")
    return name if name in environment.gateway_names else None


def gateway_in_use(run: Run | None, environment: Environment, existing: Mapping[str, Gateway]) -> str | None:
    """Return the name of the gateway that the run uses. Without it, return the first that exists; None if none does."""
    used = used_by(run, environment)
    return used if used in existing else next(iter(existing), None)


def look(api: Api, environment: Environment) -> tuple[Gateway | None, list[Gateway]]:
    """Return the gateway in use, and the others of the environment that exist and are billed."""
    existing = gateways_of(api, environment)
    name = gateway_in_use(api.run(environment.run_name), environment, existing)
    others = [gateway for other, gateway in existing.items() if other != name]
    return existing.get(name or ""), others


def plan_gateways(
    api: Api, environment: Environment, run: Run | None, existing: Mapping[str, Gateway], *, broken: str = ""
) -> GatewayPlan:
    """Plan the gateway of the environment's file, and the end of one that the service leaves.

    `broken`: the name of a gateway that is replaced although it may be as the file says, because it does not work.
    """
    used = used_by(run, environment)
    first = used or broken or next(iter(existing), environment.run_name)
    order = (first, *(name for name in environment.gateway_names if name != first))
    plans = {name: _plan(api, environment.behind(name), existing[name]) for name in order if name in existing}
    changes = {name: classify_gateway(plan) for name, plan in plans.items()}
    fits = [name for name in order if name in changes and changes[name].change in FITTING]
    usable = [name for name in fits if name != broken and (name == first or existing[name].status != "failed")]
    chosen = _chosen(order, used, usable, existing)
    old = next((name for name in existing if name != chosen), None)
    behind, recreates = environment.behind(chosen), chosen in existing and chosen not in usable
    plan = plans.get(chosen) or _plan(api, behind, None)
    new = classify_gateway(plan)
    if old is None:
        return GatewayPlan(behind, plan, Part(Change.CREATE) if recreates else new, recreates=recreates)
    if chosen in usable and old != used:
        left = Difference(f"gateway {old}", existing[old].summary, None)
        change = Change.IN_PLACE if new.change == Change.UNCHANGED else new.change
        return GatewayPlan(behind, plan, Part(change, (*new.differences, left)), existing[old])
    moved = Difference("name", old, chosen)
    part = Part(Change.REPLACE, (*changes[old].differences, moved))
    return GatewayPlan(behind, plan, part, existing[old], recreates)


def _chosen(order: tuple[str, ...], used: str | None, usable: list[str], existing: Mapping[str, Gateway]) -> str:
    """Return the first usable gateway; else a name that is free; else the gateway that nobody uses, to be recreated.

    A name that the run uses is never created again: dstack registers a run only when its `gateway` changes.
    """
    free = [name for name in order if name not in existing and name != used]
    return next(iter(usable + free), order[-1])


def replacement_interrupts(environment: Environment) -> str:
    """Return why callers get no answer for a while when the gateway is replaced; "" when they do not notice it."""
    if environment.dns is None:
        return f"the file has no dns, so {environment.host} keeps pointing at the old address until you change it"
    if needs_record_first(environment):
        return f"the new gateway has no certificate for {environment.host} until the record points at it"
    return ""


def needs_record_first(environment: Environment) -> bool:
    """Return whether Let's Encrypt has to find the new gateway by the service's name before it answers there."""
    certificate = _certificate(environment)
    kind = certificate.get("type") if isinstance(certificate, dict) else certificate
    return bool(kind == "lets-encrypt")


def has_certificate(environment: Environment) -> bool:
    """Return whether callers use https. dstack's default is a certificate of Let's Encrypt."""
    return _certificate(environment) is not None


def _certificate(environment: Environment) -> object:
    return (environment.gateway or {}).get("certificate", "lets-encrypt")


def _plan(api: Api, environment: Environment, found: Gateway | None) -> ResourcePlan:
    """Return dstack's own plan of the gateway.

    dstack plans gateways only for admins of the project. For other users, the plan is made here: the gateway as it is,
    with the keys of the file over it. It misses a key that was removed from the file. It has no `spec`.
    """
    wanted: Document = environment.gateway or {}
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
