"""The service's own gateway: an instance in AWS that answers under the service's name and forwards to its replicas.

dstack changes `domain`, `default` and `replicas` of a gateway in place. For any other change, `dstack apply -y` deletes
the gateway and creates it again, and callers get no answer for minutes. Here the gateway is replaced: another one is
created beside it, under the other name of gateway_choice.py. The service's `gateway` is changed, which dstack does in
place: it registers the service at the new gateway within seconds. The records move there. Then the old one is deleted.

dstack registers a running service only when its `gateway` changes. So a gateway that somebody deleted is replaced under
the other name too.
"""

import time

from console.errors import ExitCode, Failure
from console.remedies import for_environment
from deploy.api import Api
from deploy.changes import Change, classify_gateway, classify_service
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.dstack.polling import poll
from deploy.environments import Environment
from deploy.existing import resources_of
from deploy.gateway_choice import GatewayPlan, gateway_in_use, gateways_of, needs_record_first, plan_gateways, used_by
from deploy.guards import refuse_recreation
from deploy.outdated import AGAIN, refuse_unseen
from deploy.plans import Plan
from deploy.reaching import wait_for_answers
from deploy.records import TTL_SECONDS, RecordPlan
from deploy.removal import remove


def deploy(api: Api, environment: Environment, notify: Notify, *, allow_recreation: bool = False) -> Gateway | None:
    """Plan and apply the environment's gateway, and return it. Return None when the environment has no gateway.

    A gateway that exists although the file has none is not deleted here: the service may still be behind it. With
    records, a service that leaves its gateway moves together with them, in `publish`. A later call deletes the old one.
    """
    file, existing = environment.file, gateways_of(api, environment)
    if environment.gateway is None:
        if existing:
            why = f"{file} has no gateway, but gateway {', '.join(existing)} exists and is billed"
            remedy = f"run `inv deploy --env {environment.name}`, which removes it after the service has left it"
            raise Failure(ExitCode.REMOVAL_REFUSED, why, remedy)
        notify(f"{file} has no gateway: nothing to do")
        return None
    planned = plan_gateways(api, environment, api.run(environment.run_name), existing)
    refuse_recreation(planned.part, environment, allow_recreation=allow_recreation)
    gateway = _bring_up(api, planned, notify)
    if planned.part.change == Change.REPLACE and planned.leaving and environment.dns is not None:
        then = "`inv dns.update` moves the service and its records there, and `inv gateway.deploy` then deletes"
        notify(for_environment(f"gateway {planned.name} runs: {then} {planned.leaving.name}", environment.name))
    else:
        _move(api, planned, gateway, None, notify)
    return gateway


def apply(api: Api, plan: Plan, notify: Notify) -> None:
    """Apply exactly the plans of gateway, records and alarms that are in `plan`."""
    if plan.gateway_plan:
        gateway = _bring_up(api, plan.gateway_plan, notify)
        _move(api, plan.gateway_plan, gateway, plan.records_plan, notify)
        if plan.alarms_plan:
            from deploy import cloudwatch

            cloudwatch.apply(plan.alarms_plan, gateway, notify)


def create_instead(api: Api, environment: Environment, broken: str, notify: Notify) -> None:
    """Create another gateway, as the file says, because the one named `broken` is gone or does not work.

    Waits until it runs. `register` then lets the service use it. A second call with the same `broken` continues.
    """
    run, existing = api.run(environment.run_name), gateways_of(api, environment)
    _bring_up(api, plan_gateways(api, environment, run, existing, broken=broken), notify)


def publish(api: Api, environment: Environment, notify: Notify, *, dry_run: bool = False, adopt: bool = False) -> None:
    """Point the service's name at its gateway, unless it does already. Wait until Route 53 answers with it.

    When a gateway that replaces the one in use is ready, the service moves there first.
    """
    if environment.dns is None:
        return notify(f"{environment.file} has no dns: nothing to do")
    from deploy import route53  # boto3 takes longer to import than the rest takes to run

    run, existing = api.run(environment.run_name), gateways_of(api, environment)
    planned = plan_gateways(api, environment, run, existing) if existing and environment.gateway else None
    ready = planned is not None and planned.name in existing and existing[planned.name].ready
    name = planned.name if planned and ready else gateway_in_use(run, environment, existing)
    gateway, behind = existing.get(name or ""), environment.behind(name)
    targets = gateway.targets if gateway else ()
    records = route53.plan(behind, targets, adopt=adopt).pointing_at(targets)
    if dry_run and records.changes:
        return notify(f"record {records.zone.host} -> {' '.join(targets)}: would be written")
    if planned and ready and gateway and not dry_run and planned.part.change == Change.REPLACE:
        return _serve(api, behind, gateway, records, notify)
    route53.apply(records, targets, notify)


