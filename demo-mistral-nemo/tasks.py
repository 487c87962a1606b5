"""The tasks of this service: `inv --list` shows them, README.md says when to use which.

A task loads its environment, asks a function of deploy/ for a decision, shows it, and carries it out.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from functools import wraps
from inspect import signature
from typing import Any

from invoke.collection import Collection
from invoke.context import Context
from invoke.exceptions import Exit
from invoke.tasks import Task, task

import deploy

HELP = {
    "env": "environment to work on: a file of environments/ (default: dev)",
    "json": "print JSON instead of tables",
    "yes": "do not ask",
    "dry_run": "show what would happen, change nothing",
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
    """Print the fleet and the service as they are sent to dstack."""
    environment = deploy.environments.load(env)
    deploy.output.documents(environment.fleet, environment.service, json=json)


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
def deploy_service(
    c: Context,
    env: str = "dev",
    yes: bool = False,
    dry_run: bool = False,
    allow_restart: bool = False,
    json: bool = False,
) -> None:
    """Bring fleet and service to what the files say, and wait until the service answers."""
    environment = deploy.environments.load(env)
    api = deploy.api.Api(environment)
    with deploy.output.watching(f"planning {environment.run_name}") as say:
        say(f"secrets: {deploy.doctor.secrets(api, environment)}")
        planned = deploy.plans.make(api, environment, say)
    deploy.output.plan(planned, json=json and dry_run, quiet=json and not dry_run)
    deploy.plans.refuse(planned, allow_restart=allow_restart)
    if dry_run:
        return
    deploy.output.confirm("Deploy this?", yes=yes or not planned.changes)
    with deploy.output.watching(f"deploying {environment.run_name}") as say:
        run = deploy.rollout.deploy(api, planned, say)
        report = deploy.smoke.of(environment, run, patience=deploy.smoke.REGISTRATION_SECONDS)
    deploy.output.deployed(deploy.status.of(environment, run), report, json=json)


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
    """Stop the service, give its machines back, delete its fleet."""
    environment = deploy.environments.load(env)
    api = deploy.api.Api(environment)
    remains = deploy.rollout.remains(api, environment)
    deploy.output.remains(environment.run_name, remains)
    if dry_run or not remains:
        return
    deploy.output.confirm(f"End {environment.run_name} and all requests to it?", yes=yes)
    with deploy.output.watching(f"destroying {environment.run_name}") as say:
        deploy.rollout.destroy(api, environment, say)


namespace = Collection(doctor, server, render, plan, status, logs, smoke, destroy)
namespace.add_task(deploy_service, name="deploy")
namespace.add_collection(Collection("secrets", set=secrets_set, list=secrets_list))
