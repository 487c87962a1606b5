"""Plans as a dstack server answers them, for a service `x`."""

from __future__ import annotations

from typing import Any

from conftest import offer

from deploy.dstack.answers import ResourcePlan, RunPlan

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
