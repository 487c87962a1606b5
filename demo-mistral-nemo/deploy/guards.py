"""What speaks against applying a plan: each function returns, or fails before anything is touched."""

from console.errors import ExitCode, Failure
from deploy.changes import Change, Part
from deploy.dstack.answers import Machine
from deploy.environments import Environment
from deploy.plans import Plan


def refuse(plan: Plan, *, allow_restart: bool, allow_recreation: bool = False, allow_removal: bool = False) -> None:
    """Fail with what speaks against applying `plan`, before anything is touched."""
    environment = plan.environment
    if plan.restarts and environment.protected and not allow_restart:
        keys = ", ".join(part.keys for part in (plan.fleet, plan.service) if part.keys)
        why = f"changing {keys} would restart {environment.run_name}, an outage of minutes, and it is protected"
        remedy = f"undo the change, or allow it: inv deploy --env {environment.name} --allow-restart"
        if "groups" in plan.service.fields:
            remedy += ", or rename a group in two deploys: add the new one beside it first, then remove the old one"
        raise Failure(ExitCode.RESTART_REFUSED, why, remedy)
    if "gateway" in plan.parts:
        refuse_recreation(plan.parts["gateway"], environment, allow_recreation=allow_recreation)
    if plan.removals and environment.protected and not allow_removal:
        what = ", ".join(f"{resource.kind} {resource.name}" for resource in plan.removals)
        why = f"deploying removes {what}, which the files do not name any more, and {environment.name} is protected"
        remedy = f"write it into the file again, or allow it: inv deploy --env {environment.name} --allow-removal"
        raise Failure(ExitCode.REMOVAL_REFUSED, why, remedy)
    refuse_offers(plan, plan.offers)


def refuse_offers(plan: Plan, offers: list[Machine]) -> None:
    """Fail with NO_CAPACITY when the plan takes a machine and there is no offer. A service without room would end."""
    if plan.needs_machine and not offers:
        raise no_offer(plan)


def no_offer(plan: Plan) -> Failure:
    """Return why there is no offer for what the plan needs, and what to do about it."""
    environment = plan.environment
    if plan.dearer is not None:
        limit = f"max_price_per_hour is {environment.max_price_per_hour:.2f}"
        why = f"the cheapest offer is ${plan.dearer:.2f} an hour, {limit}"
        return Failure(ExitCode.NO_CAPACITY, why, "raise it, or try again later")
    from deploy.documents import combined

    clouds = ", ".join(environment.service.get("backends", ["the clouds"]))
    narrower = combined.narrowing(environment.service, environment.fleet)
    if environment.max_price_per_hour:
        narrower = tuple(key.replace("fleet.max_price", "max_price_per_hour") for key in narrower)
    also = f" with {', '.join(narrower)}" if narrower else ""
    living = "" if plan.service.change == Change.CREATE else " (the service keeps running as it is)"
    why = f"nothing on {clouds} fits service.resources{also}{living}"
    return Failure(ExitCode.NO_CAPACITY, why, "ask for less, or try again in a few minutes")


def refuse_outage(environment: Environment, *, allowed: bool) -> None:
    """Fail with RESTART_REFUSED when a protected service would be ended and nobody allowed that by name."""
    if environment.protected and not allowed:
        why = f"{environment.run_name} is protected, and this ends all requests to it"
        raise Failure(ExitCode.RESTART_REFUSED, why, "if that is meant, add --allow-outage")


def refuse_recreation(part: Part, environment: Environment, *, allow_recreation: bool) -> None:
    """Fail with GATEWAY_RECREATION_REFUSED when the gateway would be replaced and nobody allowed that."""
    if part.change == Change.RESTART and not allow_recreation:
        why = f"changing {part.keys} takes a new gateway: minutes in which {environment.host} answers nobody"
        remedy = f"undo it, or allow it: inv gateway.deploy --env {environment.name} --allow-recreation"
        raise Failure(ExitCode.GATEWAY_RECREATION_REFUSED, why, remedy)
