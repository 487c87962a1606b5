"""The tasks of this service: `inv --list` shows them, README.md says when to use which.

A task loads its environment, asks a function of deploy/ for a decision, shows it, and carries it out.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import TYPE_CHECKING, Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task, task

import deploy

if TYPE_CHECKING:
    from deploy.api import Api
    from deploy.environments import Environment
    from deploy.plans import Plan

HELP = {
    "env": "environment to work on: a file of environments/ (default: dev)",
    "json": "print JSON instead of tables",
    "yes": "do not ask",
    "dry_run": "show what would happen, change nothing",
    "adopt": "take over a record that has another owner, or none",
    "allow_recreation": "go on even if that deletes the gateway and makes a new one",
    "allow_restart": "go on even if that interrupts a protected service",
    "detailed_exitcode": "exit with 10 when there are changes, 11 when they interrupt the service",
    "name": "name of the secret, as in ${{ secrets.NAME }}",
    "replica": "number of the replica (default: the newest)",
    "since": "only lines newer than this: 10s, 5m, 1d or an RFC 3339 time",
}


def command(body: Callable[..., None]) -> Task[Callable[..., None]]:
    """A task that ends with one line and the failure's own exit code instead of a traceback."""

    @wraps(body)
    def guarded(*args: Any, **kwargs: Any) -> None:
        try:
            body(*args, **kwargs)
        except deploy.errors.Failure as failure:
            deploy.output.failure(failure)
            raise Exit(code=failure.code) from None
        except KeyboardInterrupt:
            print("interrupted; nothing was taken back, running it again continues", file=sys.stderr)
            raise Exit(code=deploy.errors.ExitCode.INTERRUPTED) from None

    flags = signature(body).parameters
    described: Task[Callable[..., None]] = task(help={flag: HELP[flag] for flag in flags if flag in HELP})(guarded)
    return described


@command
def doctor(c: Context, env: str = "dev", json: bool = False) -> None:
    """Check that server, token, project, clouds and secrets are in place."""
    environment = deploy.environments.load(env)
    found = deploy.output.findings(deploy.doctor.examine(environment), json=json)
    if failure := found[-1].failure:
        raise Exit(code=failure.code)


@command
def server(c: Context, env: str = "dev") -> None:
    """Run a dstack server on this machine, with the clouds' keys from .env, until Ctrl-C."""
    environment = deploy.environments.load(env)
    with deploy.output.watching("dstack server") as say:
        deploy.local_server.run(environment, say)


@command
def secrets_set(c: Context, name: str, env: str = "dev") -> None:
    """Store a secret in the dstack project; asks for its value, or reads it from a pipe."""
    api = deploy.api.Api(deploy.environments.load(env))
    api.set_secret(name, deploy.output.ask_secret(name))


@command
def secrets_list(c: Context, env: str = "dev", json: bool = False) -> None:
    """List the secrets that this service needs and that the project has; names, never values."""
    environment = deploy.environments.load(env)
    deploy.output.secrets(environment.secrets, deploy.api.Api(environment).secret_names(), json=json)


@command
def render(c: Context, env: str = "dev", json: bool = False) -> None:
    """Print fleet, gateway and service as they are sent to dstack."""
    environment = deploy.environments.load(env)
    deploy.output.documents(*environment.documents, json=json)


@command
def plan(c: Context, env: str = "dev", json: bool = False, detailed_exitcode: bool = False) -> None:
    """Show what a deploy would change, what that does to running replicas, and the offers it would take."""
    environment = deploy.environments.load(env)
    with deploy.output.watching(f"planning {environment.run_name}") as say:
        planned = deploy.plans.make(deploy.api.Api(environment), environment, say)
    deploy.output.plan(planned, json=json)
    if detailed_exitcode and planned.exit_code:
        raise Exit(code=planned.exit_code)


@command
def deploy_all(
    c: Context,
    env: str = "dev",
    yes: bool = False,
    dry_run: bool = False,
    allow_restart: bool = False,
    allow_recreation: bool = False,
    json: bool = False,
) -> None:
    """Bring fleet, gateway, records and service to what the files say, and wait until the service answers."""
    environment = deploy.environments.load(env)
    api = deploy.api.Api(environment)
    planned = _agreed(api, environment, yes, dry_run, allow_restart, allow_recreation, json)
    if planned:
        with deploy.output.watching(f"deploying {environment.run_name}") as say:
            deploy.gateways.deploy(api, environment, say, allow_recreation=allow_recreation)
            deploy.dns.publish(api, environment, say)
        _roll_out(api, planned, json)


@command
def service_deploy(
    c: Context,
    env: str = "dev",
    yes: bool = False,
    dry_run: bool = False,
    allow_restart: bool = False,
    json: bool = False,
) -> None:
    """The part of `inv deploy` that is fleet and service: gateway and records stay as they are."""
    environment = deploy.environments.load(env)
    api = deploy.api.Api(environment)
    planned = _agreed(api, environment, yes, dry_run, allow_restart, True, json)
    if planned:
        _roll_out(api, planned, json)


@command
def gateway_deploy(c: Context, env: str = "dev", allow_recreation: bool = False, json: bool = False) -> None:
    """Bring the service's gateway to what the files say, and wait until it runs."""
    environment = deploy.environments.load(env)
    with deploy.output.watching(f"gateway {environment.run_name}") as say:
        gateway = deploy.gateways.deploy(
            deploy.api.Api(environment), environment, say, allow_recreation=allow_recreation
        )
    deploy.output.gateway(environment.run_name, gateway, json=json)


