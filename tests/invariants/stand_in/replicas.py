"""Replicas: what dstack makes of a run's spec, and how one attempt lives in its machine."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from dstack._internal.core.models.runs import JobTerminationReason, RunSpec
from dstack._internal.server.services import jobs as job_services
from dstack._internal.server.services.docker import ImageConfig
from dstack._internal.server.services.jobs.configurators import service
from dstack._internal.utils.interpolator import InterpolatorError
from gpuhunt import CPUArchitecture

from tests.invariants.stand_in import market
from tests.invariants.stand_in.state import Attempt, Fleet, Machine, Offer, Run, State, as_json

ASSIGN_SECONDS = 2.0  # from submitted to a machine, or none
HOST_SECONDS = 8.0  # until a rented host answers, and again until it has the image
PROBE_SECONDS = 6.0  # from a container's start until its first probe passed
CRASH_SECONDS = 3.0  # from a container's start to its end
STOP_SECONDS = 4.0  # until a container has stopped
RELEASE_SECONDS = 6.0  # until a cloud has taken a machine back
_NO_CAPACITY = "failed_to_start_due_to_no_capacity"


def specs_of(spec: Any, replica: int) -> Any:
    """dstack's JobSpec of a run's replica; no registry is asked for the image."""
    configurator = service.ServiceJobConfigurator(run_spec=spec, secrets={}, replica_group_name=None)
    configurator._image_config = ImageConfig()
    configurator._image_cpu_architectures = {CPUArchitecture.X86}
    [made] = asyncio.run(configurator.get_job_specs(replica_num=replica))
    return made


@lru_cache(maxsize=512)
def _spec_of(written: str, replica: int) -> tuple[Any, dict[str, Any]]:
    made = specs_of(RunSpec.model_validate_json(written), replica)
    made.ssh_key = None
    return made, as_json(made)


def job_spec(run_spec: Any, replica: int) -> tuple[Any, dict[str, Any]]:
    """The JobSpec of a replica and the same as JSON; made once for each spec."""
    return _spec_of(run_spec.model_dump_json(), replica)


def submit(state: State, run: Run, replica: int) -> None:
    """A new attempt at a replica, of the run's latest deployment."""
    before = run.jobs.setdefault(replica, [])
    spec, written = job_spec(run.spec, replica)
    attempt = Attempt(state.new_id(), replica, len(before), run.deployment, spec, written, state.now, state.now)
    before.append(attempt)


def end(state: State, attempt: Attempt, reason: str, message: str | None = None) -> None:
    """Begin to end an attempt."""
    if attempt.active:
        attempt.status, attempt.since = "terminating", state.now
        attempt.reason, attempt.message = reason, message


def step(state: State, run: Run, attempt: Attempt) -> None:
    """What has become of an attempt by now."""
    waited = state.now - attempt.since
    if attempt.status == "submitted" and waited >= ASSIGN_SECONDS:
        _assign(state, run, attempt)
    elif attempt.status in ("provisioning", "pulling") and waited >= HOST_SECONDS:
        attempt.status, attempt.since = ("pulling" if attempt.status == "provisioning" else "running"), state.now
        conditions = state.conditions
        attempt.ill = "crashing" if conditions.crashing else "unready" if conditions.unready else ""
    elif attempt.status == "running" and attempt.ill == "crashing" and waited >= CRASH_SECONDS:
        end(state, attempt, "container_exited_with_error")
        attempt.exit_status = 1
    elif attempt.status == "running" and not attempt.ill and waited >= PROBE_SECONDS:
        attempt.passed += 1
    elif attempt.status == "terminating" and (attempt.machine is None or waited >= STOP_SECONDS):
        attempt.status = JobTerminationReason(attempt.reason).to_status().value
        attempt.since = state.now
        if attempt.machine is not None:
            state.release(attempt.machine)


def receives_traffic(state: State, run: Run, attempt: Attempt) -> bool:
    """Whether requests reach the replica: its probes passed, and the run's gateway knows it, where it has one."""
    at = next((gateway for gateway in state.gateways.values() if gateway.id == run.gateway), None)
    return attempt.ready and (at is None or (at.status == "running" and attempt.registered == at.id))


def _assign(state: State, run: Run, attempt: Attempt) -> None:
    """Rent the first machine that fits run and fleet, or fail as dstack does."""
    try:
        written = SimpleNamespace(env=dict(attempt.spec.env), registry_auth=attempt.spec.registry_auth)
        job_services.interpolate_job_spec_secrets(written, state.secrets)
    except InterpolatorError as error:
        return end(state, attempt, "terminated_by_server", f"Secrets interpolation error: {error.args[0]}")
    fleet = fleet_of(state, run.spec)
    if fleet is None:
        return end(state, attempt, _NO_CAPACITY, "Failed to use specified fleets")
    found = offers_in(state, run.spec, fleet)
    gone = market.OFFERS[: state.conditions.sold_out]
    offer = next((one for one in found if one not in gone and state.conditions.capacity), None)
    if offer is None:
        return end(state, attempt, _NO_CAPACITY, "All offers failed" if found else "No offers found")
    attempt.machine = state.rent(fleet.id, offer.price, offer)
    attempt.machine.status = "busy"
    attempt.provisioning = _provisioning(attempt.machine, offer)
    attempt.status, attempt.since = "provisioning", state.now
    run.fleet = (fleet.id, fleet.name)


def fleet_of(state: State, run_spec: Any) -> Fleet | None:
    """The first fleet that the run may use; any one where it names none."""
    named = [getattr(fleet, "name", fleet) for fleet in run_spec.merged_profile.fleets or []]
    usable = [fleet for fleet in state.fleets.values() if fleet.status == "active"]
    return next((fleet for fleet in usable if not named or fleet.name in named), None)


def has_room(state: State, fleet: Fleet) -> bool:
    """Whether the fleet may have one machine more; one that is being released still counts."""
    nodes = fleet.spec.configuration.nodes
    return nodes is None or nodes.max is None or len(state.machines_of(fleet.id)) < nodes.max


def offers_in(state: State, run_spec: Any, fleet: Fleet) -> list[Offer]:
    """What a new replica of the run may rent in the fleet; nothing in one that is full."""
    if not has_room(state, fleet):
        return []
    wanted = run_spec.merged_profile, run_spec.configuration.resources
    return market.offers(wanted, (fleet.spec.merged_profile, fleet.spec.configuration.resources))


def _provisioning(machine: Machine, offer: Offer) -> dict[str, Any]:
    return {
        "backend": offer.backend,
        "base_backend": None,
        "instance_type": market.instance_type(offer),
        "instance_id": machine.id,
        "hostname": "198.51.100.7",
        "internal_ip": None,
        "public_ip_enabled": True,
        "instance_network": None,
        "region": offer.region,
        "availability_zone": None,
        "reservation": None,
        "price": offer.price,
        "username": "root",
        "ssh_port": 10022,
        "dockerized": False,
        "ssh_proxy": None,
        "backend_data": None,
        "gpu_driver": None,
    }