def destroy(api: Api, environment: Environment, notify: Notify) -> None:
    """Delete the records and the alarms, then the gateway.

    In another order, callers could reach the next owner of its address, and an alarm would say that it is gone.
    """
    remove(api, environment, resources_of(api, environment, notify, "records", "alarms", "gateway"), notify)


def register(api: Api, environment: Environment, gateway: Gateway, notify: Notify) -> None:
    """Register the run at `gateway`, if it is behind another one, and wait until it answers there.

    Nothing else of the run changes, and no replica.
    """
    run, name = api.run(environment.run_name), environment.gateway_name
    if run is None or not run.active or not run.gateway or used_by(run, environment) == name:
        return
    plan = api.plan_run(run.run_spec["configuration"] | {"gateway": name}, run)
    if classify_service(plan).change == Change.IN_PLACE:
        run = api.apply_run(plan)
        notify(f"{environment.run_name}: moved to gateway {name}")
        wait_for_answers(environment, gateway.targets, run, notify)


def _bring_up(api: Api, planned: GatewayPlan, notify: Notify) -> Gateway:
    """Apply exactly that plan of the gateway, and wait until all its replicas run.

    Only a gateway that nobody uses is deleted and planned again.
    """
    name, plan, part = planned.name, planned.plan, classify_gateway(planned.plan)
    if planned.recreates:
        api.delete("gateway", name, notify)
    if planned.recreates or (part.change != Change.UNCHANGED and not plan.spec):
        plan = api.plan("gateway", planned.environment.gateway or {})  # fails for users who are no admins
        refuse_unseen("gateway", name, planned.part, classify_gateway(plan))
    if (change := classify_gateway(plan).change) != Change.UNCHANGED:
        api.apply("gateway", plan)
        notify(f"gateway {name}: {change}")
    return _watch(api, planned.environment, notify, instead=planned.part.change == Change.REPLACE)


def _move(api: Api, planned: GatewayPlan, gateway: Gateway, records: RecordPlan | None, notify: Notify) -> None:
    """Let service and records move to `gateway`, and delete the gateway that they leave."""
    _serve(api, planned.environment, gateway, records, notify)
    if planned.leaving:
        if records and records.pointing_at(gateway.targets).changes:
            notify(f"waiting {TTL_SECONDS} s: callers may still know the address of {planned.leaving.name}")
            time.sleep(TTL_SECONDS)
        api.delete("gateway", planned.leaving.name, notify)


def _serve(api: Api, environment: Environment, gateway: Gateway, records: RecordPlan | None, notify: Notify) -> None:
    """Register the service at `gateway`, and point its records there."""
    record_first = needs_record_first(environment)
    if not record_first:
        register(api, environment, gateway, notify)
    if records:
        from deploy import route53  # boto3 takes longer to import than the rest takes to run

        route53.apply(records, gateway.targets, notify)
    if record_first:
        register(api, environment, gateway, notify)


def _watch(api: Api, environment: Environment, notify: Notify, *, instead: bool) -> Gateway:
    """Wait until the gateway runs as many replicas as it should. Fails with GATEWAY_FAILED and dstack's reason.

    `instead`: it replaces a gateway that still exists, which a gateway.destroy would delete too.
    """
    here, limit = f"gateway {environment.gateway_name}", environment.timeouts.gateway
    for _ in poll(limit):
        found = api.gateway(environment.gateway_name)
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
    if instead:
        why += f": {gateway.reason} ({gateway.summary}, and the service stays where it is)"
        raise Failure(ExitCode.GATEWAY_FAILED, why, f"fix it, then {again}, which creates it once more")
    remedy = f"fix it, then run `inv gateway.destroy --env {environment.name} --allow-outage` and {again}"
    raise Failure(ExitCode.GATEWAY_FAILED, f"{why}: {gateway.reason} ({gateway.summary})", remedy)
