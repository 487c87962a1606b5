"""Deploying the service, and ending it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import console
import deploy
import operate
from commands.command import command

if TYPE_CHECKING:
    from deploy.environments import Environment


@command
def deploy_all(
    environment: Environment,
    yes: bool = False,
    dry_run: bool = False,
    allow_restart: bool = False,
    allow_recreation: bool = False,
    allow_removal: bool = False,
    allow_dirty: bool = False,
    json: bool = False,
) -> None:
    """Deploy, and wait until the service answers.

    Brings fleet, gateway, DNS records, alarms and service to what the files say. Shows the plan and asks first.
    """
    allowed = {"allow_restart": allow_restart, "allow_recreation": allow_recreation, "allow_removal": allow_removal}
    signed = operate.history.recorded(environment, console.terminal.progress.print, allow_dirty=allow_dirty)
    _deploy(signed, yes=yes, dry_run=dry_run, json=json, gateway=True, **allowed)


@command
def rollback(
    environment: Environment,
    to: str = "",
    only_service: bool = False,
    yes: bool = False,
    dry_run: bool = False,
    allow_restart: bool = False,
    allow_recreation: bool = False,
    allow_removal: bool = False,
    json: bool = False,
) -> None:
    """Go back to the files of an earlier deployment.

    Takes dstack/ and environments/ of its commit from git, shows the plan and asks first, like a deploy.
    """
    api = deploy.api.Api(environment)
    run = api.run(environment.run_name)
    rows = operate.history.of(api, run)
    wanted = operate.rollback.target(rows, to, environment.name)
    earlier = operate.rollback.earlier(environment, wanted)
    if not json:
        operate.views.going_back(earlier)
    allowed = {"allow_restart": allow_restart, "allow_recreation": allow_recreation, "allow_removal": allow_removal}
    _deploy(earlier, yes=yes, dry_run=dry_run, json=json, gateway=not only_service, **allowed)


@command
def service_deploy(
    environment: Environment,
    yes: bool = False,
    dry_run: bool = False,
    allow_restart: bool = False,
    allow_dirty: bool = False,
    json: bool = False,
) -> None:
    """Deploy fleet and service, but not gateway, records and alarms."""
    environment = operate.history.recorded(environment, console.terminal.progress.print, allow_dirty=allow_dirty)
    _deploy(environment, yes=yes, dry_run=dry_run, json=json, gateway=False, allow_restart=allow_restart)


def _deploy(environment: Environment, *, yes: bool, dry_run: bool, json: bool, gateway: bool, **allowed: bool) -> None:
    """Plan, show, agree, apply what was shown, and ask the endpoint. `gateway`: gateway, records and alarms too."""
    api = deploy.api.Api(environment)
    with console.terminal.watching(f"planning {environment.run_name}") as notify:
        planned = deploy.planning.make(api, environment, notify, gateway=gateway)
        notify(f"secrets: {operate.doctor.check_secrets(api, environment)}")
    if dry_run or not json:
        deploy.views.plan(planned, json=json)
    deploy.guards.refuse(planned, **allowed)
    with console.terminal.watching(f"looking at the gateway of {environment.run_name}") as notify:
        deploy.guards.refuse_dead_gateway(api, planned, notify)
    if dry_run:
        return
    console.prompts.confirm("Deploy this?", yes=yes or not planned.changes)
    deploy.outdated.refuse_changed(api, planned)
    name = environment.run_name
    with console.terminal.watching(f"deploying {name}") as notify, deploy.billing.billed(api, environment, notify):
        patient = api.patient(notify)
        deploy.gateways.apply(patient, planned, notify)
        run = deploy.rollout.deploy(patient, planned, notify)
        operate.views.status(environment, operate.status.summarize(environment, run), json=json)
        patience = operate.smoke.REGISTRATION_SECONDS
        report = None if run.asleep else operate.smoke.smoke_test(environment, run, patience=patience)
        deploy.rollout.followed(patient, run, name)
        deploy.removal.remove(patient, environment, planned.removals, notify)
    if not json:
        operate.views.deployed(environment.name, report) if report else deploy.views.asleep(environment, run)


@command
def destroy(environment: Environment, yes: bool = False, dry_run: bool = False, allow_outage: bool = False) -> None:
    """Stop the service and delete everything that belongs to it.

    Releases the machines, deletes fleet, records, alarms and gateway, also those of earlier names. Asks first.
    """
    with console.terminal.watching(f"looking for {environment.run_name}") as notify:
        api = deploy.api.Api(environment).patient(notify)
        resources = deploy.existing.existing_resources(api, environment, notify)
    deploy.views.existing(environment.run_name, resources)
    if dry_run or not resources:
        return
    deploy.guards.refuse_outage(environment, allowed=allow_outage)
    console.prompts.confirm(f"End {environment.run_name} and all requests to it?", yes=yes)
    name = environment.run_name
    with console.terminal.watching(f"destroying {name}") as notify, deploy.billing.remaining(api, environment, notify):
        deploy.removal.remove(api, environment, resources, notify)
    deploy.views.destroyed(environment.run_name)
