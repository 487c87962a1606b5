"""Carrying a plan out, and watching until the new deployment answers, or does not.

`assess` looks at a run and says where its rollout stands; `deploy` acts on that. What was there before goes on serving
whenever dstack allows it: a rollout that fails is taken back, a first deployment that fails is stopped, so that nothing
is left that costs money and answers nobody. Ctrl-C takes nothing back: running it again continues.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from deploy.answers import Job, Run, Submission
from deploy.api import POLL_SECONDS, Api, Say
from deploy.environments import Environment, bounds
from deploy.errors import ExitCode, Failure
from deploy.plans import Change, Plan

SERVER_OUTAGE_SECONDS = 120.0  # how long a dstack server may be away, restarting say, without ending the deploy
CRASHES = 2  # once may be a broken host, which the retry leaves behind


@dataclass(frozen=True)
class Stand:
    """Where a rollout stands: `summary` for people, `failure` when it can't succeed any more."""

    ready: bool
    has_machine: bool
    summary: str
    failure: Failure | None = None


def deploy(api: Api, plan: Plan, say: Say) -> Run:
    """Apply `plan` and wait until its deployment is ready. Raises the Failure that ended it."""
    environment = plan.environment
    if plan.restarts:
        say(f"stopping {environment.run_name}: this change can't be made while it runs")
    if plan.restarts or (plan.run_plan.current and plan.run_plan.current.status == "terminating"):
        stop(api, environment, say)
    _apply_fleet(api, plan, say)
    if plan.service.change == Change.UNCHANGED:
        return watch(api, environment, say, api.run(environment.run_name) or _missing(environment))
    # The fleet and the stopped run are part of what dstack plans with: ask again, then apply just that answer.
    fresh = api.plan_run(environment.service, api.run(environment.run_name)) if _moved(plan) else plan.run_plan
    run = api.apply_run(fresh)
    say(f"{environment.run_name}: deployment {run.deployment_num} submitted ({plan.service.change.value})")
    try:
        return watch(api, environment, say, run)
    except Failure as failure:
        raise _taken_back(api, plan, failure, say) from None


def watch(api: Api, environment: Environment, say: Say, run: Run) -> Run:
    """Wait until every replica of the run's latest deployment passes its probes. Raises the Failure that ended it."""
    reachable = since = time.monotonic()
    said, had_machine = "", False
    while True:
        stand = assess(run)
        if stand.summary != said:
            say(stand.summary)
            said = stand.summary
        if stand.ready:
            return run
        if stand.has_machine != had_machine:
            since, had_machine = time.monotonic(), stand.has_machine
        if failure := stand.failure or _too_late(environment, had_machine, time.monotonic() - since):
            for submission in _crashed(run)[-1:]:
                for line in api.log_tail(environment.run_name, submission.id):
                    say(f"  | {line}")
            raise failure
        time.sleep(POLL_SECONDS)
        try:
            run = api.run(environment.run_name) or _missing(environment)
            reachable = time.monotonic()
        except Failure as failure:
            away = time.monotonic() - reachable
            if failure.code != ExitCode.SERVER_UNREACHABLE or away > SERVER_OUTAGE_SECONDS:
                raise


def assess(run: Run) -> Stand:
    """Where the rollout of the run's latest deployment stands, from dstack's account of it alone."""
    wanted = [job for job in run.jobs if job.latest.deployment_num == run.deployment_num]
    replicas = [job for job in run.replicas if job.latest.deployment_num == run.deployment_num]
    older = [job for job in run.replicas if job.latest.deployment_num != run.deployment_num]
    has_machine = any(job.latest.machine for job in replicas)
    crashed = _crashed(run)
    if not run.active or len(crashed) >= CRASHES:
        return Stand(False, has_machine, f"{run.status}: {_reason(run)}", _failure(run, crashed))
    summary = "; ".join(_describe(job) for job in replicas) or f"{run.status_message or run.status}{_why_none(wanted)}"
    if crashed:
        summary += "; crashed once, dstack tries again"
    if older:
        summary += f"; {len(older)} of the previous deployment still serving"
    complete = len(replicas) >= bounds(run.run_spec["configuration"]["replicas"])[0] and not older
    ready = run.status == "running" and complete and all(job.ready for job in replicas)
    return Stand(ready, has_machine, summary)


def stop(api: Api, environment: Environment, say: Say) -> None:
    """Stop the run and wait until it has ended; streams in flight may finish (stop_duration)."""
    run = api.run(environment.run_name)
    if run and run.active and run.status != "terminating":
        api.stop_run(environment.run_name)
    while run and run.active:
        time.sleep(POLL_SECONDS)
        run = api.run(environment.run_name)
    say(f"{environment.run_name}: stopped")


def delete_fleet(api: Api, environment: Environment, say: Say) -> None:
    """Delete the fleet and wait until it and its machines are gone."""
    if api.has_fleet(environment.run_name):
        api.delete_fleet(environment.run_name)
        while api.has_fleet(environment.run_name):
            time.sleep(POLL_SECONDS)
        say(f"fleet {environment.run_name}: deleted")


