"""Asks dstack and AWS what a deploy would change. The answer is a Plan (plans.py), which guards.py may refuse."""

from dataclasses import replace

from deploy.alarms import AlarmPlan
from deploy.api import Api
from deploy.changes import Change, Part, classify_fleet, classify_host, classify_service
from deploy.dstack.answers import Run
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.dstack.polling import poll
from deploy.environments import Environment
from deploy.existing import forgotten
from deploy.gateway_choice import GatewayPlan, gateway_in_use, plan_gateways
from deploy.observing import remembered
from deploy.offers import machines
from deploy.outdated import Seen, look
from deploy.plans import Plan
from deploy.records import RecordPlan

RELEASE_SECONDS = 120.0  # how long a machine that is being released is waited for


def make(api: Api, environment: Environment, notify: Notify, *, gateway: bool = True) -> Plan:
    """Plan a deploy of `environment`, with `gateway` also of gateway, records and alarms. Changes nothing.

    Refuses files that dstack would refuse, now or when it makes a replica. A machine that is being released takes a
    place of the fleet until it is gone, and a full fleet has no offers. So this waits for it.
    """
    from deploy.documents import schema  # dstack's models take longer to import than the rest takes to run

    schema.check(environment)
    for _ in poll(RELEASE_SECONDS):
        plan = _ask(api, environment, gateway=gateway)
        if plan.offers or not plan.needs_machine or not plan.releasing:
            break
        notify("waiting for a machine that is being released")
    if not gateway:
        return plan
    return replace(plan, removals=forgotten(api, environment, plan.run_plan.current, plan.seen.gateways, notify))


def _ask(api: Api, environment: Environment, *, gateway: bool) -> Plan:
    """Ask dstack, and AWS, once for each part."""
    seen = look(api, environment, gateway=gateway or environment.gateway is not None)
    gateway_plan = None
    if gateway and environment.gateway is not None:
        gateway_plan = plan_gateways(api, environment, seen.run, seen.gateways)
        environment = gateway_plan.environment
    else:
        environment = environment.behind(gateway_in_use(seen.run, environment, seen.gateways))
    fleet_plan = api.plan("fleet", environment.fleet)
    run_plan = api.plan_run(environment.service, remembered(api, seen.run))
    records_plan = _plan_records(environment, gateway_plan, seen) if gateway_plan and environment.dns else None
    alarms_plan = _plan_alarms(environment, gateway_plan, seen) if gateway_plan and environment.alarms else None
    serving = bool(seen.run and seen.run.active)
    parts = {"fleet": classify_fleet(fleet_plan, serving=serving)}
    if gateway_plan:
        parts["gateway"] = gateway_plan.part
    if records_plan:
        parts["records"] = records_plan.part
    if alarms_plan:
        parts["alarms"] = alarms_plan.part
    parts["service"] = _service_part(environment, parts, classify_service(run_plan), seen.run)
    plan = Plan(
        environment=environment,
        parts=parts,
        offers=run_plan.offers,
        price=seen.run.price if seen.run else 0.0,
        fleet_plan=fleet_plan,
        run_plan=run_plan,
        gateway_plan=gateway_plan,
        records_plan=records_plan,
        alarms_plan=alarms_plan,
        seen=replace(
            seen,
            records=records_plan.read if records_plan else None,
            alarms=alarms_plan.read if alarms_plan else None,
        ),
    )
    return _with_offers(api, plan)


def _service_part(environment: Environment, parts: dict[str, Part], service: Part, run: Run | None) -> Part:
    """Return what happens to the service because of its own change and those of fleet and gateway."""
    if "gateway" not in parts or parts["gateway"].change in (Change.UNCHANGED, Change.IN_PLACE):
        service = classify_host(service, run, environment.host)
    if parts["fleet"].change == Change.RESTART and service.change != Change.CREATE:
        service = replace(service, change=Change.RESTART)  # the fleet is deleted first, which ends the run
    return service


def _with_offers(api: Api, plan: Plan) -> Plan:
    """Return the plan with the offers for a changed fleet, and with the cheapest price that only the limit excludes."""
    if not plan.needs_machine:
        return plan
    environment, limit = plan.environment, plan.environment.max_price_per_hour
    if plan.fleet.change != Change.UNCHANGED:
        # dstack plans with the fleet as it is now: ask for what the fleet will allow
        plan = replace(plan, offers=machines(api, environment))
    if not plan.offers and limit:
        unlimited = machines(api, environment, unlimited=True)
        excluded = min((offer.price for offer in unlimited if offer.price > limit), default=None)
        plan = replace(plan, cheapest_over_limit=excluded)
    return plan


def _plan_records(environment: Environment, gateway_plan: GatewayPlan, seen: Seen) -> RecordPlan:
    """Return the plan of the records, without addresses while the gateway is being changed or is not ready."""
    from deploy import route53  # boto3 takes longer to import than the rest takes to run

    settled = _settled(gateway_plan, seen)
    return route53.plan(environment, settled.targets if settled else ())


def _plan_alarms(environment: Environment, gateway_plan: GatewayPlan, seen: Seen) -> AlarmPlan:
    """Return the plan of the alarms, without instances while the gateway is being changed or is not ready."""
    from deploy import cloudwatch

    return cloudwatch.plan(environment, _settled(gateway_plan, seen))


def _settled(gateway_plan: GatewayPlan, seen: Seen) -> Gateway | None:
    """Return the gateway if it is ready, and this deploy does not change it."""
    found = seen.gateways.get(gateway_plan.name)
    return found if found and found.ready and not gateway_plan.changes else None
