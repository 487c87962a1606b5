"""Fleets: plan, apply and delete, by dstack's own rules of what can be updated."""

from __future__ import annotations

from typing import Any

from dstack._internal.core.models.fleets import FleetSpec
from dstack._internal.server.schemas.fleets import ApplyFleetPlanRequest, GetFleetPlanRequest
from dstack._internal.server.services import fleets as services

from tests.invariants.stand_in import market
from tests.invariants.stand_in.refusals import STALE, ResourceNotExistsError, ServerClientError
from tests.invariants.stand_in.replicas import RELEASE_SECONDS
from tests.invariants.stand_in.state import PROJECT, USER, Fleet, Machine, State, as_json, timestamp


def step(state: State) -> None:
    """Released machines disappear, and with the last of them a fleet that is being deleted."""
    for machine in list(state.machines.values()):
        if machine.status == "terminating" and state.now - machine.since >= RELEASE_SECONDS:
            del state.machines[machine.id]
    for fleet in list(state.fleets.values()):
        if fleet.status == "terminating" and not state.machines_of(fleet.id):
            del state.fleets[fleet.name]


def get(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Raises ResourceNotExistsError."""
    fleet = state.fleets.get(body.get("name") or "")
    if fleet is None:
        raise ResourceNotExistsError()
    return fleet_json(state, fleet)


def every(state: State) -> list[dict[str, Any]]:
    return [fleet_json(state, fleet) for fleet in state.fleets.values()]


def plan(state: State, body: dict[str, Any]) -> dict[str, Any]:
    spec = GetFleetPlanRequest.model_validate(body).spec
    effective = _effective(spec)
    current = state.fleets.get(effective.configuration.name)
    update = current is not None and services._can_update_fleet_spec(current.spec, effective)
    found = market.offers((effective.merged_profile, effective.configuration.resources))
    return {
        "project_name": PROJECT,
        "user": USER,
        "spec": as_json(spec),
        "effective_spec": as_json(effective),
        "current_resource": fleet_json(state, current) if current else None,
        "offers": [market.offer_json(offer) for offer in found],
        "total_offers": len(found),
        "max_offer_price": max((offer.price for offer in found), default=None),
        "action": "update" if update else "create",
    }


def apply(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Raises ServerClientError for a plan that is out of date, and for what can't be updated."""
    asked = ApplyFleetPlanRequest.model_validate(body)
    spec = _effective(asked.plan.spec)
    fleet = state.fleets.get(spec.configuration.name)
    if fleet is None:
        fleet = Fleet(state.new_id(), spec.configuration.name, spec, state.now)
        state.fleets[fleet.name] = fleet
        return fleet_json(state, fleet)
    planned = asked.plan.current_resource
    if not asked.force and (planned is None or str(planned.id) != fleet.id or planned.spec != fleet.spec):
        raise ServerClientError(STALE)
    services._check_can_update_fleet_spec(fleet.spec, spec)
    fleet.spec = spec
    return fleet_json(state, fleet)


def delete(state: State, body: dict[str, Any]) -> None:
    """Raises ServerClientError for a fleet with a run that has not finished."""
    for fleet in [state.fleets[name] for name in body["names"] if name in state.fleets]:
        owners = [run for run in state.runs.values() if not run.finished and run.fleet and run.fleet[0] == fleet.id]
        if owners or any(machine.status == "busy" for machine in state.machines_of(fleet.id)):
            raise ServerClientError(f"Failed to delete fleet {fleet.name}. Fleet is in use.")
        for machine in state.machines_of(fleet.id):
            state.release(machine)
        fleet.status = "terminating"


def instances(state: State) -> list[dict[str, Any]]:
    """The machines of all fleets."""
    return [_instance(fleet, one) for fleet in state.fleets.values() for one in state.machines_of(fleet.id)]


def fleet_json(state: State, fleet: Fleet) -> dict[str, Any]:
    return {
        "id": fleet.id,
        "name": fleet.name,
        "project_name": PROJECT,
        "spec": as_json(fleet.spec),
        "created_at": timestamp(fleet.created),
        "status": fleet.status,
        "status_message": None,
        "instances": [_instance(fleet, machine) for machine in state.machines_of(fleet.id)],
    }


def _effective(spec: FleetSpec) -> FleetSpec:
    copied = FleetSpec.model_validate(as_json(spec))
    services._validate_fleet_spec_and_set_defaults(copied)
    return copied


def _instance(fleet: Fleet, machine: Machine) -> dict[str, Any]:
    assert machine.offer is not None
    return {
        "id": machine.id,
        "project_name": PROJECT,
        "backend": machine.offer.backend,
        "instance_type": market.instance_type(machine.offer),
        "name": f"{fleet.name}-{machine.num}",
        "fleet_id": fleet.id,
        "fleet_name": fleet.name,
        "instance_num": machine.num,
        "hostname": "198.51.100.7",
        "status": machine.status,
        "termination_reason": "job_finished" if machine.status == "terminating" else None,
        "created": timestamp(machine.created),
        "region": machine.offer.region,
        "price": machine.price,
        "unreachable": False,
        "health_status": "healthy",
        "total_blocks": 1,
        "busy_blocks": int(machine.status == "busy"),
    }