def remains(api: Api, environment: Environment) -> list[str]:
    """What of the environment exists, in words; empty when nothing does."""
    run = api.run(environment.run_name)
    found = [f"run {environment.run_name} ({run.status})"] if run and run.active else []
    found += [f"fleet {environment.run_name}"] * api.has_fleet(environment.run_name)
    return found + [f"gateway {environment.run_name}"] * (api.gateway(environment.run_name) is not None)


def destroy(api: Api, environment: Environment, say: Say) -> None:
    """Stop the run, wait until its machines are given back, delete the fleet. Doing it twice is doing it once."""
    stop(api, environment, say)
    delete_fleet(api, environment, say)


def _apply_fleet(api: Api, plan: Plan, say: Say) -> None:
    if plan.fleet.change == Change.UNCHANGED:
        return
    if plan.fleet.change == Change.RESTART or (plan.fleet.change == Change.CREATE and plan.fleet.differences):
        delete_fleet(api, plan.environment, say)
    api.apply_fleet(api.plan_fleet(plan.environment.fleet))
    say(f"fleet {plan.environment.run_name}: {plan.fleet.change.value}")


def _moved(plan: Plan) -> bool:
    return plan.restarts or plan.fleet.change == Change.CREATE or plan.service.change == Change.CREATE


def _taken_back(api: Api, plan: Plan, failure: Failure, say: Say) -> Failure:
    """Undo what failed, and the failure with what became of the service."""
    environment, before = plan.environment, plan.run_plan.current
    run = api.run(environment.run_name)
    if run is None or not run.active:
        outcome = "nothing of it runs"
    elif before and plan.service.change in (Change.ROLLING, Change.IN_PLACE):
        undo = api.plan_run(before.run_spec["configuration"], run)
        api.apply_run(undo)
        outcome = f"taken back, deployment {before.deployment_num} goes on serving"
    else:
        stop(api, environment, say)
        outcome = "stopped, nothing is billed"
    return Failure(failure.code, f"{failure} ({outcome})")


def _too_late(environment: Environment, has_machine: bool, waited: float) -> Failure | None:
    """The failure of having `waited` seconds for a machine, or with one for probes; None while there is time."""
    limits, file = environment.timeouts, f"environments/{environment.name}.yml"
    if not has_machine and waited > limits.capacity:
        mend = f"try again later, ask for less in service.resources, or raise timeouts.capacity in {file}"
        return Failure(ExitCode.NO_CAPACITY, f"no cloud handed out a machine within {limits.capacity} s; {mend}")
    if has_machine and waited > limits.ready:
        mend = f"see `inv logs --env {environment.name}`, or raise timeouts.ready in {file}"
        return Failure(ExitCode.NOT_READY, f"no new replica passed its probes within {limits.ready} s; {mend}")
    return None


def _describe(job: Job) -> str:
    latest = job.latest
    machine = latest.machine
    where = f" on {machine.backend} {machine.gpu}, ${machine.price:.2f}/h" if machine else ""
    state = latest.status_message or latest.status
    if latest.status == "running":
        state = "ready" if job.ready else "running, probes have not passed yet"
    return f"replica {job.number} of deployment {latest.deployment_num}{where}: {state}"


def _why_none(jobs: list[Job]) -> str:
    reasons = [job.latest.termination_reason for job in jobs if job.latest.termination_reason]
    return f" ({reasons[-1].replace('_', ' ')})" if reasons else ""


def _reason(run: Run) -> str:
    """dstack's reason for the latest replica that ended, else for the run."""
    ended = [job.latest for job in run.jobs if job.latest.termination_reason]
    if not ended:
        return run.error or run.termination_reason or "no reason given"
    last = max(ended, key=lambda submission: submission.submitted_at)
    return last.termination_reason_message or last.error or (last.termination_reason or "").replace("_", " ")


def _failure(run: Run, crashed: Sequence[Submission]) -> Failure:
    """Why the run can't become ready any more."""
    reasons = {job.latest.termination_reason for job in run.jobs}
    why = _reason(run)
    if crashed:
        how = f"ended by itself with exit code {crashed[-1].exit_status}"
        return Failure(ExitCode.CRASHED, f"the container of a new replica {how}; its last lines say why")
    if "fleet" in why.lower():
        return Failure(ExitCode.NO_FLEET, f"{why}; run `inv deploy` again, it makes the fleet")
    if "failed_to_start_due_to_no_capacity" in reasons:
        return Failure(ExitCode.NO_CAPACITY, f"no cloud handed out a machine, {why}; try again later, or ask for less")
    if run.status == "terminated":
        return Failure(ExitCode.PLAN_OUTDATED, "somebody stopped the run meanwhile; run `inv plan` and decide again")
    return Failure(ExitCode.CRASHED, f"the run is {run.status}, {why}; see `inv logs`")


def _crashed(run: Run) -> list[Submission]:
    """Attempts at the run's latest deployment whose container ended by itself, oldest first."""
    attempts = [s for job in run.jobs for s in job.submissions if s.deployment_num == run.deployment_num]
    ended = [s for s in attempts if s.termination_reason == "container_exited_with_error"]
    return sorted(ended, key=lambda submission: submission.submitted_at)


def _missing(environment: Environment) -> Run:
    message = f"run {environment.run_name} is gone, somebody deleted it; run `inv deploy` again"
    raise Failure(ExitCode.PLAN_OUTDATED, message)
