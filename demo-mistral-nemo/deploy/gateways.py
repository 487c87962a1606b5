"""The service's own gateway: an instance in AWS that answers under the service's name and forwards to its replicas.

dstack changes `domain`, `default` and `replicas` of a gateway in place. Anything else takes a new one, which `dstack
apply -y` makes without asking; here that is refused unless allowed by name, because until the service is registered at
the new gateway and the records point at it, nobody is answered.
"""

from __future__ import annotations

import time

from deploy.answers import Gateway
from deploy.api import POLL_SECONDS, Api, Say
from deploy.environments import Environment
from deploy.errors import ExitCode, Failure
from deploy.plans import Change, judge_gateway, refuse_recreation


def deploy(api: Api, environment: Environment, say: Say, *, allow_recreation: bool = False) -> Gateway | None:
    """Bring the gateway to what the environment says, and wait until all its replicas run. None: it has none."""
    if environment.gateway is None:
        return None
    plan = api.plan_gateway(environment.gateway)
    part = judge_gateway(plan)
    refuse_recreation(part, environment, allow_recreation=allow_recreation)
    if part.change == Change.RESTART:
        destroy(api, environment, say)
        plan = api.plan_gateway(environment.gateway)
    if part.change != Change.UNCHANGED:
        api.apply_gateway(plan)
        say(f"gateway {environment.run_name}: {part.change}")
    gateway = watch(api, environment, say)
    if part.change == Change.RESTART:
        reattach(api, environment, say)
    return gateway


def reattach(api: Api, environment: Environment, say: Say) -> None:
    """Register a running service at a gateway that was made anew.

    dstack registers a service when its `gateway` changes, and takes `<project>/NAME` for another value than `NAME`
    though both mean the same gateway: writing the other one is a change in place, without a new replica.
    """
    run = api.run(environment.run_name)
    if run and run.active:
        short, long = environment.run_name, f"{environment.project}/{environment.run_name}"
        api.apply_run(api.plan_run(run.configuration, run, gateway=long if run.gateway == short else short))
        say(f"{environment.run_name}: registered at the new gateway")


def watch(api: Api, environment: Environment, say: Say) -> Gateway:
    """Wait until the gateway runs as many replicas as it should. Fails with GATEWAY_FAILED and dstack's reason."""
    until, said = time.monotonic() + environment.timeouts.gateway, ""
    while True:
        gateway = api.gateway(environment.run_name)
        if gateway is None:
            raise Failure(ExitCode.PLAN_OUTDATED, f"gateway {environment.run_name} is gone; somebody deleted it")
        summary = f"gateway {environment.run_name}: {gateway.summary}"
        if summary != said:
            say(summary)
            said = summary
        if gateway.status == "running" and len(gateway.running) == gateway.wanted:
            return gateway
        failed = gateway.status == "failed"
        if failed or time.monotonic() > until:
            why = gateway.reason if failed else f"not running after {environment.timeouts.gateway} s"
            mend = (
                f"mend that, then inv gateway.destroy --env {environment.name} and inv deploy --env {environment.name}"
            )
            raise Failure(ExitCode.GATEWAY_FAILED, f"gateway {environment.run_name}: {why}; {mend}")
        time.sleep(POLL_SECONDS)


def destroy(api: Api, environment: Environment, say: Say) -> None:
    """Delete the gateway and wait until it is gone. Doing it twice is doing it once."""
    if api.gateway(environment.run_name) is None:
        return
    api.delete_gateway(environment.run_name)
    while api.gateway(environment.run_name):
        time.sleep(POLL_SECONDS)
    say(f"gateway {environment.run_name}: deleted")
