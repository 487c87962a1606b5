"""Every day: how the endpoint answers, and how fast."""

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
