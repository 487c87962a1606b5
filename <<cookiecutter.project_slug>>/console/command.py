"""How a function over an environment becomes a task of `inv`: its flags, their help, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, TypeAlias

from invoke.context import Context
from invoke.tasks import Task, task

from console import invocation
from console.ending import ending

HELP = {
    "env": "environment to work on: a file of environments/ (default: dev)",
    "json": "print JSON instead of tables",
    "yes": "do not ask",
    "dry_run": "show what would happen, change nothing",
    "allow_removal": "remove from a protected environment what its files do not name any more",
    "adopt": "take over a record that has another owner, or none",
    "allow_recreation": "go on even if that deletes the gateway and makes a new one",
    "allow_restart": "go on even if that interrupts a protected service",
    "detailed_exitcode": "exit with 10 when there are changes, 11 when they interrupt the service",
    "at_once": "sort by what so many concurrent requests cost (default: one's share of a full machine)",
    "name": "name of the secret, as in ${{ secrets.NAME }}",
    "replica": "number of the replica (default: any)",
    "lines": "how many, 1,000 at most; `dstack attach --logs` follows",
    "allow_outage": "go on although the environment is protected",
    "config": "a config.json, its folder, or an id on Hugging Face (HF_TOKEN); vLLM's own defaults then hold",
    "gpu_memory": "GiB of one GPU, as torch sees it (default: the GPUs on offer for this service)",
    "utilization": "as vLLM's --gpu-memory-utilization (default: what this service has, else 0.92)",
    "tp": "as vLLM's --tensor-parallel-size",
    "max_model_len": "as vLLM's, e.g. 32K or auto",
    "max_num_seqs": "as vLLM's",
    "max_num_batched_tokens": "as vLLM's",
    "kv_cache_dtype": "as vLLM's: auto or fp8",
    "weights": "GiB of the checkpoint (default: from its safetensors index, else counted)",
    "concurrency": "requests that are under way at any time",
    "requests": "how many to send, after as many as --concurrency to warm up",
    "input_tokens": "tokens of a prompt, about (default: 512 of a chat, 32 for a picture)",
    "output_tokens": "tokens of an answer, of chats alone (default: 128)",
    "folder": "where to leave report.json, report.svg and AIPerf's own files",
}


Command: TypeAlias = Callable[[Callable[..., None]], Task[Callable[..., None]]]


def command_with(load: Callable[[str], Any]) -> Command:
    """Return a decorator that makes a task from a function; its first argument is what `load` returns for `--env`."""
    return lambda body: _task(body, load)


def _task(body: Callable[..., None], load: Callable[[str], Any]) -> Task[Callable[..., None]]:
    """Make a task that ends with one line and an exit code of its own."""
    flags = list(signature(body).parameters.values())[1:]
    has_dry_run = any(flag.name == "dry_run" for flag in flags)

    @wraps(body)
    def guarded(c: Context, *, env: str, **given: Any) -> None:
        with ending(json=given.get("json", False)):
            invocation.refuse_core_flags(c.config, body.__name__, has_dry_run=has_dry_run)
            values = {flag.name: invocation.convert(flag, given[flag.name]) for flag in flags}
            body(load(invocation.environment_name(env)), **values)

    # invoke reads its flags from the signature: it shall see --env where `body` takes the environment
    context, env = Parameter("c", Parameter.POSITIONAL_ONLY), Parameter("env", Parameter.KEYWORD_ONLY, default="dev")
    vars(guarded)["__signature__"] = Signature([context, *map(invocation.as_text, flags), env])
    described: Task[Callable[..., None]] = task(help={flag.name: HELP[flag.name] for flag in (*flags, env)})(guarded)
    return described
