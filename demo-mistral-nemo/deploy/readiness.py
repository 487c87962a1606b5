"""Says how far a rollout is, from what dstack answers about its run. rollout.py acts on it.

A rollout is ready when every group has as many replicas of the new deployment as it has to have, all with passing
probes, and no replica of an earlier deployment is left. It has failed when the run has ended, or when a new container
crashed twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from console.errors import ExitCode, Failure
from deploy.changes import replica_groups
from deploy.dstack.answers import JOB_OVER, Job, Run, Submission
from deploy.environments import Environment
from deploy.outdated import AGAIN

NO_CAPACITY = "failed_to_start_due_to_no_capacity"  # dstack's reason for an attempt's end
CRASHES = 2  # once may be a broken host, which the retry leaves behind


@dataclass(frozen=True)
class Readiness:
    """How far a rollout is: `summary` for people, `failure` when it has failed.

    `arrived` counts the new deployment's replicas that are ready. `has_machine` says that the replicas which are still
    needed have machines. A service that scales may have more replicas, which are not needed.
    """

    ready: bool
    has_machine: bool
    summary: str
    failure: Failure | None = None
    crashed: Submission | None = None  # the last whose container exited with an error
    arrived: int = 0
    surplus: int = 0  # replicas that dstack still has to stop


@dataclass(frozen=True)
class _Count:
    """The replicas of the newest deployment, counted."""

    replicas: list[Job]
    older: int  # replicas of earlier deployments that are still there
    arrived: Counter[str]  # ready ones, by group
    short: int  # ready replicas that are missing
    surplus: int  # replicas above the largest number

    @classmethod
    def of_run(cls, run: Run) -> _Count:
        groups = replica_groups(run.run_spec["configuration"])
        replicas = [job for job in run.replicas if job.latest.deployment_num == run.deployment_num]
        arrived = Counter(job.group for job in replicas if job.ready)
        fewest = Counter({name: group.fewest for name, group in groups.items()})
        most = Counter({name: group.most for name, group in groups.items()})
        surplus = Counter(job.group for job in replicas) - most
        return cls(replicas, len(run.replicas) - len(replicas), arrived, (fewest - arrived).total(), surplus.total())


def readiness(run: Run, earlier: Collection[str] = (), *, env: str = "dev") -> Readiness:
    """Return how far the rollout of the run's latest deployment is.

    `earlier`: ids of crashes that do not count, because they happened before this command followed the deployment.
    `env`: the environment's name, for the commands in a remedy. The default is that of `inv --env`.
    """
    crashed = [one for one in crashes(run) if one.id not in earlier]
    last, count = crashed[-1] if crashed else None, _Count.of_run(run)
    has_machine = _missing_have_machines(run, count)
    serves = run.status == "running" and bool(count.arrived) and not count.short and not count.older
    if not run.active or (len(crashed) >= CRASHES and not serves):
        return Readiness(False, has_machine, f"{run.status}: {_reason(run)}", _failure(run, crashed, env), last)
    asleep = run.asleep and not count.short
    summary = _summary(run, count, crashed=bool(crashed), asleep=asleep)
    surplus = count.surplus if serves else 0
    if surplus:
        summary += f"; dstack has to stop {surplus} more"
    return Readiness(
        ready=asleep or (serves and not surplus),
        has_machine=has_machine,
        summary=summary,
        crashed=last,
        arrived=count.arrived.total(),
        surplus=surplus,
    )


def _missing_have_machines(run: Run, count: _Count) -> bool:
    """Return whether all replicas that are still needed have a machine."""
    missing = [job for job in count.replicas if not job.ready]
    placed = sum(job.latest.machine is not None for job in missing)
    refused = [one for one in run.newest if one.termination_reason == NO_CAPACITY]
    between = sum(one.status in JOB_OVER for one in refused)  # two attempts
    wanted = min(len(missing) + between, count.short if count.arrived else max(count.short, 1))
    return bool(missing) and placed >= wanted


def crashes(run: Run) -> list[Submission]:
    """Return the attempts of the latest deployment whose container exited with an error, oldest first."""
    submissions = [one for job in run.jobs for one in job.submissions if one.deployment_num == run.deployment_num]
    return _by_age(one for one in submissions if one.termination_reason == "container_exited_with_error")


def _summary(run: Run, count: _Count, *, crashed: bool, asleep: bool) -> str:
    text = "; ".join(_describe(job) for job in count.replicas)
    if not count.replicas:
        ended = [one.termination_reason.replace("_", " ") for one in run.newest if one.termination_reason]
        text = (run.status_message or run.status) + (f" ({ended[-1]})" if ended else "")
    if asleep:
        text = f"deployment {run.deployment_num} is asleep: it has no replica"
    if crashed:
        text += "; crashed once, dstack tries again"
    return text + (f"; {count.older} of the previous deployment still serving" if count.older else "")


def timeout_failure(environment: Environment, has_machine: bool, waited: float) -> Failure | None:
    """Return the Failure after `waited` seconds, for a machine or, with one, for probes. None while there is time."""
    limits, file = environment.timeouts, environment.file
    if not has_machine and waited > limits.capacity:
        remedy = f"try again later, ask for less in service.resources, or raise timeouts.capacity in {file}"
        return Failure(ExitCode.NO_CAPACITY, f"no cloud handed out a machine within {limits.capacity} s", remedy)
    if has_machine and waited > limits.ready:
        remedy = f"see `inv logs --env {environment.name}`, or raise timeouts.ready in {file}"
        return Failure(ExitCode.NOT_READY, f"no new replica passed its probes within {limits.ready} s", remedy)
    return None


def _failure(run: Run, crashed: list[Submission], env: str) -> Failure:
    """Return the Failure that says why the run can't become ready any more."""
    why, name = _reason(run), run.run_spec["run_name"]
    if crashed:
        how = f"exited with code {crashed[-1].exit_status}"
        remedy = f"see its last lines above, or run `inv logs --env {env}`"
        return Failure(ExitCode.CRASHED, f"the container of a new replica {how}", remedy)
    if "Secrets interpolation error" in why:
        remedy = f"run `inv secrets.list --env {env}`, `inv secrets.set NAME --env {env}`, `inv deploy --env {env}`"
        return Failure(ExitCode.SECRET_MISSING, f"the project lacks a secret of the service ({why})", remedy)
    if "fleet" in why.lower():
        return Failure(ExitCode.NO_FLEET, why, f"run `inv deploy --env {env}` again, which creates the fleet")
    if NO_CAPACITY in {job.latest.termination_reason for job in run.jobs}:
        remedy = "try again later, or ask for less in service.resources"
        return Failure(ExitCode.NO_CAPACITY, f"no cloud handed out a machine: {why}", remedy)
    if run.status == "terminated":
        return Failure(ExitCode.PLAN_OUTDATED, f"somebody stopped run {name}", AGAIN)
    return Failure(ExitCode.CRASHED, f"run {name} is {run.status}: {why}", f"run `inv logs --env {env}`")


def _reason(run: Run) -> str:
    """Return dstack's reason for the end of the latest replica that ended, or else of the run."""
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
