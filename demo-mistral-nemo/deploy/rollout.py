"""Applies the plan of fleet and service, and follows the deployment until it is ready. readiness.py says how far it is.

A deploy follows the deployment that it submitted, by number. It does not touch a deployment that somebody else submits
meanwhile. A rollout that fails is rolled back, and what was there before keeps serving whenever dstack allows it. A
first deployment that fails is stopped, so that nothing is left that costs money and does not answer. Ctrl-C rolls
nothing back: running it again continues.
"""

import time
from collections.abc import Collection

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.changes import Change, classify_fleet, classify_service
from deploy.dstack.answers import Run, RunPlan
from deploy.dstack.client import Notify
from deploy.dstack.polling import POLL_SECONDS
from deploy.dstack.refusals import Passing
from deploy.environments import Environment
from deploy.gateway_choice import used_by
from deploy.guards import refuse_offers
from deploy.observing import remembered
from deploy.outdated import AGAIN, refuse_changed_fleet, refuse_unseen
from deploy.plans import Plan
from deploy.readiness import crashes, readiness, timeout_failure
from deploy.removal import stop


def deploy(api: Api, plan: Plan, notify: Notify) -> Run:
    """Apply `plan` of fleet and service, and wait until its deployment is ready or asleep.

    Raises the Failure that ended it. Its problem also says what became of the service.
    """
    environment, name = plan.environment, plan.environment.run_name
    before = plan.run_plan.current
    if plan.restarts:
        notify(f"stopping {name}: this change can't be made while it runs")
    if plan.restarts or (before and before.status == "terminating"):
        stop(api, name, notify)
    _deploy_fleet(api, plan, notify)
    run_plan = _planned_again(api, plan) if plan.replans_service else plan.run_plan
    if classify_service(run_plan).change == Change.UNCHANGED and run_plan.current:
        return follow(api, environment, notify, run_plan.current, {one.id for one in crashes(run_plan.current)})
    if not plan.restarts:  # what is stopped already is submitted anyway: dstack tries again until there is an offer
        refuse_offers(plan, run_plan.offers)
    run = _submit(api, run_plan, name, notify)
    notify(f"{name}: deployment {run.deployment_num} submitted ({plan.service.change})")
    return _follow_or_settle(api, plan, run, notify)


def _deploy_fleet(api: Api, plan: Plan, notify: Notify) -> None:
    """Apply exactly the plan of the fleet. Only a fleet that is deleted and recreated is planned again."""
    name, fleet, planned = plan.environment.run_name, plan.fleet, plan.fleet_plan
    if fleet.change == Change.UNCHANGED:
        return
    if fleet.change == Change.RESTART or (fleet.change == Change.CREATE and planned.current_resource):
        api.delete("fleet", name, notify)
        planned = api.plan("fleet", plan.environment.fleet)
        now = classify_fleet(planned, serving=False)
        refuse_unseen("fleet", name, fleet, now)
        if now.change == Change.UNCHANGED:
            return
    else:
        refuse_changed_fleet(api, plan)
    api.apply("fleet", planned)
    notify(f"fleet {name}: {fleet.change.value}")


def _planned_again(api: Api, plan: Plan) -> RunPlan:
    """Return dstack's new plan of the service, after this deploy itself changed something that it depends on.

    Fails with PLAN_OUTDATED when the new plan does anything that was not shown.
    """
    environment = plan.environment
    run_plan = api.plan_run(environment.service, remembered(api, api.run(environment.run_name)))
    refuse_unseen("service", environment.run_name, plan.service, classify_service(run_plan))
    return run_plan


def _submit(api: Api, run_plan: RunPlan, name: str, notify: Notify) -> Run:
    """Apply exactly that plan of the service. Fails with PLAN_OUTDATED when dstack started another run instead."""
    run = api.apply_run(run_plan)
    if run_plan.current and run_plan.action == "update" and run.id != run_plan.current.id:
        stop(api, name, notify)  # dstack starts a new run where the one to update has ended
        why = f"somebody stopped {name} after it was planned, so dstack started a new run, which was stopped again"
        raise Failure(ExitCode.PLAN_OUTDATED, why, AGAIN)
    return run


