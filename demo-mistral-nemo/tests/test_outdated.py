"""A plan is refused if a colleague changed something between showing it and applying it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from conftest import job, run, run_json
from planned import FLEET, Client, Server, gateway, plan_of, run_plan

from console.errors import ExitCode, Failure
from deploy.changes import Change, Difference, Part, classify_service
from deploy.dstack.answers import RunPlan
from deploy.environments import Environment
from deploy.outdated import Seen, refuse_changed, refuse_unseen
from deploy.plans import Plan
from deploy.records import RecordPlan, RecordSet, records_for
from deploy.route53 import Zone


@pytest.mark.parametrize(
    ("shown", "now", "accepted"),
    [
        (Part(Change.CREATE), run_plan(None, {}, "create"), True),
        (Part(Change.CREATE), run_plan(run_json(job()), {}), True),  # a colleague deployed the same
        (Part(Change.CREATE), run_plan(run_json(job()), {"env": {"A": "2"}}), False),
        (Part(Change.RESTART), run_plan(None, {}, "create"), True),
        (Part(Change.RESTART), run_plan(run_json(job()), {"retry": True}, "create"), False),
        (Part(Change.ROLLING, (Difference("env.A", "1", "2"),)), run_plan(run_json(job()), {"env": {"A": "2"}}), True),
        (Part(Change.ROLLING, (Difference("env.A", "0", "2"),)), run_plan(run_json(job()), {"env": {"A": "2"}}), False),
        (Part(Change.IN_PLACE), run_plan(run_json(job()), {"env": {"A": "2"}}), False),
    ],
)
def test_a_second_plan_that_does_what_was_not_shown_is_refused(shown: Part, now: RunPlan, accepted: bool) -> None:
    if accepted:
        refuse_unseen("service", "x", shown, classify_service(now))
        return
    with pytest.raises(Failure, match="somebody changed the service of x") as refused:
        refuse_unseen("service", "x", shown, classify_service(now))
    assert refused.value.code == ExitCode.PLAN_OUTDATED


HOST, OWNER = "x.ai.internal", "main/x"
OURS = records_for(HOST, ["10.0.0.7"], OWNER)
MOVED = records_for(HOST, ["10.0.0.9"], OWNER)


def behind(environment: Environment, server: Server, client: Client) -> Plan:
    """The same with a gateway and records that stay as they are."""
    server.now = replace(server.now, gateways={"x": gateway()})
    zone = Zone(client, "Z1", HOST, OWNER)
    records = RecordPlan(zone, client.found, OURS)
    plan = plan_of(replace(environment, run_name="x"), server, records_plan=records)
    parts = {"fleet": plan.fleet, "gateway": Part(Change.UNCHANGED), "records": records.part, "service": plan.service}
    return replace(plan, parts=parts, seen=replace(plan.seen, records=client.found))


def test_what_is_as_it_was_planned_for_is_applied(environment: Environment) -> None:
    server, client = Server(run(job())), Client(OURS)
    plan = behind(environment, server, client)
    server.now = replace(server.now, run=run(job(streak=9)))  # time passes, and that is no change
    refuse_changed(server, plan)  # type: ignore[arg-type]


CHANGES: dict[str, Callable[[Seen], Seen]] = {
    "service": lambda seen: replace(seen, run=run(job(deployment=1), deployment=1)),
    "another service": lambda seen: replace(seen, run=run(job(), id="run-2")),
    "a stopped service": lambda seen: replace(seen, run=run(job(), status="terminating")),
    "fleet": lambda seen: replace(seen, fleet=FLEET.model_copy(update={"spec": {"configuration": {"nodes": "0..9"}}})),
    "another fleet": lambda seen: replace(seen, fleet=FLEET.model_copy(update={"id": "fleet-2"})),
    "no fleet": lambda seen: replace(seen, fleet=None),
    "gateway": lambda seen: replace(seen, gateways={"x": gateway(replicas=2)}),
    "another gateway": lambda seen: replace(seen, gateways={"x": gateway("gateway-2")}),
    "a second gateway": lambda seen: replace(seen, gateways={"x": gateway(), "x-gw-b": gateway("gateway-2")}),
    "no gateway": lambda seen: replace(seen, gateways={}),
}


@pytest.mark.parametrize("changed", CHANGES)
def test_what_a_colleague_changed_after_it_was_shown_is_refused_before_anything_is_touched(
    environment: Environment, changed: str
) -> None:
    server = Server(run(job()))
    plan = behind(environment, server, Client(OURS))
    server.now = CHANGES[changed](server.now)
    with pytest.raises(Failure, match=f"the {changed.split()[-1]} of") as refused:
        refuse_changed(server, plan)  # type: ignore[arg-type]
    assert (refused.value.code, server.sent) == (ExitCode.PLAN_OUTDATED, [])


@pytest.mark.parametrize("now", [MOVED, frozenset()], ids=["moved", "deleted"])
def test_records_that_a_colleague_changed_after_they_were_shown_are_refused(
    environment: Environment, now: frozenset[RecordSet]
) -> None:
    server, client = Server(run(job())), Client(OURS)
    plan = behind(environment, server, client)
    client.found = now
    with pytest.raises(Failure, match="the records of") as refused:
        refuse_changed(server, plan)  # type: ignore[arg-type]
    assert refused.value.code == ExitCode.PLAN_OUTDATED


def test_a_deploy_without_gateway_does_not_look_at_one(environment: Environment) -> None:
    server = Server(run(job()))
    plan = plan_of(environment, server)
    server.now = replace(server.now, gateways={"x": gateway()})
    refuse_changed(server, plan)  # type: ignore[arg-type]