@command
def gateway_status(c: Context, env: str = "dev", json: bool = False) -> None:
    """Show the gateway's replicas and addresses."""
    environment = deploy.environments.load(env)
    gateway = deploy.api.Api(environment).gateway(environment.run_name)
    deploy.output.gateway(environment.run_name, gateway, json=json)


@command
def gateway_destroy(c: Context, env: str = "dev", yes: bool = False) -> None:
    """Delete the gateway: nobody reaches the service by name any more."""
    environment = deploy.environments.load(env)
    deploy.output.confirm(f"Delete the gateway that answers for {environment.host}?", yes=yes)
    with deploy.output.watching(f"gateway {environment.run_name}") as say:
        deploy.gateways.destroy(deploy.api.Api(environment), environment, say)


@command
def dns_update(c: Context, env: str = "dev", dry_run: bool = False, adopt: bool = False) -> None:
    """Point the service's name at its gateway's running replicas."""
    environment = deploy.environments.load(env)
    with deploy.output.watching(f"record {environment.host}") as say:
        deploy.dns.publish(deploy.api.Api(environment), environment, say, dry_run=dry_run, adopt=adopt)


@command
def dns_show(c: Context, env: str = "dev", json: bool = False) -> None:
    """Show the service's records in the hosted zone."""
    environment = deploy.environments.load(env)
    deploy.output.records(environment.host, deploy.dns.Zone(environment).read(), json=json)


@command
def dns_delete(c: Context, env: str = "dev", yes: bool = False) -> None:
    """Delete the service's records: its name resolves to nothing any more."""
    environment = deploy.environments.load(env)
    deploy.output.confirm(f"Delete the records of {environment.host}?", yes=yes)
    with deploy.output.watching(f"record {environment.host}") as say:
        deploy.dns.delete(environment, say)


def _agreed(
    api: Api,
    environment: Environment,
    yes: bool,
    dry_run: bool,
    allow_restart: bool,
    allow_recreation: bool,
    json: bool,
) -> Plan | None:
    """The plan, shown and agreed to; None when it was to be shown alone."""
    with deploy.output.watching(f"planning {environment.run_name}") as say:
        say(f"secrets: {deploy.doctor.secrets(api, environment)}")
        planned = deploy.plans.make(api, environment, say)
    deploy.output.plan(planned, json=json and dry_run, quiet=json and not dry_run)
    deploy.plans.refuse(planned, allow_restart=allow_restart, allow_recreation=allow_recreation)
    if dry_run:
        return None
    deploy.output.confirm("Deploy this?", yes=yes or not planned.changes)
    return planned


def _roll_out(api: Api, planned: Plan, json: bool) -> None:
    """Fleet and service as planned; the last word is the endpoint's."""
    environment = planned.environment
    with deploy.output.watching(f"deploying {environment.run_name}") as say:
        run = deploy.rollout.deploy(api, planned, say)
    deploy.output.status(deploy.status.of(environment, run), json=json)
    report = deploy.smoke.of(environment, run, patience=deploy.smoke.REGISTRATION_SECONDS)
    deploy.output.smoke(report, quiet=json)


@command
def status(c: Context, env: str = "dev", json: bool = False) -> None:
    """Show replicas, probes, where they run and what they cost."""
    environment = deploy.environments.load(env)
    run = deploy.api.Api(environment).run(environment.run_name)
    deploy.output.status(deploy.status.of(environment, run), json=json)


@command
def logs(c: Context, env: str = "dev", replica: int = -1, since: str = "1d") -> None:
    """Show what a replica's container wrote."""
    environment = deploy.environments.load(env)
    run = deploy.api.Api(environment).run(environment.run_name)
    number = deploy.status.newest(run, environment) if replica < 0 else replica
    command = ["dstack", "logs", environment.run_name, "--replica", str(number), "--since", since]
    c.run(shlex.join(command), env=deploy.environments.dstack_variables(environment))


@command
def smoke(c: Context, env: str = "dev", json: bool = False) -> None:
    """Ask the endpoint for its models, a one-token chat and a stream, and show the latencies."""
    environment = deploy.environments.load(env)
    run = deploy.api.Api(environment).run(environment.run_name)
    deploy.output.smoke(deploy.smoke.of(environment, run), json=json)


@command
def destroy(c: Context, env: str = "dev", yes: bool = False, dry_run: bool = False) -> None:
    """Stop the service, give its machines back, delete fleet, records and gateway."""
    environment = deploy.environments.load(env)
    api = deploy.api.Api(environment)
    remains = deploy.rollout.remains(api, environment)
    deploy.output.remains(environment.run_name, remains)
    if dry_run or not remains:
        return
    deploy.output.confirm(f"End {environment.run_name} and all requests to it?", yes=yes)
    with deploy.output.watching(f"destroying {environment.run_name}") as say:
        deploy.rollout.destroy(api, environment, say)
        deploy.dns.delete(environment, say)
        deploy.gateways.destroy(api, environment, say)


namespace = Collection(doctor, server, render, plan, status, logs, smoke, destroy)
namespace.add_task(deploy_all, name="deploy")
namespace.add_collection(Collection("secrets", set=secrets_set, list=secrets_list))
namespace.add_collection(Collection("service", deploy=service_deploy))
namespace.add_collection(Collection("gateway", deploy=gateway_deploy, status=gateway_status, destroy=gateway_destroy))
namespace.add_collection(Collection("dns", update=dns_update, show=dns_show, delete=dns_delete))
