"""What the dstack server does to a run again and again: statuses, retries, scaling, rolling updates, the end.

The order of decisions is that of `dstack._internal.server.background.pipeline_tasks.runs`.
"""

from __future__ import annotations

from typing import Any

from dstack._internal.core.models.runs import JobTerminationReason, RunTerminationReason
from dstack._internal.server.background.pipeline_tasks.runs.active import ROLLING_DEPLOYMENT_MAX_SURGE
from dstack._internal.server.background.pipeline_tasks.runs.pending import _get_retry_delay
from dstack._internal.server.services.jobs import job_spec_updatable_in_place

from tests.invariants.stand_in.replicas import end, job_spec, receives_traffic, submit
from tests.invariants.stand_in.state import JOB_FINISHED, Attempt, Run, State


def step(state: State, run: Run) -> None:
    """One look at a run."""
    if run.finished:
        return
    if run.status == "terminating":
        _terminate(state, run)
    elif run.status == "pending":
        _resubmit(state, run)
    else:
        _go_on(state, run)


def bounds(run: Run) -> tuple[int, int]:
    """The fewest and the most replicas that the run's spec allows."""
    return bounds_of(run.spec.configuration)


def bounds_of(configuration: Any) -> tuple[int, int]:
    """The same of a service's configuration, which may leave its replicas out. Groups are beyond the stand-in."""
    [group] = configuration.replica_groups
    fewest = int(group.replicas.min or 0)
    return fewest, fewest if group.replicas.max is None else int(group.replicas.max)


def _terminate(state: State, run: Run) -> None:
    reason = RunTerminationReason(run.reason)
    for attempt in run.attempts:
        end(state, attempt, reason.to_job_termination_reason().value)
    if all(attempt.status in JOB_FINISHED for attempt in run.attempts):
        run.status = reason.to_status().value


def _resubmit(state: State, run: Run) -> None:
    if run.resubmissions and run.jobs:
        waited = state.now - max(attempt.since for attempt in run.attempts)
        if waited < _get_retry_delay(run.resubmissions).total_seconds():
            return
    run.desired = _desired(run)
    if run.desired:
        run.status = "submitted"
        _scale_up(state, run, run.desired)


def _go_on(state: State, run: Run) -> None:
    contributed: set[str] = set()
    retrying: list[Attempt] = []
    for attempt in run.latest:
        if attempt.reason == "scaled_down":
            continue
        if attempt.active:
            contributed.add("provisioning" if attempt.status == "pulling" else attempt.status)
        elif _retries(state, run, attempt):
            retrying.append(attempt)
        else:
            run.status, run.reason = "terminating", RunTerminationReason.JOB_FAILED.value
            return
    best = next((status for status in ("running", "provisioning", "submitted") if status in contributed), None)
    if best is None:  # nothing is active: the whole run is submitted again
        run.status, run.resubmissions, run.fleet = "pending", run.resubmissions + bool(retrying), None
        return
    run.status = best
    if best == "provisioning":
        run.resubmissions = 0
    if retrying:
        for attempt in retrying:
            submit(state, run, attempt.replica)
        return
    _follow(state, run)


def _follow(state: State, run: Run) -> None:
    """Scale the run, and roll its deployment out to replicas that are out of date."""
    run.desired = _desired(run)
    out_of_date = _outdated(run)
    if not out_of_date:
        _scale(state, run)
    bumped = _bump(run)
    if any(attempt.id not in bumped for attempt in out_of_date):
        _roll(state, run)


def _retries(state: State, run: Run, attempt: Attempt) -> bool:
    """Whether dstack tries a replica again that ended."""
    event = JobTerminationReason(attempt.reason).to_retry_event()
    retry = attempt.spec.retry
    if event is None or retry is None or event not in retry.on_events:
        return False
    provisioned = [one for one in run.jobs[attempt.replica] if one.machine is not None]
    if not provisioned:
        return bool(event.value == "no-capacity" and state.now - run.submitted <= retry.duration)
    return bool(state.now - provisioned[-1].since <= retry.duration)


def _desired(run: Run) -> int:
    """dstack's own scaler keeps the number within its bounds while nobody asks more or less."""
    fewest, most = bounds(run)
    return min(max(run.desired, fewest), most)


def _outdated(run: Run) -> list[Attempt]:
    over = [attempt for attempt in run.attempts if attempt.deployment < run.deployment]
    return [attempt for attempt in over if attempt.status not in JOB_FINISHED and attempt.reason != "scaled_down"]


def _scale(state: State, run: Run) -> None:
    active = _by_importance(state, run)
    missing = run.desired - len(active)
    if missing > 0:
        _scale_up(state, run, missing)
    for attempt in active[run.desired :] if missing < 0 else []:
        end(state, attempt, "scaled_down")


def _scale_up(state: State, run: Run, count: int) -> None:
    """As many new attempts: at replicas that have ended first, then at new ones."""
    ended = [attempt.replica for attempt in run.latest if not attempt.active][:count]
    first = max(run.jobs, default=-1) + 1
    for replica in [*ended, *range(first, first + count - len(ended))]:
        submit(state, run, replica)


def _bump(run: Run) -> set[str]:
    """Replicas that are as the new deployment wants them belong to it."""
    bumped = set()
    for attempt in run.latest:
        if attempt.status in JOB_FINISHED or attempt.deployment == run.deployment:
            continue
        if run.checked.get(attempt.id) == run.deployment:
            continue
        run.checked[attempt.id] = run.deployment
        if job_spec_updatable_in_place(attempt.spec, job_spec(run.spec, attempt.replica)[0]):
            attempt.deployment = run.deployment
            bumped.add(attempt.id)
    return bumped


def _roll(state: State, run: Run) -> None:
    """One replica more than wanted while old ones are there; those that are not needed any more end."""
    alive = [attempt for attempt in run.latest if attempt.status not in JOB_FINISHED]
    active = _by_importance(state, run)  # before new ones come: what is stopped is chosen among those
    serving = sum(receives_traffic(state, run, attempt) for attempt in active)
    old = [attempt for attempt in active if attempt.deployment < run.deployment]
    idle = sum(not receives_traffic(state, run, attempt) for attempt in old)
    missing = run.desired + ROLLING_DEPLOYMENT_MAX_SURGE - len(alive)
    if missing > 0:
        _scale_up(state, run, missing)
    count = idle + max(0, serving - run.desired)
    for attempt in active[-count:] if count else []:
        end(state, attempt, "scaled_down")


def _by_importance(state: State, run: Run) -> list[Attempt]:
    """Active replicas: those of the latest deployment first, then those that are farther."""
    ranks = {"submitted": 0, "provisioning": 1, "pulling": 1, "running": 2}
    active = [attempt for attempt in run.latest if attempt.active]

    def rank(attempt: Attempt) -> tuple[bool, int, int]:
        importance = ranks[attempt.status] + receives_traffic(state, run, attempt)
        return attempt.deployment < run.deployment, -importance, attempt.replica

    return sorted(active, key=rank)
