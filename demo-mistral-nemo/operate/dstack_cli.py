"""The dstack command line, with this environment's server, token and project: `inv dstack -- ps -v`."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from console.errors import ExitCode, Failure
from deploy.environments import Environment


def run(environment: Environment, words: Sequence[str]) -> NoReturn:
    """Replace this process by `dstack` with these words. Its output and exit code are dstack's own.

    Fails with SETTINGS_INVALID when there is nothing to run, no token, or no dstack beside this Python.
    """
    refuse(words, environment.name)
    if not environment.token:
        raise Failure(ExitCode.SETTINGS_INVALID, "DSTACK_TOKEN is not set", "write it into .env, or export it")
    program = Path(sys.executable).with_name("dstack")
    sys.stdout.flush()
    try:
        os.execve(program, ["dstack", *words], {**os.environ, **variables_of(environment)})  # noqa: S606  # no shell
    except OSError as error:
        problem = f"{program} can't be started: {error.strerror}"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "install the packages of requirements.txt") from None


def refuse(words: Sequence[str], environment_name: str) -> None:
    """Fail with SETTINGS_INVALID without a command, and for `apply`, which may restart a service that inv deployed."""
    if not words:
        problem = "`inv dstack` has no command to run"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "write it behind two dashes, e.g. `inv dstack -- ps -v`")
    if words[0] == "apply":
        problem = "`dstack apply` would restart a service that inv deployed"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, f"run `inv deploy --env {environment_name}`")


def variables_of(environment: Environment) -> dict[str, str]:
    """Return the environment variables for dstack's command line. So the token is in no argument."""
    return {
        "DSTACK_SERVER_URL": environment.server_url,
        "DSTACK_TOKEN": environment.token,
        "DSTACK_PROJECT": environment.project,
    }


def words_behind_dashes(words: Sequence[str]) -> list[str]:
    """Return the words behind the first `--` of a command line. invoke does not read them."""
    return list(words[words.index("--") + 1 :]) if "--" in words else []
