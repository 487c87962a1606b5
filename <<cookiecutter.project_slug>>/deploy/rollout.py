"""Carrying a plan out, and watching until the new deployment answers, or does not.

`assess` looks at a run and says where its rollout stands; `deploy` acts on that. A deploy follows the deployment that
it submitted, by number. One that somebody else submits meanwhile is theirs, and nothing of it is touched. What was
there before keeps serving whenever dstack allows it: a rollout that fails is rolled back. A first deployment that fails
is stopped, so that nothing is left that costs money and answers nobody. Ctrl-C rolls nothing back: running it again
continues.
"""

import time
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import Change, classify_service
from deploy.documents.checks import bounds
from deploy.documents.files import Document
from deploy.dstack.answers import JOB_OVER, Job, Run, Submission
from deploy.dstack.client import Say
from deploy.dstack.polling import POLL_SECONDS
from deploy.dstack.refusals import Passing
from deploy.environments import Environment
from deploy.existing import stop
from deploy.guards import refuse_offers
from deploy.plans import Plan, replanned

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
    crashed: Submission | None = None  # the last whose container exited with an error
    arrived: int = 0
    surplus: int = 0  # replicas that the change takes away and that are still there


def deploy(api: Api, plan: Plan, say: Say) -> Run:
    """Apply `plan` of fleet and service, and wait until its deployment is ready or asleep.

    Raises the Failure that ended it, which says what became of the service.
    """
    environment, name = plan.environment, plan.environment.run_name
    before = plan.run_plan.current
    if plan.restarts:
        say(f"stopping {name}: this change can't be made while it runs")
    if plan.restarts or (before and before.status == "terminating"):
        stop(api, name, say)
    _deploy_fleet(api, plan, say)
    asked = replanned(api, plan) if plan.moves else plan.run_plan
    if classify_service(asked).change == Change.UNCHANGED and asked.current:
        return follow(api, environment, say, asked.current, {one.id for one in crashes(asked.current)})
    if not plan.restarts:  # what is stopped already is submitted anyway: dstack tries again until there is an offer
        refuse_offers(plan, asked.offers)
    run = api.apply_run(asked)
    if asked.current and asked.action == "update" and run.id != asked.current.id:
        stop(api, name, say)  # dstack starts a new run where the one to update has ended
        why = f"somebody stopped {name} meanwhile; the run that this started in its place was stopped"
        raise Failure(ExitCode.PLAN_OUTDATED, f"{why}; run `inv plan` and decide again")
    say(f"{name}: deployment {run.deployment_num} submitted ({plan.service.change})")
    try:
        return follow(api, environment, say, run)
    except Passing as failure:  # nobody knows how it stands, so nothing speaks against it
        again = f"run inv deploy --env {environment.name} again when the server answers: it continues"
        raise Failure(
            failure.code, f"{failure} (deployment {run.deployment_num} is not rolled back; {again})"
        ) from None
    except Exception as failure:  # a mistake of ours too: what was submitted must not run on because of it
        became = _settle(api, plan, run, say)
        code = failure.code if isinstance(failure, Failure) else None
        if code is None:
            say(f"{name}: {became}")
            raise
        raise Failure(code, f"{failure} ({became})") from None


def _deploy_fleet(api: Api, plan: Plan, say: Say) -> None:
    name, fleet, planned = plan.environment.run_name, plan.fleet, plan.fleet_plan
    if fleet.change == Change.RESTART or (fleet.change == Change.CREATE and planned.current_resource):
        api.delete("fleet", name, say)
        planned = api.plan("fleet", plan.environment.fleet)
    if fleet.change != Change.UNCHANGED:
        api.apply("fleet", planned)
        say(f"fleet {name}: {fleet.change.value}")


def crashes(run: Run) -> list[Submission]:
    """Attempts of the latest deployment whose container exited with an error, oldest first."""
    submissions = [one for job in run.jobs for one in job.submissions if one.deployment_num == run.deployment_num]
    return _by_age(one for one in submissions if one.termination_reason == "container_exited_with_error")


