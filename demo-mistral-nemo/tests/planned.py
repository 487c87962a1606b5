"""Plans of a service `x` as a dstack server answers them, and a server and a Route 53 that others change meanwhile."""

from __future__ import annotations

from typing import Any

from conftest import job, offer, run_json

from deploy.changes import Change, Part, classify_service
from deploy.dstack.answers import Fleet, ResourcePlan, Run, RunPlan
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.outdated import Seen
from deploy.plans import Plan
from deploy.records import RecordSet

SPEC = {"run_name": "x", "ssh_key_pub": "k", "configuration": {"env": {"A": "1"}, "replicas": 1, "retry": None}}


def run_plan(current: dict[str, Any] | None, after: dict[str, Any], action: str = "update", offers: int = 1) -> RunPlan:
    return RunPlan.model_validate(
        {
            "action": action,
            "run_spec": {},
            "effective_run_spec": SPEC | {"configuration": SPEC["configuration"] | after},  # type: ignore[operator]
            "current_resource": current | {"run_spec": SPEC} if current else None,
            "job_plans": [{"offers": [offer()] * offers, "total_offers": offers}],
        }
    )


def fleet_plan(after: str, action: str = "update", status: str | None = "active") -> ResourcePlan:
    current = {"status": status, "spec": {"configuration": {"nodes": "0..2"}}} if status else None
    effective = {"configuration": {"nodes": after}}
    return ResourcePlan.model_validate(
        {"action": action, "spec": {}, "effective_spec": effective, "current_resource": current}
    )


FLEET = Fleet(id="fleet-1", name="x", spec={"configuration": {"nodes": "0..2"}}, status="active")
REPLICA = {"status": "running", "hostname": "10.0.0.7", "status_message": None}


def gateway(id: str = "gateway-1", **configuration: Any) -> Gateway:
    """A gateway that runs at 10.0.0.7."""
    configuration = {"region": "us-east-1", "replicas": 1} | configuration
    answer = {"id": id, "name": "x", "status": "running", "configuration": configuration, "replicas": [REPLICA]}
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
        self.now = Seen(run, fleet, {gateway.name: gateway} if gateway else {})
        self.planned: ResourcePlan | RunPlan | None = None
        self.sent: list[Any] = []

    def run(self, name: str) -> Run | None:
        return self.now.run

    def fleet(self, name: str) -> Fleet | None:
        return self.now.fleet

    def gateway(self, name: str) -> Gateway | None:
        return self.now.gateways.get(name)

    def delete(self, kind: str, name: str, notify: Any) -> None:
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
