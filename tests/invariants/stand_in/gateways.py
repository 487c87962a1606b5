"""Gateways: plan, apply and delete, the instance's life, and how runs get to be known to it."""

from __future__ import annotations

from typing import Any

from dstack._internal.core.models.gateways import GatewayConfiguration
from dstack._internal.server.schemas.gateways import ApplyGatewayPlanRequest, GetGatewayPlanRequest
from dstack._internal.server.services import gateways as services

from tests.invariants.stand_in.refusals import STALE, ResourceNotExistsError, ServerClientError
from tests.invariants.stand_in.state import PROJECT, USER, Gateway, State, as_json, timestamp

SET_UP_SECONDS = 30.0  # from the order to an instance that answers
DELETE_SECONDS = 10.0
PRICE = 0.0416  # USD per hour of an instance


def step(state: State) -> None:
    for gateway in list(state.gateways.values()):
        if gateway.deleting is not None and state.now - gateway.deleting >= DELETE_SECONDS:
            for machine in state.machines_of(gateway.id):
                del state.machines[machine.id]
            del state.gateways[gateway.name]
            for run in state.runs.values():
                run.gateway = None if run.gateway == gateway.id else run.gateway
        elif gateway.deleting is None:
            _consolidate(state, gateway)
    running = {gateway.id for gateway in state.gateways.values() if gateway.status == "running"}
    for run in state.runs.values():
        for attempt in run.attempts:
            if run.gateway in running and attempt.ready:
                attempt.registered = run.gateway


def _consolidate(state: State, gateway: Gateway) -> None:
    """Bring its instances to the number that is asked for."""
    machines, wanted = state.machines_of(gateway.id), gateway.configuration.replicas or 1
    for _ in range(wanted - len(machines)):
        state.rent(gateway.id, PRICE)
    for machine in machines[wanted:]:
        del state.machines[machine.id]
    for machine in state.machines_of(gateway.id):
        if machine.status == "provisioning" and state.now - machine.since >= SET_UP_SECONDS:
            machine.status = "running"
    if gateway.status == "submitted":
        gateway.status = "provisioning"
    if any(machine.status == "running" for machine in state.machines_of(gateway.id)):
        gateway.status = "running"


def get(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Raises ResourceNotExistsError."""
    gateway = state.gateways.get(body["name"])
    if gateway is None:
        raise ResourceNotExistsError()
    return gateway_json(state, gateway)


def every(state: State) -> list[dict[str, Any]]:
    return [gateway_json(state, gateway) for gateway in state.gateways.values()]


def plan(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Raises ServerClientError for a gateway that is being deleted."""
    spec = GetGatewayPlanRequest.model_validate(body).spec
    services._validate_gateway_configuration(spec.configuration)
    current = _current(state, spec.configuration.name)
    update = current is not None and services._can_update_gateway_in_place(_diff(current, spec.configuration))
    return {
        "project_name": PROJECT,
        "user": USER,
        "spec": as_json(spec),
        "effective_spec": as_json(spec),
        "current_resource": gateway_json(state, current) if current else None,
        "action": "update" if update else "create",
    }


def apply(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Raises ServerClientError for a plan that is out of date, and for what can't be updated."""
    asked = ApplyGatewayPlanRequest.model_validate(body)
    wanted = asked.plan.spec.configuration
    services._validate_gateway_configuration(wanted)
    gateway = _current(state, wanted.name)
    if gateway is None:
        gateway = Gateway(state.new_id(), wanted.name, wanted, state.now)
        gateway.configuration.default = False
        state.gateways[gateway.name] = gateway
        return gateway_json(state, gateway)
    planned = asked.plan.current_resource
    stale = planned is None or str(planned.id) != gateway.id or planned.configuration != gateway.configuration
    if not asked.force and stale:
        raise ServerClientError(STALE)
    if not services._can_update_gateway_in_place(_diff(gateway, wanted)):
        raise ServerClientError(f"Gateway {wanted.name!r} cannot be updated in-place. Delete it and re-apply.")
    gateway.configuration = wanted
    gateway.configuration.default = False
    return gateway_json(state, gateway)


def delete(state: State, body: dict[str, Any]) -> None:
    for name in body["names"]:
        gateway = state.gateways.get(name)
        if gateway is not None and gateway.deleting is None:
            gateway.deleting = state.now


def gateway_json(state: State, gateway: Gateway) -> dict[str, Any]:
    return {
        "id": gateway.id,
        "name": gateway.name,
        "project_name": PROJECT,
        "configuration": as_json(gateway.configuration),
        "created_at": timestamp(gateway.created),
        "status": gateway.status,
        "status_message": None,
        "hostname": None,
        "wildcard_domain": gateway.configuration.domain,
        "default": False,
        "replicas": [
            {
                "hostname": f"10.0.0.{machine.num + 10}" if machine.status == "running" else None,
                "replica_num": machine.num,
                "backend": "aws",
                "region": gateway.configuration.region,
                "created_at": timestamp(machine.created),
                "status": machine.status,
                "status_message": None,
            }
            for machine in state.machines_of(gateway.id)
        ],
    }


def _current(state: State, name: str) -> Gateway | None:
    gateway = state.gateways.get(name)
    if gateway is not None and gateway.deleting is not None:
        raise ServerClientError(f"Gateway {name!r} is being deleted. Try again later.")
    return gateway


def _diff(gateway: Gateway, wanted: GatewayConfiguration) -> Any:
    return services.diff_gateway_configurations(gateway.configuration, wanted)
