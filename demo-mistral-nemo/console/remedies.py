"""Commands in messages: what a person pastes has to act on the environment that the message is about."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from console.errors import Failure

DEFAULT = "dev"  # the environment of a command without --env
WITHOUT = {"server"}  # tasks that are named only for the default environment
COMMAND = re.compile(r"`inv ([a-z][a-z.]*)([^`]*)`")


def for_environment(text: str, name: str) -> str:
    """Return `text` whose commands in backticks act on the environment: `inv plan` becomes `inv plan --env prod`.

    A command that has --env already stays, and so does every command for the default environment.
    """
    return text if name == DEFAULT else COMMAND.sub(lambda found: _with_flag(found, name), text)


@contextmanager
def about(name: str) -> Iterator[None]:
    """Let the commands in the Failure that ends the block act on that environment.

    An error that no task expects gets a note with the command that shows what runs.
    """
    try:
        yield
    except Failure as failure:
        failure.reword(lambda text: for_environment(text, name))
        raise
    except Exception as fault:
        fault.add_note(for_environment("`inv status` shows what runs and is billed", name))
        raise


def _with_flag(found: re.Match[str], name: str) -> str:
    task, words = found.groups()
    if "--env" in words or task in WITHOUT:
        return found[0]
    flags, dashes, others = words.partition(" -- ")
    return f"`inv {task}{flags} --env {name}{dashes}{others}`"
