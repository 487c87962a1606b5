"""Every day: what runs, what it writes, how fast it answers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import console
import deploy
import operate
from commands.command import command, command_with_secrets

if TYPE_CHECKING:
    from deploy.environments import Environment


@command
def status(environment: Environment, json: bool = False) -> None:
    """Show the replicas, where they run, and what they cost."""
    run = deploy.api.Api(environment).run(environment.run_name)
    operate.views.status(operate.status.summarize(environment, run), json=json)


@command
def history(environment: Environment, json: bool = False) -> None:
    """Show what was deployed, when and by whom, and what became of it.

    The newest deployment is first, and the last 20 are known.
    """
    api = deploy.api.Api(environment)
    run = api.run(environment.run_name)
    operate.views.history(environment, operate.history.rows(run, api.events(run) if run else []), json=json)


@command
def logs(environment: Environment, replica: int = -1, lines: int = 200) -> None:
    """Show the end of a replica's log.

    Without --replica, it is the newest container that wrote anything, whether it runs or has crashed.
    """
    api = deploy.api.Api(environment)
    run, which = api.run(environment.run_name), None if replica < 0 else replica
    for number, attempt in operate.status.attempts(environment, run, which):
        if written := api.log_tail(environment.run_name, attempt.id, lines):
            return operate.views.logs(number, attempt, written)


@command
def smoke(environment: Environment, json: bool = False) -> None:
    """Send test requests to the endpoint, and show the latencies."""
    run = deploy.api.Api(environment).run(environment.run_name)
    operate.views.smoke(operate.smoke.smoke_test(environment, run), json=json)


@command
def bench(
    environment: Environment,
    concurrency: int = 8,
    requests: int = 100,
    input_tokens: int = 0,
    output_tokens: int = 0,
    folder: str = "bench",
    json: bool = False,
) -> None:
    """Measure latencies, throughput and cost under load.

    Sends real requests to the endpoint. Leaves the results in --folder.
    """
    load = operate.bench.planned_load(concurrency, requests, input_tokens, output_tokens)
    run = deploy.api.Api(environment).run(environment.run_name)
    with console.terminal.watching(f"load on {environment.run_name}") as notify:
        report = operate.bench.measure(environment, run, Path(folder), notify, load)
    operate.bench.save(report, operate.views.bench_picture(report), Path(folder))
    operate.views.bench(report, Path(folder), json=json)


@command_with_secrets
def variables(environment: Environment) -> None:
    """Print the variables for dstack's commands and for callers.

    To set them in a shell: eval "$(inv env)". On a terminal, it shows no secret.
    """
    run = operate.calling.run_if_known(deploy.api.Api(environment), environment)
    operate.views.variables(environment.name, operate.calling.variables(environment, run))


@command
def dstack(environment: Environment) -> None:
    """Run the dstack command line: `inv dstack -- ps -v`.

    It gets this environment's server, token and project.
    """
    operate.dstack_cli.run(environment, operate.dstack_cli.words_behind_dashes(sys.argv))