def _follow_or_settle(api: Api, plan: Plan, run: Run, notify: Notify) -> Run:
    """Follow what was submitted; roll it back when it fails."""
    environment = plan.environment
    try:
        return follow(api, environment, notify, run)
    except Passing as failure:  # nobody knows how far it is, so nothing speaks against it
        why = f"{failure.problem} (deployment {run.deployment_num} is not rolled back)"
        remedy = f"run `inv deploy --env {environment.name}` again when the server answers: it continues"
        raise Failure(failure.code, why, remedy) from None
    except Exception as failure:  # a mistake of ours too: what was submitted must not run on because of it
        became = _settle(api, plan, run, notify)
        if isinstance(failure, Failure):
            raise Failure(failure.code, f"{failure.problem} ({became})", failure.remedy) from None
        notify(f"{environment.run_name}: {became}")
        raise


def follow(api: Api, environment: Environment, notify: Notify, run: Run, earlier: Collection[str] = ()) -> Run:
    """Wait until every replica of the deployment that `run` is at passes its probes, or until it is asleep.

    `earlier`: ids of crashes that do not count, see `readiness`.
    A state counts for the moment when it was asked for. A command that was paused, as on a laptop whose lid is closed,
    asks once more before it fails as too late.

    Raises the Failure that ended the rollout. It is PLAN_OUTDATED when another deployment has taken its place.
    """
    name, number, since = environment.run_name, run.deployment_num, time.monotonic()
    now, asked, had_machine, arrived = run, since, False, 0
    while True:
        found, shown = readiness(now, earlier, env=environment.name), now.deployment_num == number
        notify(found.summary if shown else "waiting for the server to show the new deployment")
        if shown and (found.ready or (found.surplus and asked - since > environment.timeouts.stop)):
            return now
        if found.arrived > arrived:  # the next replica has as long as this one had
            since, had_machine, arrived = asked, False, found.arrived
        if found.has_machine and not had_machine:  # one that is lost again, with its image, gets no more time
            since, had_machine = asked, True
        too_late = None if found.surplus else timeout_failure(environment, had_machine, asked - since)
        if failure := found.failure or too_late:
            for line in api.log_tail(name, found.crashed.id) if found.crashed else []:
                notify(f"  | {line}")
            raise failure
        time.sleep(POLL_SECONDS)
        asked = time.monotonic()
        now = followed(api, run, name)


def followed(api: Api, run: Run, name: str) -> Run:
    """Return `run` as it is now. Fails with PLAN_OUTDATED when somebody else changed or deleted it."""
    now = api.run(name)
    if now is None:
        raise Failure(ExitCode.PLAN_OUTDATED, f"somebody deleted run {name}", AGAIN)
    if _overtaken(now, run):
        what = "another run of that name" if now.id != run.id else f"deployment {now.deployment_num}"
        why = f"somebody else submitted {what} of {name} after deployment {run.deployment_num} of this command"
        raise Failure(ExitCode.PLAN_OUTDATED, why, AGAIN)
    return now


def _overtaken(now: Run, submitted: Run) -> bool:
    return now.id != submitted.id or now.deployment_num > submitted.deployment_num


def _settle(api: Api, plan: Plan, submitted: Run, notify: Notify) -> str:
    """Undo the deployment that failed, if nobody submitted another one. Return what became of the service."""
    try:
        return _roll_back(api, plan, submitted, notify)
    except Failure as failure:
        return f"not rolled back: {failure.problem}, see `inv status --env {plan.environment.name}`"


def _roll_back(api: Api, plan: Plan, submitted: Run, notify: Notify) -> str:
    """Roll back to the deployment before, or stop a first one. Return what became of the service."""
    name, before = plan.environment.run_name, plan.run_plan.current
    run = api.run(name)
    if run is None or not run.active:
        return "nothing runs"
    if _overtaken(run, submitted):
        return f"nothing was rolled back: what runs now is somebody else's deployment {run.deployment_num}"
    if before and before.id == run.id:
        gateway = before.gateway
        if used_by(before, plan.environment):  # this deploy may have moved the service to another gateway
            gateway = plan.environment.service["gateway"] or gateway
        configuration = before.run_spec["configuration"] | ({"gateway": gateway} if gateway else {})
        api.apply_run(api.plan_run(configuration, run, back_to=before))
        if before.asleep:
            return "rolled back, and asleep as before"
        if not any(job.ready for job in before.replicas):
            return "rolled back, what was there before did not serve either"
        return "rolled back, what served before keeps serving"
    stop(api, name, notify)
    return "stopped, its GPUs are not billed any more"
