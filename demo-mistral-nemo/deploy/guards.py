"""Refuses a plan that must not be applied. Each function returns, or raises a Failure before anything is changed."""

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import Change, Part
from deploy.dstack.answers import Machine
from deploy.dstack.client import Notify
from deploy.environments import Environment
from deploy.gateway_choice import replacement_interrupts
from deploy.plans import Plan
from deploy.reaching import ask_gateway, dead, resolve


def refuse(plan: Plan, *, allow_restart: bool, allow_recreation: bool = False, allow_removal: bool = False) -> None:
    """Fail when `plan` must not be applied, before anything is changed."""
    environment = plan.environment
    if plan.restarts and environment.protected and not allow_restart:
        keys = ", ".join(part.keys for part in (plan.fleet, plan.service) if part.keys)
        why = f"changing {keys} restarts {environment.run_name}, which is protected, and it does not answer for minutes"
        remedy = f"undo the change, or allow it with `inv deploy --env {environment.name} --allow-restart`"
        if "groups" in plan.service.fields:
            remedy += ", or rename a group in two deploys: first add the new one, then remove the old one"
        raise Failure(ExitCode.RESTART_REFUSED, why, remedy)
    if "gateway" in plan.parts:
        refuse_recreation(plan.parts["gateway"], environment, allow_recreation=allow_recreation)
    if plan.removals and environment.protected and not allow_removal:
        what = ", ".join(f"{resource.kind} {resource.name}" for resource in plan.removals)
        why = f"deploying removes {what}, which no file names any more, and {environment.name} is protected"
        remedy = f"write it into the file again, or allow it with `inv deploy --env {environment.name} --allow-removal`"
        raise Failure(ExitCode.REMOVAL_REFUSED, why, remedy)
    refuse_offers(plan, plan.offers)
    refuse_sequences(plan)


def refuse_dead_gateway(api: Api, plan: Plan, notify: Notify) -> None:
    """Fail with GATEWAY_FAILED when a rolling change meets a dead gateway replica: dstack would wait for ever."""
    run = plan.run_plan.current
    replaced = "gateway" in plan.parts and plan.parts["gateway"].change == Change.CREATE
    if plan.service.change != Change.ROLLING or replaced or not run or not run.gateway or not run.host:
        return
    gateway = api.gateway(run.gateway.rpartition("/")[2])
    if gateway is None or not gateway.running or gateway.hostname:  # behind a load balancer nobody else gets to them
        return
    found = ask_gateway(plan.environment, gateway, f"{run.url}/v1")
    notify(f"gateway: {'; '.join(map(str, found))}")
    if broken := dead(found, resolve(run.host)):
        why = f"a gateway replica is dead ({'; '.join(map(str, broken))}), and a rolling update would wait for it"
        remedy = f"run `inv gateway.recover --env {plan.environment.name}`, then deploy again"
        raise Failure(ExitCode.GATEWAY_FAILED, why, remedy)


def refuse_offers(plan: Plan, offers: list[Machine]) -> None:
    """Fail with NO_CAPACITY when the plan needs a machine and there is no offer: dstack would end the service."""
    if plan.needs_machine and not offers:
        raise no_offer(plan)


def refuse_sequences(plan: Plan) -> None:
    """Fail with SETTINGS_INVALID when vLLM would start on no offer: it has fewer blocks than sequences."""
    if not plan.needs_machine or not plan.evaluation.most_sequences:
        return
    problem = next(offer.problems["sequences"] for offer in plan.evaluation.offers)
    where = f"dstack/service.dstack.yml: vLLM would not start on the {plan.offers[0].gpu}"
    remedy = f"set MAX_NUM_SEQS to {plan.evaluation.most_sequences} or less there; `inv size` says more"
    raise Failure(ExitCode.SETTINGS_INVALID, f"{where}: {problem}", remedy)


def no_offer(plan: Plan) -> Failure:
    """Return the Failure that says why there is no offer for the plan, and what to do."""
    environment = plan.environment
    if plan.cheapest_over_limit is not None:
        limit = f"max_price_per_hour is {environment.max_price_per_hour:.2f}"
        why = f"the cheapest offer is ${plan.cheapest_over_limit:.2f} an hour, {limit}"
        return Failure(ExitCode.NO_CAPACITY, why, f"raise it in {environment.file}, or try again later")
    from deploy.documents import combined

    clouds = ", ".join(environment.service.get("backends", ["the clouds"]))
    narrower = combined.narrowing(environment.service, environment.fleet)
    if environment.max_price_per_hour:
        narrower = tuple(key.replace("fleet.max_price", "max_price_per_hour") for key in narrower)
    also = f" with {', '.join(narrower)}" if narrower else ""
    living = "" if plan.service.change == Change.CREATE else " (the service keeps running as it is)"
    why = f"no offer on {clouds} fits service.resources{also}{living}"
    return Failure(ExitCode.NO_CAPACITY, why, "ask for less in service.resources, or try again in a few minutes")


def refuse_outage(environment: Environment, *, allowed: bool) -> None:
    """Fail with RESTART_REFUSED when the command would end a protected service and no flag allows that."""
    if environment.protected and not allowed:
        why = f"{environment.run_name} is protected, and nobody would get an answer from it any more"
        raise Failure(ExitCode.RESTART_REFUSED, why, "add --allow-outage to go on")


def refuse_recreation(part: Part, environment: Environment, *, allow_recreation: bool) -> None:
    """Fail with GATEWAY_RECREATION_REFUSED when callers would notice a new gateway and no flag allows that."""
    interruption = replacement_interrupts(environment)
    if part.change == Change.REPLACE and interruption and not allow_recreation:
        keys = ", ".join(one.key for one in part.differences if one.key != "name")
        why = f"changing {keys or 'the gateway'} needs a new gateway: {interruption}"
        remedy = f"undo the change, or allow it with `inv gateway.deploy --env {environment.name} --allow-recreation`"
        raise Failure(ExitCode.GATEWAY_RECREATION_REFUSED, why, remedy)
