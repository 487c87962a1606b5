"""What is sent is the plan that was shown; what has to be planned again does nothing that was not shown."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conftest import job, run, run_json
from planned import Server, gateway, plan_of, run_plan

from console.errors import ExitCode, Failure
from deploy.changes import Change, Difference, Part, classify_gateway
from deploy.dstack.answers import ResourcePlan
from deploy.environments import Environment
from deploy.gateway_choice import GatewayPlan
from deploy.gateways import apply as apply_gateway
from deploy.rollout import deploy


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
    with pytest.raises(Failure, match=r"the new plan is rolling \(replicas\), the shown plan was rolling") as refused:
        deploy(server, plan, print)  # type: ignore[arg-type]
    assert (refused.value.code, server.sent) == (ExitCode.PLAN_OUTDATED, [plan.fleet_plan])


def gateway_plan(environment: Environment, plan: ResourcePlan, **values: Any) -> GatewayPlan:
    behind = replace(environment, gateway={"region": "us-east-2"}).behind("x")
    return GatewayPlan(behind, plan, classify_gateway(plan), **values)


def test_a_replacement_that_a_colleague_created_otherwise_is_left_alone(environment: Environment) -> None:
    server, effective = Server(None), {"configuration": {"region": "us-east-2"}}
    asked = ResourcePlan(action="create", spec={"a": 1}, effective_spec=effective)
    theirs = {"configuration": {"region": "eu-west-1"}}
    server.planned = asked.model_copy(update={"current_resource": theirs})
    plan = plan_of(environment, server, gateway_plan=gateway_plan(environment, asked, recreates=True))
    with pytest.raises(Failure, match="somebody changed the gateway") as refused:
        apply_gateway(server, plan, print)  # type: ignore[arg-type]
    assert (refused.value.code, server.sent) == (ExitCode.PLAN_OUTDATED, ["delete gateway"])


def test_a_gateway_plan_is_sent_as_it_was_shown(environment: Environment) -> None:
    server = Server(None, gateway=gateway(replicas=1))
    effective, current = {"configuration": {"replicas": 2}}, {"configuration": {"replicas": 1}}
    shown = ResourcePlan(action="update", spec={"a": 1}, effective_spec=effective, current_resource=current)
    planned = gateway_plan(environment, shown)
    apply_gateway(server, plan_of(environment, server, gateway_plan=planned), print)  # type: ignore[arg-type]
    assert server.sent == [shown]
