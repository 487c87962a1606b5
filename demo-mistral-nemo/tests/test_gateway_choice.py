"""Which of an environment's two gateway names is used, whatever an earlier command left."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from conftest import job, run

from console.errors import ExitCode, Failure
from deploy import gateway_choice, guards
from deploy.changes import Change
from deploy.dstack.answers import ResourcePlan, Run
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.settings import Dns

FILE = {"domain": "ai.internal", "region": "us-east-1", "instance_type": "t3.small", "certificate": None, "replicas": 1}
OLD = FILE | {"instance_type": "t3.medium"}
MORE = FILE | {"replicas": 2}
X, B = "x", "x-gw-b"


class Server:
    """A dstack server with these gateways. `admin`: whether this user may plan gateways."""

    def __init__(self, admin: bool = True, **configurations: dict[str, Any]) -> None:
        self.admin = admin
        self.gateways = {
            name.replace("_", "-"): Gateway(
                id=name,
                name=name.replace("_", "-"),
                status=configuration.pop("status", "running"),
                configuration={"name": name.replace("_", "-")} | configuration,
                replicas=[{"status": "running", "hostname": "10.0.0.9"}],
            )
            for name, configuration in ((name, dict(found)) for name, found in configurations.items())
        }

    def gateway(self, name: str) -> Gateway | None:
        return self.gateways.get(name)

    def plan(self, kind: str, document: dict[str, Any]) -> ResourcePlan:
        if not self.admin:
            raise Failure(ExitCode.TOKEN_REFUSED, "Access denied")
        found = self.gateways.get(document["name"])
        current = {"configuration": found.configuration} if found else None
        in_place = found and {**found.configuration, "replicas": 0} == {**document, "replicas": 0}
        effective = {"configuration": document}
        action = "update" if in_place else "create"
        return ResourcePlan(action=action, spec=effective, effective_spec=effective, current_resource=current)


def behind(name: str | None, status: str = "running") -> Run | None:
    if name is None:
        return None
    found = run(job(), status=status)
    found.run_spec["configuration"]["gateway"] = name
    return found


@pytest.fixture
def service(environment: Environment) -> Environment:
    return replace(environment, run_name=X, project="main", gateway=FILE | {"name": X}, dns=Dns(vpc_id="vpc-1"))


@pytest.mark.parametrize("admin", [True, False], ids=["admin", "member"])
@pytest.mark.parametrize(
    ("found", "used", "name", "change", "leaving"),
    [
        ({}, None, X, Change.CREATE, None),
        ({"x": FILE}, X, X, Change.UNCHANGED, None),
        ({"x_gw_b": FILE}, B, B, Change.UNCHANGED, None),
        ({"x_gw_b": FILE}, f"main/{B}", B, Change.UNCHANGED, None),
        ({"x_gw_b": FILE}, None, B, Change.UNCHANGED, None),  # its service was never deployed, or has ended
        ({"x_gw_b": MORE}, B, B, Change.IN_PLACE, None),
        ({"x": OLD}, X, B, Change.REPLACE, X),
        ({"x_gw_b": OLD}, B, X, Change.REPLACE, B),
        ({"x": OLD}, None, B, Change.REPLACE, X),
        ({"x": OLD, "x_gw_b": FILE}, X, B, Change.REPLACE, X),  # killed before the service moved
        ({"x": OLD, "x_gw_b": FILE}, B, B, Change.IN_PLACE, X),  # killed before the old one was deleted
        ({"x": OLD, "x_gw_b": FILE}, None, B, Change.IN_PLACE, X),
        ({"x": FILE, "x_gw_b": OLD}, X, X, Change.IN_PLACE, B),  # killed, and then the change was undone
        ({"x": OLD, "x_gw_b": OLD | {"region": "eu-west-1"}}, X, B, Change.REPLACE, X),  # killed, then changed again
        ({}, X, B, Change.CREATE, None),  # deleted by hand
        ({}, B, X, Change.CREATE, None),
        ({"x_gw_b": FILE}, X, B, Change.UNCHANGED, None),  # deleted by hand, and killed before the service moved
        ({"x_gw_b": OLD}, X, B, Change.CREATE, None),  # the same, and then the file was changed
        ({"x": FILE}, "another", X, Change.UNCHANGED, None),
    ],
)
def test_the_name_follows_from_what_exists(
    service: Environment,
    admin: bool,
    found: dict[str, Any],
    used: str | None,
    name: str,
    change: Change,
    leaving: str | None,
) -> None:
    server: Any = Server(admin, **found)
    planned = gateway_choice.plan_gateways(server, service, behind(used), server.gateways)
    assert (planned.name, planned.part.change) == (name, change)
    assert (planned.leaving.name if planned.leaving else None) == leaving
    assert planned.environment.gateway is not None
    assert planned.environment.gateway["name"] == planned.environment.service["gateway"] == name


def planned(service: Environment, used: str | None, broken: str = "", **found: Any) -> gateway_choice.GatewayPlan:
    server: Any = Server(**found)
    return gateway_choice.plan_gateways(server, service, behind(used), server.gateways, broken=broken)


def test_a_replacement_shows_what_differs_and_both_names(service: Environment) -> None:
    part = planned(service, X, x=OLD).part
    assert [(one.key, one.before, one.after) for one in part.differences] == [
        ("instance_type", "t3.medium", "t3.small"),
        ("name", X, B),
    ]


def test_a_replacement_that_failed_is_deleted_and_created_again(service: Environment) -> None:
    plan = planned(service, X, x=OLD, x_gw_b=FILE | {"status": "failed"})
    assert (plan.name, plan.recreates, plan.part.change) == (B, True, Change.REPLACE)


def test_the_gateway_in_use_is_never_deleted_before_another_one_serves(service: Environment) -> None:
    states: list[dict[str, Any]] = [{"x": OLD}, {"x": OLD, "x_gw_b": OLD}, {"x": FILE | {"status": "failed"}}]
    for found in states:
        plan = planned(service, X, **found)
        assert not (plan.recreates and plan.name == X), found


@pytest.mark.parametrize("used", [X, B], ids=["before the service moved", "after the service moved"])
def test_a_broken_gateway_is_replaced_and_that_continues(service: Environment, used: str) -> None:
    first = planned(service, X, X, x=FILE)
    assert (first.name, first.part.change) == (B, Change.REPLACE)
    again = planned(service, used, X, x=FILE, x_gw_b=FILE)
    assert (again.name, again.recreates) == (B, False)
    assert again.leaving is not None
    assert again.leaving.name == X
    assert planned(service, B, X, x_gw_b=FILE).name == B


def test_a_run_that_ended_uses_no_gateway(service: Environment) -> None:
    for status in ("failed", "terminated", "terminating"):
        assert gateway_choice.used_by(behind(X, status), service) is None
    assert gateway_choice.used_by(behind(X), service) == X


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        ({}, ""),
        ({"dns": None}, "has no dns"),
        ({"gateway": FILE | {"certificate": "lets-encrypt"}}, "has no certificate"),
        ({"gateway": {key: value for key, value in FILE.items() if key != "certificate"}}, "has no certificate"),
        ({"gateway": FILE | {"certificate": {"type": "acm", "arn": "arn:aws:acm:x"}}}, ""),
    ],
)
def test_a_replacement_that_callers_notice_has_to_be_allowed(
    service: Environment, change: dict[str, Any], refused: str
) -> None:
    part, changed = planned(service, X, x=OLD).part, replace(service, **change)
    guards.refuse_recreation(part, changed, allow_recreation=True)
    if not refused:
        guards.refuse_recreation(part, changed, allow_recreation=False)
        return
    with pytest.raises(Failure, match=f"changing instance_type needs a new gateway: .*{refused}") as failure:
        guards.refuse_recreation(part, changed, allow_recreation=False)
    assert failure.value.code == ExitCode.GATEWAY_RECREATION_REFUSED
