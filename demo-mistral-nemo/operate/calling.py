"""How a person calls the service: variables for a shell, and a request to paste.

A token is never an argument of a program, where every user of the machine could read it, and is never shown on a
terminal.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import chain
from json import dumps
from pathlib import Path

from rich.markup import escape

from console.errors import ExitCode, Failure
from console.terminal import progress
from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.answers import Run
from deploy.environments import Environment
from operate.dstack_cli import variables_of
from operate.endpoint import Answer
from operate.kind import model_kind
from operate.status import deployed

SECRETS = ("DSTACK_TOKEN", "OPENAI_API_KEY")


@dataclass(frozen=True)
class Example:
    """A small request to this kind of model.

    `flags`: of curl, for what it does with the answer. With a `recording`, `body` is sent as a form that has this file.
    """

    path: str
    body: Document
    flags: tuple[str, ...] = ()
    recording: Path | None = None

    @property
    def sent(self) -> tuple[str, ...]:
        """The words of curl for what is sent."""
        if not self.recording:
            return ("--header", "Content-Type: application/json", "--data", dumps(self.body))
        fields = {"file": f"@{self.recording}", **self.body}
        return tuple(chain.from_iterable(("--form", f"{name}={value}") for name, value in fields.items()))


def variables(environment: Environment, run: Run | None) -> dict[str, str]:
    """Return the variables for dstack's command line and, when the service is deployed, for callers.

    Fails with SETTINGS_INVALID without a token. The names for callers are those that the package openai reads.
    """
    if not environment.token:
        raise Failure(ExitCode.SETTINGS_INVALID, "DSTACK_TOKEN is not set", "write it into .env, or export it")
    found = variables_of(environment)
    if run is None or not run.active or run.url is None:
        return found
    return {**found, "OPENAI_BASE_URL": deployed(environment, run)[1], "OPENAI_API_KEY": environment.token}


def run_if_known(api: Api, environment: Environment) -> Run | None:
    """Return the service's run, None without one. When the server can't be asked, say so and return None."""
    try:
        return api.run(environment.run_name)
    except Failure as failure:
        progress.print(f"[yellow]warning:[/] {escape(failure.problem)}; so OPENAI_BASE_URL is not set")
        return None


def exports(values: Mapping[str, str]) -> list[str]:
    """Return lines that a POSIX shell evaluates."""
    return [f"export {name}={shlex.quote(value)}" for name, value in values.items()]


def shown(values: Mapping[str, str]) -> list[str]:
    """Return lines for a terminal: values, but for secrets only that they are set."""
    return [f"{name}: set, and not shown here" if name in SECRETS else f"{name}={values[name]}" for name in values]


def evaluation(environment_name: str) -> str:
    """Return the command that sets the variables in a shell."""
    return f'eval "$(inv env --env {environment_name})"'


def request(answer: Answer) -> str:
    """Return a command for a shell with the variables. It asks the model for what its kind of model answers.

    `printf` is a part of the shell, so the token is in no program's arguments. curl reads the header from its input.
    """
    example: Example = import_module(f"operate.{model_kind()}").example(answer.model)
    header = """printf 'Authorization: Bearer %s\\n' "$OPENAI_API_KEY" """.strip()
    words = (*example.flags, f"{answer.url}/{example.path}", "--header", "@-", *example.sent)
    curl = shlex.join(["curl", "--silent", "--show-error", *words])
    return f"{header} | {curl}"
