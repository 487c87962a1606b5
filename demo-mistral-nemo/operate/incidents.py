"""Says why nothing serves: what happened last, since when, and what to type next."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from console.connection import quoted
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.dstack.answers import JOB_OVER, SLEEPING, Run, Submission
from deploy.dstack.observations import Event
from deploy.observing import READY
from deploy.readiness import NO_CAPACITY
from operate.times import span

FORGOTTEN = timedelta(days=1)  # of a replica as old as that, the event may be gone
BRIEF = timedelta(minutes=10)  # a container that ended so soon has probably never served
CRASHED = {"container_exited_with_error", "creating_container_error", "ports_binding_failed"}


@dataclass(frozen=True)
class Incident:
    """Why nothing serves: `happened` quotes dstack, `remedy` says what to type. `since` is None when nobody knows."""

    happened: str
    since: datetime | None
    remedy: str

    def as_json(self) -> Document:
        return {
            "happened": self.happened,
            "since": self.since.isoformat() if self.since else None,
            "remedy": self.remedy,
        }

    def failure(self, run_name: str, now: datetime) -> Failure:
        """Return the Failure that ends `inv status`."""
        when = "now"
        if self.since:
            when = f"since {self.since:%Y-%m-%d %H:%M} UTC ({span((now - self.since).total_seconds())})"
        return Failure(ExitCode.NOT_SERVING, f"nothing of {run_name} serves {when}: {self.happened}", self.remedy)


def incident(run: Run, events: Collection[Event], env: str, now: datetime) -> Incident | None:
    """Return why an active run serves nothing. None while a replica serves, and while it sleeps as it should.

    `events` of the run tell which replicas were ready once.
    """
    if not run.active or run.asleep or any(job.ready for job in run.replicas):
        return None
    last = _last_end(run)
    served = [job.number for job in run.replicas if _failed_later(job.latest, events, now)]
    if served:
        which = ", ".join(map(str, served))
        happened = f"replica {which} served before, and its probes fail: its machine is lost, or its engine hangs"
        remedy = f"see `inv logs --env {env}`; dstack replaces a lost machine after about three minutes"
        return Incident(happened, None, remedy)
    reason = _reason(last) if last else ""
    starting = [f"replica {job.number} is {_state(job.latest)}" for job in run.replicas]
    happened = "; before that: ".join(part for part in (", ".join(starting), reason) if part)
    return Incident(happened or run.status_message or run.status, _since(run, events), _remedy(run, last, env))


def ending(run: Run | None, now: datetime) -> str:
    """Return how a run that is over ended, e.g. `its last run failed 4 min ago: no offers`; "" for no such run."""
    if run is None or run.active:
        return ""
    last = max((one for job in run.jobs for one in job.submissions), key=_ended_at, default=None)
    when = f" {span((now - _ended_at(last)).total_seconds())} ago" if last else ""
    if run.status == "failed":
        failed = _last_end(run)
        why = _reason(failed) if failed else run.error or (run.termination_reason or "").replace("_", " ")
        return f"its last run failed{when}" + (f": {why}" if why else "")
    how = "was stopped" if run.status == "terminated" else f"is {run.status}"
    return f"its last run {how}{when}"


def remedy_after(run: Run | None, env: str) -> str:
    """Return what to type when the run is over."""
    last = _last_end(run) if run and run.status == "failed" else None
    deploy = f"run `inv deploy --env {env}`"
    if last and last.termination_reason == NO_CAPACITY:
        return f"see `inv offers --env {env}`, then {deploy}"
    return f"see `inv logs --env {env}`, then {deploy}" if last and last.termination_reason in CRASHED else deploy


def _last_end(run: Run) -> Submission | None:
    """Return the attempt that ended last, without those that were no longer needed."""
    attempts = (one for job in run.jobs for one in job.submissions)
    ended = (one for one in attempts if one.status in JOB_OVER and one.termination_reason not in SLEEPING)
    return max(ended, key=_ended_at, default=None)


def _reason(attempt: Submission) -> str:
    words = (attempt.termination_reason or "").replace("_", " ")
    if attempt.exit_status and attempt.termination_reason in CRASHED:
        words += f" (code {attempt.exit_status})"
    detail = attempt.termination_reason_message or attempt.error
    return quoted(f"{words}: {detail}" if detail and detail != words else words, most=300)


def _state(attempt: Submission) -> str:
    if attempt.status == "running":
        return "running, and its probes do not pass"
    return attempt.status_message or attempt.status


def _failed_later(attempt: Submission, events: Collection[Event], now: datetime) -> bool:
    """Return whether a replica that runs was ready once. dstack keeps its event for 30 days, and lists the latest."""
    old = now - attempt.submitted_at > FORGOTTEN
    return attempt.status == "running" and (old or _ready_in(attempt, events))


def _ready_in(attempt: Submission, events: Collection[Event]) -> bool:
    """Return whether a replica became ready while this attempt lasted."""
    ready = [event.recorded_at for event in events if event.message == READY]
    return any(attempt.submitted_at <= at and not (attempt.finished_at and at > attempt.finished_at) for at in ready)


def _since(run: Run, events: Collection[Event]) -> datetime:
    """Return when the last container ended that has probably served; without one, when the run was submitted.

    In a loop of crashes each container ends soon after its start, so the loop does not move the time.
    """
    placed = (one for job in run.jobs for one in job.submissions if one.machine and one.status in JOB_OVER)
    since = datetime.fromisoformat(run.submitted_at)
    for one in sorted(placed, key=_ended_at, reverse=True):
        since = _ended_at(one)
        if one.termination_reason in SLEEPING or since - one.submitted_at >= BRIEF or _ready_in(one, events):
            break
    return since


def _remedy(run: Run, last: Submission | None, env: str) -> str:
    if any(job.latest.status == "running" for job in run.replicas):
        return f"follow it with `inv logs --follow --env {env}`: a new replica loads for minutes"
    if last and last.termination_reason == NO_CAPACITY:
        return f"see `inv offers --env {env}`; dstack tries again every few minutes"
    if last and last.termination_reason in CRASHED:
        return f"read why with `inv logs --env {env}`; dstack tries again, and each attempt is billed"
    if run.replicas:
        return f"wait, and look again with `inv status --env {env}`"
    return f"see `inv events --env {env}`"


def _ended_at(attempt: Submission) -> datetime:
    return attempt.finished_at or attempt.submitted_at
