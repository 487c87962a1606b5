"""The service's own gateway: an instance in AWS that answers under the service's name and forwards to its replicas.

dstack changes `domain`, `default` and `replicas` of a gateway in place. Anything else takes a new one, which `dstack
apply -y` makes without asking; here that is refused unless allowed by name, because until the service is registered at
the new gateway and the records point at it, nobody is answered.
"""

from deploy.answers import Gateway
from deploy.api import Api, Say, during
from deploy.environments import Environment
from deploy.errors import ExitCode, Failure
from deploy.plans import Change, judge_gateway, refuse_recreation


def deploy(api: Api, environment: Environment, say: Say, *, allow_recreation: bool = False) -> Gateway | None:
    """Bring the gateway to what the environment says, and wait until all its replicas run. None: it has none."""
    if environment.gateway is None:
        say(f"environments/{environment.name}.yml has no gateway: nothing to do")
        return None
    name, plan = environment.run_name, api.plan("gateway", environment.gateway)
    part = judge_gateway(plan)
    refuse_recreation(part, environment, allow_recreation=allow_recreation)
    if part.change == Change.RESTART:
        api.delete("gateway", name, say)
        plan = api.plan("gateway", environment.gateway)
    if part.change != Change.UNCHANGED:
        api.apply("gateway", plan)
        say(f"gateway {name}: {part.change}")
    gateway = _watch(api, environment, say)
    if part.change == Change.RESTART and (run := api.run(name)) and run.active:
        # dstack registers a service when its `gateway` changes, and takes `<project>/NAME` for another value than
        # `NAME` though both mean the same gateway: writing the other one is a change in place, without a new replica.
        other = f"{environment.project}/{name}" if run.gateway == name else name
        api.apply("run", api.plan_run(run.run_spec["configuration"], run, gateway=other))
        say(f"{name}: registered at the new gateway")
    return gateway


def _watch(api: Api, environment: Environment, say: Say) -> Gateway:
    """Wait until the gateway runs as many replicas as it should. Fails with GATEWAY_FAILED and dstack's reason."""
    here, why = f"gateway {environment.run_name}", f"not running after {environment.timeouts.gateway} s"
    for _ in during(environment.timeouts.gateway):
        gateway = api.gateway(environment.run_name)
        if gateway is None:
            raise Failure(ExitCode.PLAN_OUTDATED, f"{here} is gone; somebody deleted it")
        say(f"{here}: {gateway.summary}")
        if gateway.ready:
            return gateway
        if gateway.status == "failed":
            why = gateway.reason
            break
    again = f"inv gateway.destroy --env {environment.name} and inv deploy --env {environment.name}"
    raise Failure(ExitCode.GATEWAY_FAILED, f"{here}: {why}; mend that, then {again}")
