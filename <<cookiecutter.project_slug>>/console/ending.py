"""Ends a task with an exit code and one line on standard error, whatever ended it."""

from __future__ import annotations

import errno
import signal
import sys
import tomllib
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn

from invoke.exceptions import Exit

from console.errors import ExitCode, Failure, Terminated

ROOT = Path(__file__).parents[1]
OURS = ("account", "capacity", "commands", "console", "deploy", "operate", "tasks")  # this repository's packages


@contextmanager
def ending(*, copied: bool, debug: bool = False) -> Iterator[None]:
    """Run a task's body. Raise invoke's Exit with the exit code of whatever ended it.

    `copied`: in a GitHub workflow, the page of the run shows the output too.
    `debug` shows the traceback of an error that no task expects.
    """
    with _sigterm_raises(), _reporting(debug):
        from console import terminal  # rich: may be missing, and takes longer to import than `inv --list` takes

        terminal.print_anything()
        with terminal.on_the_runs_page(copied=copied), _reporting(debug):  # inside, so that the page has the line too
            yield


@contextmanager
def _reporting(debug: bool) -> Iterator[None]:
    """Report what ends the block, once."""
    try:
        yield
    except (Exit, SystemExit):
        raise
    except BaseException as error:
        raise Exit(code=_report(error, debug)) from None


def _report(error: BaseException, debug: bool) -> int:
    """Print what `error` means. Return its exit code."""
    if isinstance(error, Failure):
        from console import views  # rich takes longer to import than `inv --list` takes

        views.failure(error)
        return error.code
    if isinstance(error, KeyboardInterrupt):
        return _report_interrupt(error)
    if isinstance(error, ImportError) and (error.name or "deploy").partition(".")[0] not in OURS:
        problem = f"the Python that runs inv, {sys.executable}, lacks a package of requirements.txt ({error})"
        _print(f"error: {problem}; activate the environment that has them: . .venv/bin/activate")
        return ExitCode.SETTINGS_INVALID
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        _print(f"error: the output can't be written: {error.strerror}")
        return 1
    return _report_fault(error, debug)


def _report_interrupt(interrupt: KeyboardInterrupt) -> ExitCode:
    """Print that it was interrupted, and the notes of `interrupt`. From here on, another signal ends Python at once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    _print("interrupted; nothing was rolled back, running it again continues")
    _print_notes(interrupt)
    return ExitCode.TERMINATED if isinstance(interrupt, Terminated) else ExitCode.INTERRUPTED


def _report_fault(error: BaseException, debug: bool) -> int:
    """Print an error that no task expects, its place and where to report it; with `debug` its traceback."""
    if debug:
        traceback.print_exception(error)
    words = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    detail = "the lines above" if debug else "what `--debug` shows"
    _print(f"error: a fault in this repository's tasks{_place(error)}: {words}; report it with {detail}: {_tracker()}")
    if not debug:  # a traceback has the notes
        _print_notes(error)
    return 1


def _place(error: BaseException) -> str:
    """Return where in this repository the error was raised, such as ` at deploy/plans.py, line 12`."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(ROOT)]
    ours = [frame for frame in frames if Path(frame.filename).relative_to(ROOT).parts[0].removesuffix(".py") in OURS]
    return f" at {Path(ours[-1].filename).relative_to(ROOT)}, line {ours[-1].lineno}" if ours else ""


def _tracker() -> str:
    """Return the address for reports: the template's issues, from pyproject.toml."""
    try:
        settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
        return f"{settings['project']['urls']['Template']}/issues"
    except (OSError, KeyError, TypeError, ValueError):
        return "the template that this repository was made from"


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Raise Terminated for SIGTERM inside the block."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    raise Terminated


def _print_notes(error: BaseException) -> None:
    for note in getattr(error, "__notes__", ()):
        _print(note)


def _print(line: str) -> None:
    if sys.stderr:
        with suppress(OSError):  # the reader is gone
            print(line, file=sys.stderr, flush=True)
