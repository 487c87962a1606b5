"""Before a deploy: what it needs, what it would change, what fits and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from invoke.exceptions import Exit

import capacity
import console
import deploy
import operate
from commands.command import command

if TYPE_CHECKING:
    from deploy.environments import Environment


@command
def doctor(environment: Environment, json: bool = False) -> None:
    """Check everything that a deploy needs, and say how to fix what is missing.

    Settings, server, token, clouds, keys, secrets; with a gateway also AWS and GitHub. Changes nothing.
    """
    operate.views.findings(operate.doctor.examine(environment), json=json)


@command
def server(environment: Environment) -> None:
    """Run a dstack server on this machine, until Ctrl-C.

    The clouds' API keys come from .env, the server's state is in .dstack/.
    """
    with console.terminal.watching("dstack server") as notify:
        operate.server.run(environment, notify)


@command
def secrets_set(environment: Environment, name: str) -> None:
    """Store a secret in the dstack project.

    Asks for the value, or reads it from a pipe.
    """
    deploy.api.Api(environment).set_secret(name, console.prompts.ask_secret(name))


@command
def secrets_list(environment: Environment, json: bool = False) -> None:
    """List the names of the service's and the project's secrets."""
    deploy.views.secrets(environment, deploy.api.Api(environment).secret_names(), json=json)


@command
def render(environment: Environment, json: bool = False) -> None:
    """Print the documents that are sent to dstack."""
    deploy.documents.schema.check(environment)
    deploy.views.documents(environment.fleet, environment.gateway, environment.service, json=json)


@command
def plan(environment: Environment, json: bool = False, detailed_exitcode: bool = False) -> None:
    """Show what a deploy would change.

    Shows what happens to running replicas, and the offers that new ones would take. Changes nothing.
    """
    with console.terminal.watching(f"planning {environment.run_name}") as notify:
        planned = deploy.planning.make(deploy.api.Api(environment), environment, notify)
    deploy.views.plan(planned, json=json)
    if detailed_exitcode and planned.exit_code:
        raise Exit(code=planned.exit_code)


@command
def size(
    environment: Environment,
    config: str = "",
    gpu_memory: str = "",
    utilization: str = "",
    tp: str = "",
    max_model_len: str = "",
    max_num_seqs: str = "",
    max_num_batched_tokens: str = "",
    kv_cache_dtype: str = "",
    flags: str = "",
    weights: str = "",
    json: bool = False,
) -> None:
    """Show which GPUs this service, or another model, fits on."""
    overrides = {"utilization": utilization, "tp": tp, "max_model_len": max_model_len, "max_num_seqs": max_num_seqs}
    overrides |= {"max_num_batched_tokens": max_num_batched_tokens, "kv_cache_dtype": kv_cache_dtype}
    overrides |= capacity.flags.written_flags(flags)
    found = operate.sizes.sizes(environment, overrides, config=config, weights=weights, gpu_memory=gpu_memory)
    capacity.views.sizes(found, json=json, single=bool(gpu_memory))


@command
def offers(environment: Environment, at_once: int = 0, json: bool = False) -> None:
    """Show the GPUs on offer, with prices and warnings."""
    found = deploy.offers.current_offers(environment).sorted_for(at_once)
    capacity.views.offers(found, concurrent=at_once, json=json)
