"""Runs: plan, apply and stop, by dstack's own rules of what can be updated."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.core.models.services import OpenAIChatModel
from dstack._internal.server.schemas.runs import (
    ApplyRunPlanRequest,
    GetRunPlanRequest,
    ListRunsRequest,
    StopRunsRequest,
)
from dstack._internal.server.services.runs import spec as specs
from dstack._internal.server.services.services import _get_service_spec

from tests.invariants.stand_in import market
from tests.invariants.stand_in.refusals import STALE, ResourceNotExistsError, ServerClientError
from tests.invariants.stand_in.replicas import fleet_of, job_spec, offers_in, submit
from tests.invariants.stand_in.rollout import bounds, bounds_of
from tests.invariants.stand_in.state import PROJECT, USER, Gateway, Run, State, as_json
from tests.invariants.stand_in.written import run_json


def get(state: State, body: dict[str, Any]) -> dict[str, Any]:
    """Raises ResourceNotExistsError."""
    run = state.runs.get(body.get("run_name") or "")
    if run is None:
        raise ResourceNotExistsError("Run not found")
    return run_json(state, run)


def every(state: State, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The newest first, with or without their replicas."""
    asked = ListRunsRequest.model_validate(body)
    wanted = [run for run in state.runs.values() if not (asked.only_active and run.finished)]
    left_out: dict[str, Any] = {} if asked.include_jobs else {"jobs": [], "latest_job_submission": None}
    return [run_json(state, run) | left_out for run in sorted(wanted, key=lambda run: -run.submitted)][: asked.limit]


def plan(state: State, body: dict[str, Any], key: str) -> dict[str, Any]:
    """`key` is the public SSH key of the user who asks."""
    asked = GetRunPlanRequest.model_validate(body)
    effective = _effective(asked.run_spec, key)
    current = state.runs.get(effective.run_name)
    update = current is not None and not current.finished and specs.can_update_run_spec(current.spec, effective)
    fleet = fleet_of(state, effective)
    found = offers_in(state, effective, fleet) if fleet else []
    if asked.for_offers_only and not effective.merged_profile.fleets:
        found = market.offers((effective.merged_profile, effective.configuration.resources))
    listed = [market.offer_json(offer) for offer in found]
    job_plan = {
        "offers": listed[: asked.max_offers],
        "total_offers": len(listed),
        "max_price": max((offer.price for offer in found), default=None),
    }
    return {
        "project_name": PROJECT,
        "user": USER,
        "run_spec": as_json(asked.run_spec),
        "effective_run_spec": as_json(effective),
        "job_plans": [{"job_spec": job_spec(effective, 0)[1], **job_plan}],
        "current_resource": run_json(state, current) if current else None,
        "action": "update" if update else "create",
    }


def apply(state: State, body: dict[str, Any], key: str) -> dict[str, Any]:
    """Raises ServerClientError for a plan that is out of date, and for what can't be updated."""
    asked = ApplyRunPlanRequest.model_validate(body)
    spec = _effective(asked.plan.run_spec, key)
    run = state.runs.get(spec.run_name)
    if run is None or run.finished:
        return run_json(state, _submit(state, spec))
    try:
        specs.check_can_update_run_spec(run.spec, spec)
    except ServerClientError:
        raise ServerClientError("Cannot override active run. Stop the run first.") from None
    planned = asked.plan.current_resource
    if not asked.force:
        if planned is not None:
            specs.set_run_spec_resources_defaults(planned.run_spec)
        if planned is None or str(planned.id) != run.id or planned.run_spec != run.spec:
            raise ServerClientError(STALE)
    if spec.configuration.gateway != run.spec.configuration.gateway:
        gateway = _gateway(state, spec.configuration)
        if (gateway.id if gateway else None) != run.gateway:
            run.service = _service(spec, gateway)
            run.gateway = gateway.id if gateway else None
    run.spec = spec
    run.deployment += 1
    return run_json(state, run)


def stop(state: State, body: dict[str, Any]) -> Any:
    """Answers null, as dstack does for success."""
    asked = StopRunsRequest.model_validate(body)
    for run in state.runs.values():
        if run.name in asked.runs_names and not run.finished:
            run.status = "terminating"
            run.reason = "aborted_by_user" if asked.abort else "stopped_by_user"


def _submit(state: State, spec: RunSpec) -> Run:
    gateway = _gateway(state, spec.configuration)
    service = _service(spec, gateway)
    run = Run(state.new_id(), spec.run_name, spec, state.now, 1, service, gateway=gateway.id if gateway else None)
    state.runs[run.name] = run
    for replica in range(bounds(run)[0]):
        submit(state, run, replica)
    return run


def _effective(spec: RunSpec, key: str) -> RunSpec:
    copied = RunSpec.model_validate(as_json(spec))
    specs.validate_run_spec_and_set_defaults(SimpleNamespace(ssh_public_key=key), copied)
    return copied


def _gateway(state: State, configuration: ServiceConfiguration) -> Gateway | None:
    """The gateway that a service is assigned to. Raises ServerClientError where it can't be."""
    wanted = configuration.gateway
    if wanted in (None, False):
        return None
    written = wanted if isinstance(wanted, str) else "/".join(filter(None, (wanted.project, wanted.name)))
    gateway = state.gateways.get(written.removeprefix(f"{PROJECT}/"))
    if gateway is None:
        raise ResourceNotExistsError(f"Gateway {written} does not exist in project {PROJECT}")
    if gateway.deleting is not None:
        raise ResourceNotExistsError(f"Gateway {written} was marked for deletion")
    if not state.machines_of(gateway.id):
        raise ServerClientError("Gateway has no instance associated with it")
    if gateway.status != "running":
        raise ServerClientError("Gateway status is not running")
    return gateway


def _service(spec: RunSpec, gateway: Gateway | None) -> dict[str, Any]:
    """Where the service answers. Raises ServerClientError for what takes a gateway."""
    if gateway is not None:
        domain = gateway.configuration.domain
        url, models = f"http://{spec.run_name}.{domain}", f"http://gateway.{domain}"
    else:
        fewest, most = bounds_of(spec.configuration)
        if fewest != most:
            raise ServerClientError("Auto-scaling is not supported when running services without a gateway.")
        if spec.configuration.rate_limits:
            raise ServerClientError("Rate limits are not supported when running services without a gateway.")
        url, models = f"/proxy/services/{PROJECT}/{spec.run_name}/", f"/proxy/models/{PROJECT}/"
    if isinstance(spec.configuration.model, OpenAIChatModel):
        models = url.rstrip("/") + spec.configuration.model.prefix
    written: dict[str, Any] = as_json(
        _get_service_spec(configuration=spec.configuration, service_url=url, model_url=models)
    )
    return written
