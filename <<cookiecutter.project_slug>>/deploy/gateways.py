"""The service's own gateway: an instance in AWS that answers under the service's name and forwards to its replicas.

dstack changes `domain`, `default` and `replicas` of a gateway in place. Anything else takes a new one, which `dstack
apply -y` makes without asking; here that is refused unless allowed by name, because until the service is registered at
the new gateway and the records point at it, nobody is answered.

dstack registers a service that runs when its `gateway` changes, and not because a gateway of that name is made anew. It
takes `<project>/NAME` for another value than `NAME`, though both are the same gateway: writing the other one is a
change in place, without a new replica. A gateway that is made while its service runs gets a tag that says which way the
service has to be written from then on, so that whoever deploys next sees a service that is not registered yet, however
the deploy that made the gateway ended.
"""

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import Change, classify_gateway, classify_service
from deploy.dstack.answers import Gateway, Run
from deploy.dstack.client import Say
from deploy.dstack.polling import poll
from deploy.environments import Environment
from deploy.existing import own, remove
from deploy.guards import refuse_recreation
from deploy.plans import plan_gateway, tagged


def deploy(api: Api, environment: Environment, say: Say, *, allow_recreation: bool = False) -> Gateway | None:
    """Bring the gateway to what the environment says, and wait until all its replicas run. None: it has none.

    One that exists although the file has none is not deleted here, where the service may still be behind it.
    """
    file = f"environments/{environment.name}.yml"
    if environment.gateway is None:
        if api.exists("gateway", environment.run_name):
            why = f"{file} has no gateway, and gateway {environment.run_name} exists and is billed"
            remedy = f"inv deploy --env {environment.name} removes it after the service has left it"
            raise Failure(ExitCode.REMOVAL_REFUSED, f"{why}; {remedy}")
        say(f"{file} has no gateway: nothing to do")
        return None
    name, plan = environment.run_name, plan_gateway(api, environment.gateway, environment.run_name)
    part = classify_gateway(plan)
    refuse_recreation(part, environment, allow_recreation=allow_recreation)
    if part.change == Change.RESTART:
        api.delete("gateway", name, say)
    if part.change in (Change.RESTART, Change.CREATE):
        plan = api.plan("gateway", tagged(environment.gateway, other_way(api.run(name), environment)))
    if part.change != Change.UNCHANGED:
        api.apply("gateway", plan)
        say(f"gateway {name}: {part.change}")
    gateway = _watch(api, environment, say)
    _register(api, name, say)
    return gateway


def destroy(api: Api, environment: Environment, say: Say) -> None:
    """Delete the records, then the gateway: whoever gets its address next shall not be sent the callers."""
    remove(api, environment, own(api, environment, say, "records", "gateway"), say)


def other_way(run: Run | None, environment: Environment) -> str | None:
    """The way to write the gateway that an active run does not use; None where no run has to be registered anew."""
    if run is None or not run.active or run.gateway is None:
        return None
    name = environment.run_name
    return f"{environment.project}/{name}" if run.gateway == name else name


def _register(api: Api, name: str, say: Say) -> None:
    """Register the run at its gateway, if that one was recreated."""
    run = api.run(name)
    if run and run.active and run.gateway:
        plan = api.plan_run(run.run_spec["configuration"] | {"gateway": name}, run)
        if classify_service(plan).change == Change.IN_PLACE:
            api.apply_run(plan)
            say(f"{name}: registered at the new gateway")


def _watch(api: Api, environment: Environment, say: Say) -> Gateway:
    """Wait until the gateway runs as many replicas as it should. Fails with GATEWAY_FAILED and dstack's reason."""
    here, limit = f"gateway {environment.run_name}", environment.timeouts.gateway
    for _ in poll(limit):
        found = api.gateway(environment.run_name)
        if found is None:
            raise Failure(ExitCode.PLAN_OUTDATED, f"{here} is gone; somebody deleted it")
        gateway = found
        say(f"{here}: {gateway.summary}")
        if gateway.ready:
            return gateway
        if gateway.status == "failed":
            break
    why = f"{here}: {gateway.summary}, within {limit} s: {gateway.reason}; fix that"
    remedy = f"then inv gateway.destroy --env {environment.name} and inv deploy --env {environment.name}"
    if gateway.running:  # which a gateway.destroy would end
        undone = f"undo the change of gateway.replicas, then inv deploy --env {environment.name}"
        remedy = f"or {undone}; what runs keeps serving"
    raise Failure(ExitCode.GATEWAY_FAILED, f"{why}, {remedy}")