def assess(run: Run, earlier: Collection[str] = ()) -> Stand:
    """Where the rollout of the run's latest deployment stands, from dstack's account of it and nothing else.

    `earlier` are the ids of crashes that count no more: they were there before anybody followed this deployment.
    """
    crashed = [one for one in crashes(run) if one.id not in earlier]
    replicas = [job for job in run.replicas if job.latest.deployment_num == run.deployment_num]
    older = len(run.replicas) - len(replicas)
    limits = limits_of(run.run_spec["configuration"])
    arrived = Counter(job.group for job in replicas if job.ready)
    short = sum((Counter({group: least for group, (least, _) in limits.items()}) - arrived).values())  # yet to come
    most = Counter({group: most for group, (_, most) in limits.items()})
    surplus = (Counter(job.group for job in replicas) - most).total()
    missing = [job for job in replicas if not job.ready]
    placed = sum(job.latest.machine is not None for job in missing)
    refused = [one for one in run.newest if one.termination_reason == NO_CAPACITY]
    between = sum(one.status in JOB_OVER for one in refused)  # two attempts
    wanted = min(len(missing) + between, short if arrived else max(short, 1))
    has_machine = bool(missing) and placed >= wanted
    ready = run.status == "running" and bool(arrived) and not short and not older
    if not run.active or (len(crashed) >= CRASHES and not ready):
        failure, last = _failure(run, crashed), crashed[-1] if crashed else None
        return Stand(False, has_machine, f"{run.status}: {_reason(run)}", failure, last)
    asleep = run.asleep and not short
    summary = _summary(run, replicas, older, crashed=bool(crashed), asleep=asleep)
    last = crashed[-1] if crashed else None
    found = Stand(ready or asleep, has_machine, summary, crashed=last, arrived=arrived.total())
    more = f"{summary}; {surplus} more than there are to be, until dstack stops it"
    return replace(found, ready=False, surplus=surplus, summary=more) if ready and surplus else found


def _summary(run: Run, replicas: list[Job], older: int, *, crashed: bool, asleep: bool) -> str:
    said = "; ".join(_describe(job) for job in replicas)
    if not replicas:
        ended = [one.termination_reason.replace("_", " ") for one in run.newest if one.termination_reason]
        said = (run.status_message or run.status) + (f" ({ended[-1]})" if ended else "")
    if asleep:
        said = f"deployment {run.deployment_num} is asleep: it has no replica"
    if crashed:
        said += "; crashed once, dstack tries again"
    return said + (f"; {older} of the previous deployment still serving" if older else "")


def limits_of(configuration: Document) -> dict[str, tuple[int, int]]:
    """The least and the most replicas of each group, from a run's configuration as dstack answers it."""
    if groups := configuration.get("groups"):
        return {str(group["name"]): bounds(group["replicas"]) for group in groups}
    replicas = configuration.get("replicas")
    return {"0": (1, 1) if replicas is None else bounds(replicas)}


def follow(api: Api, environment: Environment, say: Say, run: Run, earlier: Collection[str] = ()) -> Run:
    """Wait until every replica of the deployment that `run` is at passes its probes, or until it is asleep.

    `earlier`: ids of crashes that count no more, see `assess`.

    Raises the Failure that ended it: PLAN_OUTDATED as soon as another deployment has taken its place.
    """
    name, number, since = environment.run_name, run.deployment_num, time.monotonic()
    now, had_machine, arrived = run, False, 0
    while True:
        stand = assess(now, earlier)
        say(stand.summary if now.deployment_num == number else "waiting for the server to show the new deployment")
        waited = time.monotonic() - since
        if now.deployment_num == number and (stand.ready or (stand.surplus and waited > environment.timeouts.stop)):
            return now
        if stand.arrived > arrived:  # the next replica has as long as this one had
            since, had_machine, arrived = time.monotonic(), False, stand.arrived
        if stand.has_machine and not had_machine:  # one that is lost again, with its image say, buys no more time
            since, had_machine = time.monotonic(), True
        late = None if stand.surplus else _too_late(environment, had_machine, time.monotonic() - since)
        if failure := stand.failure or late:
            for line in api.log_tail(name, stand.crashed.id) if stand.crashed else []:
                say(f"  | {line}")
            raise failure
        time.sleep(POLL_SECONDS)
        now = still(api, run, name)


