"""A run as the dstack server writes it."""

from __future__ import annotations

import math
from typing import Any

from dstack._internal.core.models.runs import JobTerminationReason, RunTerminationReason

from tests.invariants.stand_in.state import JOB_FINISHED, PROJECT, USER, Attempt, Run, State, as_json, timestamp

_MESSAGES = {"failed_to_start_due_to_no_capacity": "no offers", "scaled_down": ""}


def run_json(state: State, run: Run) -> dict[str, Any]:
    jobs = [_job(state, attempts) for _, attempts in sorted(run.jobs.items())]
    reason = RunTerminationReason(run.reason) if run.reason else None
    return {
        "id": run.id,
        "project_name": PROJECT,
        "user": USER,
        "fleet": {"id": run.fleet[0], "name": run.fleet[1]} if run.fleet else None,
        "submitted_at": timestamp(run.submitted),
        "last_processed_at": timestamp(state.now),
        "status": run.status,
        "status_message": _status_message(run),
        "termination_reason": run.reason,
        "run_spec": as_json(run.spec),
        "jobs": jobs,
        "latest_job_submission": jobs[0]["job_submissions"][-1] if jobs else None,
        "cost": round(math.fsum(_cost(state, attempt) for attempt in run.attempts), 4),
        "service": run.service,
        "deployment_num": run.deployment,
        "error": reason.to_error() if reason else None,
        "deleted": False,
        "next_triggered_at": None,
    }


def _status_message(run: Run) -> str:
    if run.jobs and all(attempt.status == "pulling" for attempt in run.latest):
        return "pulling"
    if run.status in ("submitted", "pending"):
        for attempts in run.jobs.values():
            reason = next((attempt.reason for attempt in reversed(attempts) if attempt.reason), None)
            retry = attempts[-1].spec.retry
            if reason == "failed_to_start_due_to_no_capacity" and retry and "no-capacity" in retry.on_events:
                return "retrying"
    return run.status


def _job(state: State, attempts: list[Attempt]) -> dict[str, Any]:
    submissions = [_submission(state, attempt) for attempt in attempts]
    return {"job_spec": attempts[-1].written, "job_submissions": submissions, "job_connection_info": None}


def _submission(state: State, attempt: Attempt) -> dict[str, Any]:
    reason = JobTerminationReason(attempt.reason) if attempt.reason else None
    return {
        "id": attempt.id,
        "submission_num": attempt.number,
        "deployment_num": attempt.deployment,
        "submitted_at": timestamp(attempt.submitted),
        "last_processed_at": timestamp(attempt.since),
        "finished_at": timestamp(attempt.since) if attempt.status in JOB_FINISHED else None,
        "inactivity_secs": None,
        "status": attempt.status,
        "status_message": _message(attempt),
        "termination_reason": attempt.reason,
        "termination_reason_message": attempt.message,
        "exit_status": attempt.exit_status,
        "job_provisioning_data": attempt.provisioning,
        "job_runtime_data": None,
        "error": reason.to_error() if reason else None,
        "probes": [{"success_streak": attempt.passed} for _ in attempt.written["probes"]]
        if attempt.provisioning
        else [],
        "image_pull_progress": None,
    }


def _message(attempt: Attempt) -> str:
    """dstack's word for a submission's status."""
    if attempt.reason == "failed_to_start_due_to_no_capacity":
        return "no offers"
    if attempt.reason == "container_exited_with_error":
        return f"exited ({attempt.exit_status})"
    if attempt.reason == "terminated_by_user":
        return "stopped"
    return attempt.status


def _cost(state: State, attempt: Attempt) -> float:
    if attempt.machine is None:
        return 0.0
    until = attempt.since if attempt.status in JOB_FINISHED else state.now
    return attempt.machine.price * (until - attempt.submitted) / 3600
