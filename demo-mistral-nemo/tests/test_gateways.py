from typing import Any

import pytest

from deploy import plans
from deploy.answers import Gateway, ResourcePlan
from deploy.environments import Environment
from deploy.errors import ExitCode, Failure
from deploy.plans import Change


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
def test_a_change_of_the_gateway_is_judged(planned: ResourcePlan, expected: Change) -> None:
    assert plans.judge_gateway(planned).change == expected


def test_a_gateway_is_not_made_anew_unless_allowed(environment: Environment) -> None:
    part = plans.judge_gateway(plan({"region": "us-east-1"}, {"region": "us-east-2"}, "create"))
    with pytest.raises(Failure, match="changing region takes a new gateway") as refused:
        plans.refuse_recreation(part, environment, allow_recreation=False)
    assert refused.value.code == ExitCode.GATEWAY_RECREATION_REFUSED
    plans.refuse_recreation(part, environment, allow_recreation=True)


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
    found: dict[str, Any] | None, wanted: dict[str, Any], expected: Change
) -> None:
    assert plans.judge_gateway(plans.plan_gateway(NoAdmin(found), wanted, "x")).change == expected  # type: ignore[arg-type]
