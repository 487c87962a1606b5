from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import job, run

from console.errors import ExitCode, Failure
from deploy import changes, gateways
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
        gateways._watch(SimpleNamespace(gateway=lambda name: lost), hurried, print, instead=False)  # type: ignore[arg-type]
    assert failed.value.code == ExitCode.GATEWAY_FAILED


def test_a_replacement_that_does_not_start_leaves_the_service_where_it_is(environment: Environment) -> None:
    failed = gateway(("terminated", None), status="failed", status_message="no subnet")
    with pytest.raises(Failure, match=r"no subnet.*the service stays where it is") as refused:
        gateways._watch(SimpleNamespace(gateway=lambda name: failed), environment, print, instead=True)  # type: ignore[arg-type]
    assert "gateway.destroy" not in refused.value.remedy
