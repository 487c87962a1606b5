"""The service's own gateway: an instance in AWS that answers under the service's name and forwards to its replicas.

dstack changes `domain`, `default` and `replicas` of a gateway in place. For any other change it recreates the gateway.
`dstack apply -y` does that without asking. Here it is refused without --allow-recreation: the service does not answer
until it is registered at the new gateway and the records point there.

dstack registers a running service when its `gateway` changes, but not when a gateway of that name is recreated. For
dstack, `<project>/NAME` and `NAME` are different values, though both name the same gateway. To write the other one is a
change in place, without a new replica. So a gateway that is created while its service runs gets a tag: which of the two
the service has to write from now on. The next deploy reads the tag and sees whether the service is registered, however
the deploy that created the gateway ended.
"""

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import Change, classify_gateway, classify_service
from deploy.dstack.answers import ResourcePlan
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.dstack.polling import poll
from deploy.environments import Environment
from deploy.existing import remove, resources_of
from deploy.guards import refuse_recreation
from deploy.outdated import AGAIN, refuse_unseen
from deploy.planning import other_reference, plan_gateway, tagged
from deploy.plans import Plan


def deploy(api: Api, environment: Environment, notify: Notify, *, allow_recreation: bool = False) -> Gateway | None:
    """Plan and apply the environment's gateway, and return it. Return None when the environment has no gateway.

    A gateway that exists although the file has none is not deleted here: the service may still be behind it.
    """
    file = environment.file
    if environment.gateway is None:
        if api.exists("gateway", environment.run_name):
            why = f"{file} has no gateway, but gateway {environment.run_name} exists and is billed"
            remedy = f"run `inv deploy --env {environment.name}`, which removes it after the service has left it"
            raise Failure(ExitCode.REMOVAL_REFUSED, why, remedy)
        notify(f"{file} has no gateway: nothing to do")
        return None
    name = environment.run_name
    plan = plan_gateway(api, environment, api.gateway(name), api.run(name))
    refuse_recreation(classify_gateway(plan), environment, allow_recreation=allow_recreation)
    return _apply(api, environment, plan, notify)


def apply(api: Api, plan: Plan, notify: Notify) -> None:
    """Apply exactly the plans of gateway, records and alarms that are in `plan`."""
    if plan.gateway_plan:
        gateway = _apply(api, plan.environment, plan.gateway_plan, notify)
        if plan.records_plan:
            from deploy import route53  # boto3 takes longer to import than the rest takes to run

            route53.apply(plan.records_plan, gateway.targets, notify)
        if plan.alarms_plan:
            from deploy import cloudwatch

            cloudwatch.apply(plan.alarms_plan, gateway, notify)


def destroy(api: Api, environment: Environment, notify: Notify) -> None:
    """Delete the records and the alarms, then the gateway.

    In another order, callers could reach the next owner of its address, and an alarm would say that it is gone.
    """
    remove(api, environment, resources_of(api, environment, notify, "records", "alarms", "gateway"), notify)


def _apply(api: Api, environment: Environment, planned: ResourcePlan, notify: Notify) -> Gateway:
    """Apply exactly that plan of the gateway, and wait until all its replicas run.

    Only a gateway that is deleted and recreated is planned again.
    """
    name, part = environment.run_name, classify_gateway(planned)
    if part.change == Change.RESTART:
        api.delete("gateway", name, notify)
    if part.change == Change.RESTART or (part.change != Change.UNCHANGED and not planned.spec):
        reference = other_reference(api.run(name), environment)
        planned = api.plan("gateway", tagged(environment.gateway or {}, reference))  # fails for users who are no admins
        refuse_unseen("gateway", name, part, classify_gateway(planned))
    if classify_gateway(planned).change != Change.UNCHANGED:
        api.apply("gateway", planned)
        notify(f"gateway {name}: {part.change}")
    gateway = _watch(api, environment, notify)
    _register(api, gateway, name, notify)
    return gateway


def _register(api: Api, gateway: Gateway, name: str, notify: Notify) -> None:
    """Register the run at its gateway, if the gateway was recreated. Nothing else of the run changes."""
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
            raise Failure(ExitCode.PLAN_OUTDATED, f"somebody deleted {here}", AGAIN)
        gateway = found
        notify(f"{here}: {gateway.summary}")
        if gateway.ready:
            return gateway
        if gateway.status == "failed":
            break
    why, again = f"{here} did not become ready within {limit} s", f"run `inv deploy --env {environment.name}`"
    if gateway.running:  # a gateway.destroy would end it
        why += f": {gateway.reason} ({gateway.summary}, and what runs keeps serving)"
        raise Failure(ExitCode.GATEWAY_FAILED, why, f"fix it, or undo the change of gateway.replicas, then {again}")
    remedy = f"fix it, then run `inv gateway.destroy --env {environment.name}` and {again}"
    raise Failure(ExitCode.GATEWAY_FAILED, f"{why}: {gateway.reason} ({gateway.summary})", remedy)
