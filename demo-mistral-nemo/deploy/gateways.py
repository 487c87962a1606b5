"""The service's own gateway: an instance in AWS that answers under the service's name and forwards to its replicas.

dstack changes `domain`, `default` and `replicas` of a gateway in place. Anything else takes a new one, which `dstack
apply -y` makes without asking; here that is refused unless allowed by name, because until the service is registered at
the new gateway and the records point at it, nobody is answered.

dstack registers a service that runs when its `gateway` changes, and not because a gateway of that name is recreated. It
takes `<project>/NAME` for another value than `NAME`, though both are the same gateway: writing the other one is a
change in place, without a new replica. A gateway that is created while its service runs gets a tag that says which way
the service has to be written from then on, so that whoever deploys next sees a service that is not registered yet,
however the deploy that created the gateway ended.
"""

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import Change, classify_gateway, classify_service
from deploy.dstack.answers import Gateway, ResourcePlan
from deploy.dstack.client import Notify
from deploy.dstack.polling import poll
from deploy.environments import Environment
from deploy.existing import own, remove
from deploy.guards import refuse_recreation
from deploy.outdated import AGAIN, refuse_unseen
from deploy.planning import other_way, plan_gateway, tagged
from deploy.plans import Plan


def deploy(api: Api, environment: Environment, notify: Notify, *, allow_recreation: bool = False) -> Gateway | None:
    """Plan the gateway and bring it to what the environment says. None: the environment has none.

    One that exists although the file has none is not deleted here, where the service may still be behind it.
    """
    file = environment.file
    if environment.gateway is None:
        if api.exists("gateway", environment.run_name):
            why = f"{file} has no gateway, and gateway {environment.run_name} exists and is billed"
            remedy = f"inv deploy --env {environment.name} removes it after the service has left it"
            raise Failure(ExitCode.REMOVAL_REFUSED, why, remedy)
        notify(f"{file} has no gateway: nothing to do")
        return None
    name = environment.run_name
    plan = plan_gateway(api, environment, api.gateway(name), api.run(name))
    refuse_recreation(classify_gateway(plan), environment, allow_recreation=allow_recreation)
    return _apply(api, environment, plan, notify)


def apply(api: Api, plan: Plan, notify: Notify) -> None:
    """Apply exactly what `plan` has of gateway and records, as far as it has them."""
    if plan.gateway_plan:
        gateway = _apply(api, plan.environment, plan.gateway_plan, notify)
        if plan.records_plan:
            from deploy import route53  # boto3 takes longer to import than the rest takes to run

            route53.apply(plan.records_plan, gateway.targets, notify)


def destroy(api: Api, environment: Environment, notify: Notify) -> None:
    """Delete the records, then the gateway: whoever gets its address next must not be sent the callers."""
    remove(api, environment, own(api, environment, notify, "records", "gateway"), notify)


def _apply(api: Api, environment: Environment, planned: ResourcePlan, notify: Notify) -> Gateway:
    """Apply exactly that plan of the gateway, and wait until all its replicas run.

    Only what is deleted first, to be recreated, is planned again.
    """
    name, part = environment.run_name, classify_gateway(planned)
    if part.change == Change.RESTART:
        api.delete("gateway", name, notify)
    if part.change == Change.RESTART or (part.change != Change.UNCHANGED and not planned.spec):
        tags = other_way(api.run(name), environment)
        planned = api.plan("gateway", tagged(environment.gateway or {}, tags))  # fails for who is no admin
        refuse_unseen("gateway", name, part, classify_gateway(planned))
    if classify_gateway(planned).change != Change.UNCHANGED:
        api.apply("gateway", planned)
        notify(f"gateway {name}: {part.change}")
    gateway = _watch(api, environment, notify)
    _register(api, gateway, name, notify)
    return gateway


def _register(api: Api, gateway: Gateway, name: str, notify: Notify) -> None:
    """Register the run at its gateway, if that one was recreated. Nothing else of the run changes."""
    run = api.run(name)
    if run and run.active and run.gateway:
        plan = api.plan_run(run.run_spec["configuration"] | {"gateway": name}, run, known={name: gateway})
        if classify_service(plan).change == Change.IN_PLACE:
            api.apply_run(plan)
            notify(f"{name}: registered at the new gateway")


def _watch(api: Api, environment: Environment, notify: Notify) -> Gateway:
    """Wait until the gateway runs as many replicas as it should. Fails with GATEWAY_FAILED and dstack's reason."""
    here, limit = f"gateway {environment.run_name}", environment.timeouts.gateway
    for _ in poll(limit):
        found = api.gateway(environment.run_name)
        if found is None:
            raise Failure(ExitCode.PLAN_OUTDATED, f"{here} is gone: somebody deleted it", AGAIN)
        gateway = found
        notify(f"{here}: {gateway.summary}")
        if gateway.ready:
            return gateway
        if gateway.status == "failed":
            break
    why = f"{here}: {gateway.summary}, within {limit} s: {gateway.reason}"
    remedy = f"fix that, then inv gateway.destroy --env {environment.name} and inv deploy --env {environment.name}"
    if gateway.running:  # which a gateway.destroy would end
        undone = f"undo the change of gateway.replicas, then inv deploy --env {environment.name}"
        why, remedy = f"{why} (what runs keeps serving)", f"fix that, or {undone}"
    raise Failure(ExitCode.GATEWAY_FAILED, why, remedy)
