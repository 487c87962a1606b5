"""Carrying a plan out, and watching until the new deployment answers, or does not.

`assess` looks at a run and says where its rollout stands; `deploy` acts on that. What was there before goes on serving
whenever dstack allows it: a rollout that fails is taken back, a first deployment that fails is stopped, so that nothing
is left that costs money and answers nobody. Ctrl-C takes nothing back: running it again continues.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass

from deploy.answers import JOB_OVER, Job, Run, Submission
from deploy.api import POLL_SECONDS, Api, Say
from deploy.changes import Change, judge_service
from deploy.checks import bounds
from deploy.environments import Environment
from deploy.errors import ExitCode, Failure
from deploy.plans import Plan

SERVER_OUTAGE_SECONDS = 120.0  # how long a dstack server may be away, restarting say, without ending the deploy
NO_CAPACITY = "failed_to_start_due_to_no_capacity"  # dstack's reason for an attempt's end
CRASHES = 2  # once may be a broken host, which the retry leaves behind


@dataclass(frozen=True)
class Stand:
    """Where a rollout stands: `summary` for people, `failure` when it can't succeed any more.

    `arrived` counts the new deployment's replicas that are ready; `has_machine` says that those which are missing have
    machines, but for those that a service which scales can do without.
    """

    ready: bool
    has_machine: bool
    summary: str
    failure: Failure | None = None
    crashed: Submission | None = None  # the last whose container ended by itself
    arrived: int = 0


def deploy(api: Api, plan: Plan, say: Say) -> Run:
    """Apply `plan` and wait until its deployment is ready. Raises the Failure that ended it."""
    environment, name = plan.environment, plan.environment.run_name
    before, fleet, change = plan.run_plan.current, plan.fleet, plan.service.change
    if plan.restarts:
        say(f"stopping {name}: this change can't be made while it runs")
    if plan.restarts or (before and before.status == "terminating"):
        stop(api, environment, say)
    if fleet.change == Change.RESTART or (fleet.change == Change.CREATE and fleet.differences):
        api.delete("fleet", name, say)
    if fleet.change != Change.UNCHANGED:
        api.apply("fleet", api.plan("fleet", environment.fleet))
        say(f"fleet {name}: {fleet.change.value}")
    # Fleet, gateway and the stopped run are part of what dstack plans with: ask again, then apply just that answer.
    moved = plan.restarts or Change.CREATE in (fleet.change, change) or plan.registers
    asked = api.plan_run(environment.service, api.run(name)) if moved else plan.run_plan
    if judge_service(asked).change == Change.UNCHANGED:
        return _watch(api, environment, say, api.run(name))
    run = Run.model_validate(api.apply("run", asked))
    say(f"{name}: deployment {run.deployment_num} submitted ({change.value})")
    try:
        return _watch(api, environment, say, run)
    except Failure as failure:
        try:
            became = _take_back(api, plan, say)
        except Failure as second:
            became = f"not taken back: {second}; see `inv status --env {environment.name}`"
        raise Failure(failure.code, f"{failure} ({became})") from None


def stop(api: Api, environment: Environment, say: Say) -> None:
    """Stop the run and wait until it has ended; streams in flight have the 10 seconds that dstack's runner gives."""
    run = api.run(environment.run_name)
    if run and run.active and run.status != "terminating":
        api.stop_run(environment.run_name)
    api.wait_gone(f"run {environment.run_name}", lambda: not ((run := api.run(environment.run_name)) and run.active))
    say(f"{environment.run_name}: stopped")


def remains(api: Api, environment: Environment) -> list[str]:
    """What of the environment exists, in words; empty when nothing does."""
    name, run = environment.run_name, api.run(environment.run_name)
    found = [f"run {name} ({run.status})"] if run and run.active else []
    found += [f"{kind} {name}" for kind in ("fleet", "gateway") if api.exists(kind, name)]
    if environment.dns is not None:
        from deploy import dns  # boto3 takes longer to import than the rest takes to run

        try:
            found += [f"records of {environment.host}"] if dns.Zone(environment).read() else []
        except Failure:  # the records come last: by then there is time for the reason
            found.append(f"perhaps records of {environment.host}, which could not be read")
    return found


