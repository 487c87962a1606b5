"""What somebody else changed between showing a plan and applying it is refused, before it is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from conftest import job, run, run_json
from planned import fleet_plan, run_plan

from console.errors import ExitCode, Failure
from deploy.changes import Change, Difference, Part, classify_gateway, classify_service
from deploy.dstack.answers import Fleet, Gateway, ResourcePlan, Run, RunPlan
from deploy.environments import Environment
from deploy.gateways import apply as apply_gateway
from deploy.outdated import Seen, refuse_changed, refuse_unseen
from deploy.plans import Plan
from deploy.records import RecordPlan, RecordSet, records_for
from deploy.rollout import deploy
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
FLEET = Fleet(id="fleet-1", name="x", spec={"configuration": {"nodes": "0..2"}}, status="active")
REPLICA = {"status": "running", "hostname": "10.0.0.7", "status_message": None}


def gateway(id: str = "gateway-1", **configuration: Any) -> Gateway:
    """A gateway that runs at 10.0.0.7."""
    configuration = {"region": "us-east-1", "replicas": 1} | configuration
    answer = {"id": id, "status": "running", "configuration": configuration, "replicas": [REPLICA]}
    return Gateway.model_validate(answer)


class Client:
    """Route 53 with these records; keeps the batches that it is sent."""

    def __init__(self, found: frozenset[RecordSet]) -> None:
        self.found = found
        self.batches: list[Any] = []

    def list_resource_record_sets(self, StartRecordName: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"ResourceRecordSets": [one.to_aws() for one in self.found if one.name == StartRecordName]}


class Server:
    """A dstack server with a run, a fleet and a gateway; keeps what it is sent to apply."""

    def __init__(self, run: Run | None, fleet: Fleet | None = FLEET, gateway: Gateway | None = None) -> None:
        self.now = Seen(run, fleet, gateway)
        self.planned: ResourcePlan | RunPlan | None = None
        self.sent: list[Any] = []

    def run(self, name: str) -> Run | None:
        return self.now.run

    def fleet(self, name: str) -> Fleet | None:
        return self.now.fleet

    def gateway(self, name: str) -> Gateway | None:
        return self.now.gateway

    def delete(self, kind: str, name: str, say: Any) -> None:
        self.sent.append(f"delete {kind}")

    def plan(self, kind: str, document: Any) -> Any:
        return self.planned

    def plan_run(self, *_: Any, **__: Any) -> Any:
        return self.planned

    def apply(self, kind: str, plan: ResourcePlan) -> None:
        self.sent.append(plan)

    def apply_run(self, plan: RunPlan) -> Run:
        self.sent.append(plan)
        assert self.now.run is not None
        return self.now.run


def plan_of(environment: Environment, server: Server, **values: Any) -> Plan:
    """A plan that rolls out env.A to what the server has."""
    asked = run_plan(run_json(job()), {"env": {"A": "2"}})
    parts = {"fleet": Part(Change.UNCHANGED), "service": classify_service(asked)}
    return Plan(environment, parts, asked.offers, 0.4, fleet_plan("0..2"), asked, seen=server.now, **values)


def behind(environment: Environment, server: Server, client: Client) -> Plan:
    """The same with a gateway and records that stay as they are."""
    server.now = replace(server.now, gateway=gateway())
    zone = Zone(client, "Z1", HOST, OWNER)
    records = RecordPlan(zone, client.found, OURS)
    plan = plan_of(environment, server, records_plan=records)
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
    "gateway": lambda seen: replace(seen, gateway=gateway(replicas=2)),
    "another gateway": lambda seen: replace(seen, gateway=gateway("gateway-2")),
    "no gateway": lambda seen: replace(seen, gateway=None),
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
    server.now = replace(server.now, gateway=gateway())
    refuse_changed(server, plan)  # type: ignore[arg-type]


def test_the_plan_that_was_shown_is_the_one_that_is_sent(environment: Environment) -> None:
    server = Server(run(job()))
    plan = plan_of(environment, server)
    deploy(server, plan, print)  # type: ignore[arg-type]
    assert server.sent == [plan.run_plan]
    assert server.sent[0] is plan.run_plan


def test_a_fleet_that_was_deleted_meanwhile_is_not_created_instead_of_updated(environment: Environment) -> None:
    server = Server(run(job()))
    plan = plan_of(environment, server)
    plan.parts["fleet"] = Part(Change.IN_PLACE, (Difference("nodes", "0..2", "0..3"),))
    server.now = replace(server.now, fleet=None)
    with pytest.raises(Failure, match="somebody changed the fleet") as refused:
        deploy(server, plan, print)  # type: ignore[arg-type]
    assert (refused.value.code, server.sent) == (ExitCode.PLAN_OUTDATED, [])


def test_a_service_that_was_changed_while_its_fleet_was_updated_is_left_alone(environment: Environment) -> None:
    server = Server(run(job()))
    plan = plan_of(environment, server)
    plan.parts["fleet"] = Part(Change.IN_PLACE, (Difference("nodes", "0..2", "0..3"),))
    server.planned = run_plan(run_json(job(), deployment=1), {"env": {"A": "2"}, "replicas": 3})
    with pytest.raises(Failure, match=r"is rolling \(replicas\), and rolling was shown") as refused:
        deploy(server, plan, print)  # type: ignore[arg-type]
    assert (refused.value.code, server.sent) == (ExitCode.PLAN_OUTDATED, [plan.fleet_plan])


def recreation(environment: Environment, server: Server) -> Plan:
    """A plan that recreates the gateway in another region."""
    effective, current = {"configuration": {"region": "us-east-2"}}, {"configuration": {"region": "us-east-1"}}
    asked = ResourcePlan(action="create", spec={"a": 1}, effective_spec=effective, current_resource=current)
    return plan_of(environment, server, gateway_plan=asked)


def test_a_gateway_that_a_colleague_recreated_otherwise_is_left_alone(environment: Environment) -> None:
    server = Server(None)
    plan = recreation(environment, server)
    assert plan.gateway_plan is not None
    assert classify_gateway(plan.gateway_plan).change == Change.RESTART
    theirs = {"configuration": {"region": "eu-west-1"}}
    server.planned = plan.gateway_plan.model_copy(update={"current_resource": theirs})
    with pytest.raises(Failure, match="somebody changed the gateway") as refused:
        apply_gateway(server, plan, print)  # type: ignore[arg-type]
    assert (refused.value.code, server.sent) == (ExitCode.PLAN_OUTDATED, ["delete gateway"])


def test_a_gateway_plan_is_sent_as_it_was_shown(environment: Environment) -> None:
    server = Server(None, gateway=gateway(replicas=2))
    effective, current = {"configuration": {"replicas": 2}}, {"configuration": {"replicas": 1}}
    shown = ResourcePlan(action="update", spec={"a": 1}, effective_spec=effective, current_resource=current)
    server.now = replace(server.now, gateway=gateway(replicas=1))
    apply_gateway(server, plan_of(environment, server, gateway_plan=shown), print)  # type: ignore[arg-type]
    assert server.sent == [shown]
