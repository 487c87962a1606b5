"""Makes a task of `inv` from a function over an environment: its flags, their help, and how it ends."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from typing import Any, TypeAlias

from invoke.context import Context
from invoke.tasks import Task, task

from console import invocation, remedies
from console.ending import ending

HELP = {
    "env": "environment to work on, a file of environments/ (default: dev)",
    "json": "print JSON instead of tables",
    "watch_gateway": "let the workflow recover look after the environment's gateway",
    "yes": "do not ask for confirmation",
    "dry_run": "show what would happen, change nothing",
    "allow_removal": "also remove what the files of a protected environment no longer name",
    "allow_recreation": "also when callers get no answer while the gateway is replaced",
    "allow_restart": "also when a protected service is interrupted",
    "allow_outage": "also when the environment is protected",
    "allow_dirty": "also deploy uncommitted changes to a protected environment",
    "to": "number of `inv history`, a commit, or previous (default: previous, the last one that was ready)",
    "only_service": "fleet and service, but not gateway and records",
    "adopt": "take over records that have another owner, or none",
    "detailed_exitcode": "exit with 10 when there are changes, 11 when they interrupt the service",
    "at_once": "number of concurrent requests to compare prices for (default: one's share of a full machine)",
    "name": "name of the secret, as in ${{ secrets.NAME }}",
    "replica": "number of the replica (default: all, and the container that wrote last)",
    "lines": "number of lines of each replica, at most 1,000 (default: 200)",
    "follow": "go on with new lines as they come, until Ctrl-C",
    "since": "only lines of the last so many seconds, minutes, hours or days: 30s, 10m, 2h, 1d",
    "watch": "show it again every 10 seconds, until Ctrl-C",
    "config": "another model: a config.json, its folder, or an id on Hugging Face (with HF_TOKEN)",
    "gpu_memory": "memory of one GPU in GiB, as torch shows it (default: the GPUs on offer)",
    "utilization": "vLLM's --gpu-memory-utilization (default: the service's, else 0.92)",
    "tp": "vLLM's --tensor-parallel-size",
    "max_model_len": "vLLM's --max-model-len, e.g. 32K or auto",
    "max_num_seqs": "vLLM's --max-num-seqs",
    "max_num_batched_tokens": "vLLM's --max-num-batched-tokens",
    "kv_cache_dtype": "vLLM's --kv-cache-dtype: auto or fp8",
    "flags": "other flags of `vllm serve`, as they are typed: '--language-model-only --block-size 32'",
    "weights": "size of the checkpoint in GiB (default: from its index of safetensors)",
    "concurrency": "number of concurrent requests",
    "requests": "number of requests that are measured, after a warm-up",
    "input_tokens": "about so many tokens in each prompt, text or document (default: 512, documents 128, pictures 32)",
    "output_tokens": "length of each answer in tokens, for chats only (default: 128)",
    "vpc": "id of the VPC of the callers (default: the file's, else asked)",
    "server_cidr": "addresses of the dstack server, with commas between (default: the VPC's)",
    "caller_cidr": "addresses of the callers, with commas between (default: the VPC's)",
    "repository": "GitHub repository as its jobs' subject names it, ORG@ID/REPO@ID (default: asked)",
    "print": "do nothing, but print what would be used: commands for somebody with more rights, or an address",
    "folder": "folder for report.json, report.svg and AIPerf's own files",
    "reviewers": "users and teams who approve deploys, such as alice,acme/platform; or none",
    "runner": "labels of the runner that reaches the endpoint, such as self-hosted,vpc; or ubuntu-24.04",
    "main": "let a push to main deploy this environment",
    "server_url": "address of the dstack server as the runners reach it (default: the environment's)",
    "deploy_role": "ARN of the role in AWS for the jobs that deploy",
    "plan_role": "ARN of the role in AWS for the jobs that plan",
}
LETTERS = {"env": "e", "dry_run": "d", "json": "j", "yes": "y"}  # the same in every task; other flags have no letter


Command: TypeAlias = Callable[[Callable[..., None]], Task[Callable[..., None]]]


class _Task(Task[Callable[..., None]]):
    """A task whose short flags are those of LETTERS. invoke would choose others in each task."""

    def arg_opts(self, name: str, default: str, taken_names: set[str]) -> dict[str, Any]:
        """Return what invoke makes a flag from."""
        options = super().arg_opts(name, default, taken_names)
        if letter := LETTERS.get(name):
            options["names"].append(letter)
        return options


def command_with(load: Callable[[str], Any], *, private: bool = False) -> Command:
    """Return a decorator that makes a task from a function, whose first argument is what `load` returns for `--env`.

    `private`: the output has secrets, so it is not copied to the page of a GitHub workflow.
    """
    return lambda body: _task(body, load, private=private)


def _task(body: Callable[..., None], load: Callable[[str], Any], *, private: bool) -> Task[Callable[..., None]]:
    """Return a task that ends with one line and an exit code of its own."""
    flags = list(signature(body).parameters.values())[1:]
    has_dry_run = any(flag.name == "dry_run" for flag in flags)

    @wraps(body)
    def guarded(c: Context, *, env: str, **given: Any) -> None:
        with ending(copied=not private and not given.get("json", False), debug=invocation.wants_debugging()):
            invocation.refuse_core_flags(c.config, body.__name__, has_dry_run=has_dry_run)
            values = {flag.name: invocation.convert(flag, given[flag.name]) for flag in flags}
            name = invocation.environment_name(env)
            with remedies.about(name):
                body(load(name), **values)

    # invoke reads the flags from the signature: it must see --env where `body` takes the environment
    context = Parameter("c", Parameter.POSITIONAL_ONLY)
    env = Parameter("env", Parameter.KEYWORD_ONLY, default=remedies.DEFAULT)
    vars(guarded)["__signature__"] = Signature([context, *map(invocation.as_text, flags), env])
    texts = {flag.name: HELP[flag.name] for flag in (*flags, env)}
    described: Task[Callable[..., None]] = task(klass=_Task, auto_shortflags=False, help=texts)(guarded)
    return described