def assess(run: Run) -> Stand:
    """Where the rollout of the run's latest deployment stands, from dstack's account of it alone."""
    submissions = [one for job in run.jobs for one in job.submissions if one.deployment_num == run.deployment_num]
    crashed = _by_age(one for one in submissions if one.termination_reason == "container_exited_with_error")
    replicas = [job for job in run.replicas if job.latest.deployment_num == run.deployment_num]
    older = len(run.replicas) - len(replicas)
    fewest = bounds(run.run_spec["configuration"]["replicas"])[0]
    arrived = sum(job.ready for job in replicas)
    missing = [job for job in replicas if not job.ready]
    placed = sum(job.latest.machine is not None for job in missing)
    newest = [job.latest for job in run.jobs if job.latest.deployment_num == run.deployment_num]
    between = sum(one.status in JOB_OVER and one.termination_reason == NO_CAPACITY for one in newest)  # two attempts
    wanted = min(len(missing) + between, max(fewest - arrived, 0))
    has_machine = bool(missing) and placed >= wanted
    if not run.active or len(crashed) >= CRASHES:
        failure, last = _failure(run, crashed), crashed[-1] if crashed else None
        return Stand(False, has_machine, f"{run.status}: {_reason(run)}", failure, last)
    summary = "; ".join(_describe(job) for job in replicas)
    if not replicas:
        ended = [one.termination_reason.replace("_", " ") for one in newest if one.termination_reason]
        summary = (run.status_message or run.status) + (f" ({ended[-1]})" if ended else "")
    if crashed:
        summary += "; crashed once, dstack tries again"
    if older:
        summary += f"; {older} of the previous deployment still serving"
    ready = run.status == "running" and arrived >= fewest and not older
    return Stand(ready, has_machine, summary, crashed=crashed[-1] if crashed else None, arrived=arrived)


def _watch(api: Api, environment: Environment, say: Say, run: Run | None) -> Run:
    """Wait until every replica of the run's latest deployment passes its probes. Raises the Failure that ended it."""
    reachable = since = time.monotonic()
    name, had_machine, arrived = environment.run_name, False, 0
    while True:
        if run is None:
            raise Failure(ExitCode.PLAN_OUTDATED, f"run {name} is gone, somebody deleted it; run `inv deploy` again")
        stand = assess(run)
        say(stand.summary)
        if stand.ready:
            return run
        if stand.arrived > arrived:  # the next replica has as long as this one had
            since, had_machine, arrived = time.monotonic(), False, stand.arrived
        if stand.has_machine and not had_machine:  # one that is lost again, with its image say, buys no more time
            since, had_machine = time.monotonic(), True
        if failure := stand.failure or _too_late(environment, had_machine, time.monotonic() - since):
            for line in api.log_tail(name, stand.crashed.id) if stand.crashed else []:
                say(f"  | {line}")
            raise failure
        time.sleep(POLL_SECONDS)
        try:
            run, reachable = api.run(name), time.monotonic()
        except Failure as failure:
            if failure.code != ExitCode.SERVER_UNREACHABLE or time.monotonic() - reachable > SERVER_OUTAGE_SECONDS:
                raise


def _take_back(api: Api, plan: Plan, say: Say) -> str:
    """Undo what failed. Returns what became of the service."""
    before, run = plan.run_plan.current, api.run(plan.environment.run_name)
    if run is None or not run.active:
        return "nothing of it runs"
    if before and plan.service.change in (Change.ROLLING, Change.IN_PLACE):
        asked = before.run_spec["configuration"] | ({"gateway": before.gateway} if before.gateway else {})
        api.apply("run", api.plan_run(asked, run))
        return "taken back, what served before goes on serving"
    stop(api, plan.environment, say)
    return "stopped, nothing is billed"


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


def _failure(run: Run, crashed: list[Submission]) -> Failure:
    """Why the run can't become ready any more."""
    why = _reason(run)
    if crashed:
        how = f"ended by itself with exit code {crashed[-1].exit_status}"
        return Failure(ExitCode.CRASHED, f"the container of a new replica {how}; its last lines say why")
    if "Secrets interpolation error" in why:
        mend = "run `inv secrets.list`, `inv secrets.set NAME`, then inv deploy"
        return Failure(ExitCode.SECRET_MISSING, f"the project lacks a secret of the service ({why}); {mend}")
    if "fleet" in why.lower():
        return Failure(ExitCode.NO_FLEET, f"{why}; run `inv deploy` again, it makes the fleet")
    if NO_CAPACITY in {job.latest.termination_reason for job in run.jobs}:
        return Failure(ExitCode.NO_CAPACITY, f"no cloud handed out a machine, {why}; try again later, or ask for less")
    if run.status == "terminated":
        return Failure(ExitCode.PLAN_OUTDATED, "somebody stopped the run meanwhile; run `inv plan` and decide again")
    return Failure(ExitCode.CRASHED, f"the run is {run.status}, {why}; see `inv logs`")


def _reason(run: Run) -> str:
    """dstack's reason for the latest replica that ended, else for the run."""
    ended = _by_age(job.latest for job in run.jobs if job.latest.termination_reason)
    if not ended:
        return run.error or run.termination_reason or "no reason given"
    last = ended[-1]
    return last.termination_reason_message or last.error or (last.termination_reason or "").replace("_", " ")


def _describe(job: Job) -> str:
    latest, machine = job.latest, job.latest.machine
    where = f" on {machine.backend} {machine.gpu}, ${machine.price:.2f}/h" if machine else ""
    state = latest.status_message or latest.status
    if latest.status == "running":
        state = "ready" if job.ready else "running, probes have not passed yet"
    return f"replica {job.number} of deployment {latest.deployment_num}{where}: {state}"


def _by_age(submissions: Iterable[Submission]) -> list[Submission]:
    return sorted(submissions, key=lambda submission: submission.submitted_at)