def still(api: Api, followed: Run, name: str) -> Run:
    """The run as it is now. Fails with PLAN_OUTDATED when somebody else changed or deleted what is followed."""
    now, again = api.run(name), "run `inv plan` and decide again"
    if now is None:
        raise Failure(ExitCode.PLAN_OUTDATED, f"run {name} is gone, somebody deleted it; {again}")
    if _overtaken(now, followed):
        what = "another run of that name" if now.id != followed.id else f"deployment {now.deployment_num}"
        why = f"somebody else submitted {what} of {name} after deployment {followed.deployment_num} of this command"
        raise Failure(ExitCode.PLAN_OUTDATED, f"{why}; {again}")
    return now


def _overtaken(now: Run, followed: Run) -> bool:
    return now.id != followed.id or now.deployment_num > followed.deployment_num


def _settle(api: Api, plan: Plan, submitted: Run, say: Say) -> str:
    """Undo what failed, if it is still what this command submitted. Returns what became of the service."""
    try:
        return _roll_back(api, plan, submitted, say)
    except Failure as failure:
        return f"not rolled back: {failure}; see `inv status --env {plan.environment.name}`"


def _roll_back(api: Api, plan: Plan, submitted: Run, say: Say) -> str:
    name, before = plan.environment.run_name, plan.run_plan.current
    run = api.run(name)
    if run is None or not run.active:
        return "nothing of it runs"
    if _overtaken(run, submitted):
        return f"nothing was rolled back: what runs now is somebody else's deployment {run.deployment_num}"
    if before and before.id == run.id:
        asked = before.run_spec["configuration"] | ({"gateway": before.gateway} if before.gateway else {})
        api.apply_run(api.plan_run(asked, run))
        if before.asleep:
            return "rolled back, and asleep as before"
        if not any(job.ready for job in before.replicas):
            return "rolled back, what was there before did not serve either"
        return "rolled back, what served before keeps serving"
    stop(api, name, say)
    return "stopped, its GPUs are not billed any more"


def _too_late(environment: Environment, has_machine: bool, waited: float) -> Failure | None:
    """The failure of having `waited` seconds for a machine, or with one for probes; None while there is time."""
    limits, file = environment.timeouts, f"environments/{environment.name}.yml"
    if not has_machine and waited > limits.capacity:
        remedy = f"try again later, ask for less in service.resources, or raise timeouts.capacity in {file}"
        return Failure(ExitCode.NO_CAPACITY, f"no cloud handed out a machine within {limits.capacity} s; {remedy}")
    if has_machine and waited > limits.ready:
        remedy = f"see `inv logs --env {environment.name}`, or raise timeouts.ready in {file}"
        return Failure(ExitCode.NOT_READY, f"no new replica passed its probes within {limits.ready} s; {remedy}")
    return None


def _failure(run: Run, crashed: list[Submission]) -> Failure:
    """Why the run can't become ready any more."""
    why = _reason(run)
    if crashed:
        how = f"exited with code {crashed[-1].exit_status}"
        return Failure(ExitCode.CRASHED, f"the container of a new replica {how}; its last lines say why")
    if "Secrets interpolation error" in why:
        remedy = "run `inv secrets.list`, `inv secrets.set NAME`, then inv deploy"
        return Failure(ExitCode.SECRET_MISSING, f"the project lacks a secret of the service ({why}); {remedy}")
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
