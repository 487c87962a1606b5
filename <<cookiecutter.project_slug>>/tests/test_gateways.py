from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import job, run

from console.errors import ExitCode, Failure
from deploy import changes, gateways, guards, planning
from deploy.changes import Change, Difference, Part
from deploy.dstack.answers import ResourcePlan
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.settings import Timeouts


def gateway(*replicas: tuple[str, str | None], **values: Any) -> Gateway:
    """A gateway with replicas in these states, at these addresses."""
    listed = [{"status": status, "hostname": host, "status_message": None} for status, host in replicas]
    return Gateway.model_validate({"status": "running", "configuration": {}, "replicas": listed} | values)


def plan(before: dict[str, Any] | None, after: dict[str, Any], action: str = "update") -> ResourcePlan:
    current = {"configuration": before} if before is not None else None
    effective = {"configuration": after}
    return ResourcePlan.model_validate(
        {"action": action, "spec": {}, "effective_spec": effective, "current_resource": current}
    )


@pytest.mark.parametrize(
    ("planned", "expected"),
    [
        (plan(None, {}, "create"), Change.CREATE),
        (plan({"replicas": 1}, {"replicas": 1}), Change.UNCHANGED),
        (plan({"replicas": 1}, {"replicas": 2}), Change.IN_PLACE),
        (plan({"region": "us-east-1"}, {"region": "us-east-2"}, "create"), Change.RESTART),
    ],
)
def test_a_change_of_the_gateway_is_classified(planned: ResourcePlan, expected: Change) -> None:
    assert changes.classify_gateway(planned).change == expected


def test_a_gateway_is_not_recreated_unless_that_is_allowed(environment: Environment) -> None:
    part = changes.classify_gateway(plan({"region": "us-east-1"}, {"region": "us-east-2"}, "create"))
    with pytest.raises(Failure, match="changing region recreates the gateway") as refused:
        guards.refuse_recreation(part, environment, allow_recreation=False)
    assert refused.value.code == ExitCode.GATEWAY_RECREATION_REFUSED
    guards.refuse_recreation(part, environment, allow_recreation=True)


def test_records_point_at_running_replicas_alone() -> None:
    mixed = gateway(
        ("running", "10.0.0.9"), ("terminated", "10.0.0.1"), ("provisioning", None), ("running", "10.0.0.2")
    )
    assert mixed.targets == ("10.0.0.2", "10.0.0.9")


def test_records_point_at_the_load_balancer_where_there_is_one() -> None:
    assert gateway(("running", "10.0.0.9"), hostname="lb.elb.amazonaws.com").targets == ("lb.elb.amazonaws.com",)


def test_a_failed_gateway_says_why() -> None:
    failed = gateway(("terminated", None), status="failed")
    failed.replicas[0]["status_message"] = "no subnet with a route out"
    assert failed.reason == "no subnet with a route out"


@pytest.mark.parametrize(
    ("written", "status", "other"),
    [("x", "running", "main/x"), ("main/x", "running", "x"), (None, "running", None), ("x", "failed", None)],
)
def test_a_run_that_is_there_is_to_write_its_new_gateway_in_the_other_way(
    environment: Environment, written: str | None, status: str, other: str | None
) -> None:
    served = run(job(), status=status)
    served.run_spec["configuration"]["gateway"] = written
    assert planning.other_reference(served, replace(environment, run_name="x", project="main")) == other
    assert planning.other_reference(None, environment) is None


def test_what_a_gateway_asks_of_runs_is_no_change_of_it(environment: Environment) -> None:
    class Server(NoAdmin):
        def plan(self, kind: str, document: dict[str, Any]) -> ResourcePlan:
            return plan(self.found, document, "update" if document == self.found else "create")

    wanted = {"region": "us-east-1", "tags": {"team": "chat"}}
    server = Server(planning.tagged(wanted, "main/x"))
    behind = replace(environment, gateway=wanted)
    planned = planning.plan_gateway(server, behind, server.gateway("x"), None)  # type: ignore[arg-type]
    assert changes.classify_gateway(planned).change == Change.UNCHANGED


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://x.ai.internal", Change.UNCHANGED),
        ("http://x.old.internal", Change.RESTART),
        ("/proxy/services/main/x/", Change.UNCHANGED),  # it had no gateway yet
    ],
)
def test_a_new_domain_is_a_restart_because_a_running_service_keeps_its_name(url: str, expected: Change) -> None:
    served = run(job(), service={"url": url})
    assert changes.classify_host(Part(Change.UNCHANGED), served, "x.ai.internal").change == expected
    registers = Part(Change.IN_PLACE, (Difference("gateway", "x", "main/x"),))  # at a new gateway, by the new name
    assert changes.classify_host(registers, served, "x.ai.internal") == registers


def test_who_has_no_running_gateway_is_told_why_and_not_to_end_those_that_run(environment: Environment) -> None:
    hurried = replace(environment, timeouts=Timeouts(gateway=1))
    lost = gateway(("running", "10.0.0.9"), ("terminated", None), configuration={"replicas": 2})
    lost.replicas[1]["status_message"] = "InsufficientInstanceCapacity"
    with pytest.raises(Failure, match=r"InsufficientInstanceCapacity.*undo the change of gateway.replicas") as failed:
        gateways._watch(SimpleNamespace(gateway=lambda name: lost), hurried, print)  # type: ignore[arg-type]
    assert failed.value.code == ExitCode.GATEWAY_FAILED


class NoAdmin:
    """A server that lets this token see the gateway, and plan none."""

    def __init__(self, found: dict[str, Any] | None) -> None:
        self.found = found

    def plan(self, kind: str, document: dict[str, Any]) -> ResourcePlan:
        raise Failure(ExitCode.TOKEN_REFUSED, "Access denied")

    def gateway(self, name: str) -> Gateway | None:
        return gateway(("running", "10.0.0.9"), configuration=self.found) if self.found else None


RUNS = {"name": "x", "region": "us-east-1", "replicas": 1, "tags": None, "certificate": None}


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        (None, {"region": "us-east-1"}, Change.CREATE),
        (RUNS, {"name": "x", "region": "us-east-1", "certificate": None}, Change.UNCHANGED),
        (RUNS, {"replicas": 2}, Change.IN_PLACE),
        (RUNS, {"replicas": 2, "region": "us-east-2"}, Change.RESTART),
    ],
)
def test_who_is_no_admin_sees_what_would_become_of_the_gateway(
    environment: Environment, found: dict[str, Any] | None, wanted: dict[str, Any], expected: Change
) -> None:
    server, behind = NoAdmin(found), replace(environment, gateway=wanted)
    planned = planning.plan_gateway(server, behind, server.gateway("x"), None)  # type: ignore[arg-type]
    assert changes.classify_gateway(planned).change == expected


def test_a_new_gateway_is_planned_with_the_tag_that_registers_what_runs(environment: Environment) -> None:
    class Server:
        def plan(self, kind: str, document: dict[str, Any]) -> ResourcePlan:
            return ResourcePlan(action="create", spec={"configuration": document}, effective_spec={})

    served = run(job())
    served.run_spec["configuration"]["gateway"] = "x"
    behind = replace(environment, run_name="x", project="main", gateway={"region": "us-east-1"})
    planned = planning.plan_gateway(Server(), behind, None, served)  # type: ignore[arg-type]
    assert planned.spec["configuration"]["tags"] == {"written-as": "main/x"}
