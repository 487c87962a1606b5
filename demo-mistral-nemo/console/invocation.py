"""Checks what was typed after `inv`: invoke's own flags, numbers, the environment's name."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any

from invoke.config import Config
from invoke.exceptions import Exit

from console.errors import ExitCode, Failure

# invoke's own flags that promise another outcome. They have an effect on shell commands that a task runs through
# invoke, and no task here runs any. So each of them is refused, wherever it comes from. Flags about the output
# (--echo, --pty, --debug) and flags that choose or list tasks (--list, --search-root, --no-dedupe) are taken.
CORE_FLAGS = {  # by key in invoke's configuration
    "run.dry": ("--dry", "-R"),
    "run.warn": ("--warn-only", "-w"),
    "run.hide": ("--hide",),
    "timeouts.command": ("--command-timeout", "-T"),
}
PREVIEWS = {  # what to type instead of a dry run, for tasks that change something and have no --dry-run
    "gateway.deploy": "inv plan shows what would change",
    "gateway.destroy": "inv gateway.status shows what would be deleted",
    "dns.delete": "inv dns.show shows what would be deleted",
    "secrets.set": "inv secrets.list shows what exists",
}
NAMES = {"deploy_all": "deploy", "variables": "env"}  # of tasks whose function has another name
LEAST = {"replica": 0, "at_once": 1, "lines": 1, "concurrency": 1, "requests": 1, "input_tokens": 1, "output_tokens": 1}
MOST = {"lines": 1000}  # dstack's limit


def refuse_core_flags(configuration: Config, function: str, *, has_dry_run: bool) -> None:
    """Fail with SETTINGS_INVALID for a flag of invoke that would promise what no task here does."""
    task = task_name(function)
    for key, names in CORE_FLAGS.items():
        section, name = key.split(".")
        value = configuration[section].get(name)
        if value in (None, False, 0, "", "0"):
            continue
        variable = f"INVOKE_{section}_{name}".upper()
        typed = _is_typed(names, sys.argv)
        subject = names[0] if typed else f"{key}, from {variable} or a configuration file of invoke,"
        if key == "run.dry":
            remedy = f"write --dry-run: inv {task} --dry-run" if has_dry_run else PREVIEWS.get(task, "leave it out")
            remedy += "" if typed else f", and set {variable}=0"
        else:
            remedy = "leave it out" if typed else f"set {variable}=0"
        raise Failure(ExitCode.SETTINGS_INVALID, f"{subject} is invoke's own and has no effect here", remedy)


def wants_debugging() -> bool:
    """Return whether invoke's --debug was typed, in front of the task or behind it.

    In front of the task, it turns on the log of every package, and those of HTTP clients show tokens. So the log of
    all packages but invoke is turned off again.
    """
    log = logging.getLogger("invoke")
    if not log.isEnabledFor(logging.DEBUG):
        return "--debug" in sys.argv
    log.setLevel(logging.DEBUG)
    logging.getLogger().setLevel(logging.WARNING)
    return True


def task_name(function: str) -> str:
    """Return the name of a task as it is typed, from the name of its function."""
    return NAMES.get(function) or function.replace("_", ".", 1)


def as_text(flag: Parameter) -> Parameter:
    """Return a flag for a number as one for text: invoke answers text that is no number with a traceback."""
    return flag.replace(default=str(flag.default), annotation="str") if _is_number(flag) else flag


def convert(flag: Parameter, given: Any) -> Any:
    """Return the value of a flag. Fails with SETTINGS_INVALID for text that is no number, or a number out of range."""
    if not _is_number(flag) or given == str(flag.default):
        return given if not _is_number(flag) else flag.default
    name, least, most = f"--{flag.name.replace('_', '-')}", LEAST.get(flag.name, 0), MOST.get(flag.name)
    limits = f"from {least} to {most:,}" if most else f"of at least {least}"
    try:
        number = int(given)
    except ValueError:
        number = least - 1
    if number < least or (most and number > most):
        raise Failure(ExitCode.SETTINGS_INVALID, f"{name} can't be {given!r}", f"write a whole number {limits}")
    return number


def environment_name(given: str) -> str:
    """Return the environment's name. Fails with SETTINGS_INVALID for the name of its file."""
    stem = Path(given).name.removesuffix(".yml").removesuffix(".yaml")
    if stem != given and stem:
        problem = f"--env takes the name of an environment, not the file {given}"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, f"did you mean --env {stem}?")
    return given


def refuse_misplaced_environment() -> None:
    """End with SETTINGS_INVALID for `inv plan prod`, which invoke would take for two tasks."""
    program = Path(sys.argv[0])
    if program.stem not in ("inv", "invoke") and program.parent.name != "invoke":
        return
    known = [path.stem for path in (Path(__file__).parents[1] / "environments").glob("*.yml")]
    if meant := misplaced(sys.argv[1:], known):
        raise Exit(f"error: --env and the environment belong behind the task; type {meant}", ExitCode.SETTINGS_INVALID)


def misplaced(words: Sequence[str], known: Sequence[str]) -> str:
    """Return what to type when an environment stands before the task, or behind it without --env; else ""."""
    match list(words):
        case ["-e" | "--env", name, task, *rest] if name in known:
            return " ".join(["inv", task, "--env", name, *rest])
        case [task, name, *rest] if name in known and not task.startswith("-") and task != "secrets.set":
            return " ".join(["inv", task, "--env", name, *rest])
    return ""


def _is_number(flag: Parameter) -> bool:
    return type(flag.default) is int


def _is_typed(names: Sequence[str], words: Sequence[str]) -> bool:
    """Return whether one of these flags was typed, also as `--hide=both`, or among short ones as in `-eR`."""
    short = {name[1] for name in names if len(name) == 2}
    for word in words:
        if word.partition("=")[0] in names:
            return True
        if word.startswith("-") and not word.startswith("--") and short & set(word):
            return True
    return False
