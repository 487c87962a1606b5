"""How a task ends: with one line on standard error and an exit code, however it came to its end."""

from __future__ import annotations

import errno
import signal
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

from invoke.exceptions import Exit

from console.errors import ExitCode, Failure, Terminated

OURS = ("capacity", "console", "deploy", "operate", "tasks")


@contextmanager
def ending(*, json: bool) -> Iterator[None]:
    """Run a task's body; raise invoke's Exit with the code of what ended it."""
    with _terminated_by_sigterm(), _said():
        from console import terminal  # rich: may be missing, and takes longer to import than `inv --list` takes

        terminal.print_anything()
        with terminal.on_the_runs_page(json=json), _said():  # what ended it is on the page, too
            yield


@contextmanager
def _said() -> Iterator[None]:
    """Say what ends the block, once."""
    try:
        yield
    except (Exit, SystemExit):
        raise
    except BaseException as error:
        raise Exit(code=_say_why(error)) from None


def _say_why(error: BaseException) -> int:
    """Say what `error` means; its exit code."""
    if isinstance(error, Failure):
        from console import views  # rich takes longer to import than `inv --list` takes

        views.failure(error)
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return _interrupted(error)
    if isinstance(error, ImportError) and (error.name or "deploy").partition(".")[0] not in OURS:
        why = f"the Python that runs inv, {sys.executable}, lacks a package of requirements.txt ({error})"
        _say(f"error: {why}; activate the environment that has them: . .venv/bin/activate")
        return ExitCode.SETTINGS_INVALID
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _say(f"error: what there is to show or to keep can't be written: {error.strerror}")
        return 1
    traceback.print_exception(error)
    _say(f"error: {type(error).__name__}, a fault in this repository's tasks: report the lines above")
    _say("`inv status` shows what runs and is billed")
    return 1


@contextmanager
def _terminated_by_sigterm() -> Iterator[None]:
    """Inside the block, SIGTERM raises Terminated."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _interrupted(interrupt: KeyboardInterrupt) -> ExitCode:
    """Say that it was interrupted, and the notes of `interrupt`; from here on another signal ends Python at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _say("interrupted; nothing was rolled back, running it again continues")
    for note in getattr(interrupt, "__notes__", ()):
        _say(note)
    return ExitCode.TERMINATED if isinstance(interrupt, Terminated) else ExitCode.INTERRUPTED


def _say(line: str) -> None:
    if sys.stderr:
        with suppress(OSError):  # nobody reads it any more
            print(line, file=sys.stderr, flush=True)
