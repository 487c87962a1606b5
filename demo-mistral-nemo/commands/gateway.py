"""The gateway, its DNS records and its alarms."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from invoke.exceptions import Exit

import console
import deploy
import operate
from commands.command import command

if TYPE_CHECKING:
    from deploy.environments import Environment


@command
def gateway_deploy(environment: Environment, allow_recreation: bool = False, json: bool = False) -> None:
    """Deploy the gateway, and wait until it runs."""
    deploy.documents.schema.check(environment)
    api, name = deploy.api.Api(environment), environment.run_name
    with console.terminal.watching(f"gateway {name}") as notify, deploy.billing.billed(api, environment, notify):
        gateway = deploy.gateways.deploy(api.patient(notify), environment, notify, allow_recreation=allow_recreation)
    deploy.views.gateway(environment, gateway, json=json)


@command
def gateway_status(environment: Environment, json: bool = False) -> None:
    """Show the gateway's replicas and addresses."""
    gateway, others = deploy.gateway_choice.look(deploy.api.Api(environment), environment)
    deploy.views.gateway(environment, gateway, others, json=json)


@command
def gateway_check(environment: Environment, json: bool = False) -> None:
    """Say whether the gateway is healthy, degraded or dead, or the service is at fault.

    Looks at EC2, dstack, the record, each address and the name. Changes nothing.
    """
    _check(environment, json=json)


@command
def gateway_recover(environment: Environment, yes: bool = False, dry_run: bool = False, json: bool = False) -> None:
    """Recover a gateway whose EC2 instance has ended, or that was deleted.

    Acts on EC2's state alone. Shows the first step and asks. Leaves a healthy gateway alone.
    """
    person = console.prompts.at_terminal()
    api, name = deploy.api.Api(environment), environment.run_name
    step = operate.recovering.first_step(api, environment)
    operate.gateway_view.first_step(environment, step)
    if dry_run:
        return
    if step:
        operate.recovering.refuse_by_itself(environment, person=person)
        console.prompts.confirm(f"Recover the gateway {name}?", yes=yes)
        with console.terminal.watching(f"gateway {name}") as notify:
            operate.recovering.recover(api.patient(notify), environment, notify, person=person)
    _check(environment, json=json)


def _check(environment: Environment, *, json: bool) -> None:
    """Show the verdict on the gateway, and exit with its code."""
    found = operate.gateway_look.look(deploy.api.Api(environment), environment, strict=False)
    seen = operate.gateway_look.reached(found)
    diagnosis = operate.health.diagnose(seen)
    operate.gateway_view.verdict(seen, diagnosis, json=json)
    if diagnosis.code:
        raise Exit(code=diagnosis.code)


@command
def gateway_destroy(environment: Environment, yes: bool = False, allow_outage: bool = False) -> None:
    """Delete the gateway, its DNS records and its alarms.

    Callers can't reach the service by name afterwards. The service itself keeps running.
    """
    deploy.guards.refuse_outage(environment, allowed=allow_outage)
    console.prompts.confirm(f"Delete the gateway {environment.run_name} with its records and alarms?", yes=yes)
    with console.terminal.watching(f"gateway {environment.run_name}") as notify:
        deploy.gateways.destroy(deploy.api.Api(environment).patient(notify), environment, notify)


@command
def dns_update(environment: Environment, dry_run: bool = False, adopt: bool = False) -> None:
    """Update the DNS records to the gateway's running replicas."""
    with console.terminal.watching(f"record {environment.host}") as notify:
        deploy.gateways.publish(deploy.api.Api(environment), environment, notify, dry_run=dry_run, adopt=adopt)


@command
def dns_show(environment: Environment, json: bool = False) -> None:
    """Show the service's DNS records in the hosted zone."""
    found = [asdict(record) for record in sorted(deploy.route53.zone_of(environment).read())]
    deploy.views.records(environment.host, found, json=json)


@command
def dns_delete(environment: Environment, yes: bool = False, allow_outage: bool = False) -> None:
    """Delete the service's DNS records."""
    deploy.guards.refuse_outage(environment, allowed=allow_outage)
    console.prompts.confirm(f"Delete the records of {environment.host}?", yes=yes)
    with console.terminal.watching(f"record {environment.host}") as notify:
        api = deploy.api.Api(environment).patient(notify)
        records = deploy.existing.resources_of(api, environment, notify, "records")
        deploy.removal.remove(api, environment, records, notify)


@command
def alarms_apply(environment: Environment, dry_run: bool = False) -> None:
    """Bring the alarms to what the gateway's instances need."""
    with console.terminal.watching(f"alarms of {environment.run_name}") as notify:
        deploy.cloudwatch.publish(deploy.api.Api(environment), environment, notify, dry_run=dry_run)


@command
def alarms_show(environment: Environment, json: bool = False) -> None:
    """Show the alarms of the gateway's instances with their states."""
    deploy.views.alarms(environment.run_name, deploy.cloudwatch.store_of(environment).shown(), json=json)


@command
def alarms_delete(environment: Environment, yes: bool = False) -> None:
    """Delete the alarms of the gateway's instances."""
    console.prompts.confirm(f"Delete the alarms of {environment.run_name}?", yes=yes)
    with console.terminal.watching(f"alarms of {environment.run_name}") as notify:
        api = deploy.api.Api(environment).patient(notify)
        alarms = deploy.existing.resources_of(api, environment, notify, "alarms")
        deploy.removal.remove(api, environment, alarms, notify)
