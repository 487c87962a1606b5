"""Fleets and gateways: plan, apply and delete, by dstack's own rules of what can be updated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from dstack._internal.core.errors import ServerClientError
from dstack._internal.core.models.fleets import FleetSpec
from dstack._internal.core.models.gateways import GatewayConfiguration
from dstack._internal.server.services import fleets, gateways

from stand_in.runs import STALE, identifiers

Json = dict[str, Any]
CREATED = "2026-11-01T00:00:00Z"


@dataclass
class Fleet:
    """A fleet; what its runs rent is seen at the runs."""

    spec: FleetSpec
    id: str = field(default_factory=lambda: next(identifiers))

    def as_json(self, project: str) -> Json:
        written = {"spec": self.spec.model_dump(mode="json"), "created_at": CREATED, "status": "active"}
        return {"id": self.id, "name": self.spec.configuration.name, "project_name": project, "instances": []} | written


@dataclass
class Gateway:
    """A gateway; its replicas run from the second look on, at addresses that no other gateway had.

    `numbers`: of its replicas, the oldest first. As in dstack, the oldest ones are dropped.
    """

    configuration: GatewayConfiguration
    addresses: int  # how many there were before
    status: str = "submitted"
    id: str = field(default_factory=lambda: next(identifiers))
    numbers: list[int] = field(default_factory=list)

    def step(self) -> None:
        self.status = {"submitted": "provisioning", "provisioning": "running"}.get(self.status, self.status)
        if self.status == "running":
            wanted, made = self.configuration.replicas or 1, max(self.numbers, default=-1) + 1
            self.numbers += range(made, made + wanted - len(self.numbers))
            del self.numbers[: len(self.numbers) - wanted]

    def address(self, number: int) -> str:
        return f"10.0.0.{self.addresses + number}"

    def as_json(self, project: str) -> Json:
        configuration = self.configuration
        replicas = [
            {
                "hostname": self.address(number),
                "replica_num": number,
                "backend": "aws",
                "region": configuration.region,
                "created_at": f"2026-11-01T00:{number:02}:00Z",
                "status": "running",
            }
            for number in self.numbers
        ]
        return {
            "id": self.id,
            "name": configuration.name,
            "project_name": project,
            "configuration": configuration.model_dump(mode="json"),
            "created_at": CREATED,
            "status": self.status,
            "wildcard_domain": configuration.domain,
            "default": False,
            "replicas": replicas,
        }


def plan_fleet(current: Fleet | None, asked: Any, project: str) -> Json:
    wanted = effective_fleet(asked.spec)
    updates = current is not None and fleets._can_update_fleet_spec(current.spec, wanted)
    return _plan(current, asked.spec, wanted, project, updates=updates) | {"offers": [], "total_offers": 0}


def apply_fleet(current: Fleet | None, asked: Any) -> Fleet:
    wanted = effective_fleet(asked.plan.spec)
    if current is None:
        return Fleet(wanted)
    if asked.plan.current_resource is None or asked.plan.current_resource.spec != current.spec:
        raise ServerClientError(STALE)
    fleets._check_can_update_fleet_spec(current.spec, wanted)
    current.spec = wanted
    return current


def effective_fleet(spec: FleetSpec) -> FleetSpec:
    """Return `spec` with dstack's defaults."""
    copied = FleetSpec.model_validate(spec.model_dump(mode="json"))
    fleets._validate_fleet_spec_and_set_defaults(copied)
    return copied


def plan_gateway(current: Gateway | None, asked: Any, project: str) -> Json:
    wanted = asked.spec.configuration
    gateways._validate_gateway_configuration(wanted)
    updates = current is not None and _can_update(current, wanted)
    return _plan(current, asked.spec, asked.spec, project, updates=updates)


def apply_gateway(current: Gateway | None, asked: Any, addresses: int) -> Gateway:
    wanted = asked.plan.spec.configuration
    wanted.default = False
    if current is None:
        return Gateway(wanted, addresses)
    planned = asked.plan.current_resource
    if planned is None or planned.configuration != current.configuration:
        raise ServerClientError(STALE)
    if not _can_update(current, wanted):
        raise ServerClientError(f"Gateway {wanted.name!r} cannot be updated in-place. Delete it and re-apply.")
    current.configuration = wanted
    return current


def _can_update(gateway: Gateway, wanted: GatewayConfiguration) -> bool:
    differences = gateways.diff_gateway_configurations(gateway.configuration, wanted)
    return bool(gateways._can_update_gateway_in_place(differences))


def _plan(current: Any, spec: Any, effective: Any, project: str, *, updates: bool) -> Json:
    return {
        "project_name": project,
        "user": "person",
        "spec": spec.model_dump(mode="json"),
        "effective_spec": effective.model_dump(mode="json"),
        "current_resource": current.as_json(project) if current else None,
        "action": "update" if updates else "create",
    }
