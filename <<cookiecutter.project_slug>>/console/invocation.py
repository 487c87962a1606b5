"""What was typed after `inv`: invoke's own flags, numbers, the environment's name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from inspect import Parameter
from pathlib import Path
from typing import Any

from invoke.config import Config
from invoke.exceptions import Exit

from console.errors import ExitCode, Failure

# invoke's own flags that promise another outcome. They cover shell commands that a task runs through invoke, and no
# task here runs any: each is refused, wherever it comes from. Flags about looks and prompts (--echo, --pty, --debug,
# --prompt-for-sudo-password) may stay; those that choose or list tasks (--list, --search-root, --no-dedupe) are kept.
CORE_FLAGS = {  # by key in invoke's configuration
    "run.dry": ("--dry", "-R"),
    "run.warn": ("--warn-only", "-w"),
    "run.hide": ("--hide",),
    "timeouts.command": ("--command-timeout", "-T"),
}
PREVIEWS = {  # of tasks that change something and have no --dry-run
    "gateway.deploy": "inv plan shows what would change",
    "gateway.destroy": "inv gateway.status shows what would be deleted",
    "dns.delete": "inv dns.show shows what would be deleted",
    "secrets.set": "inv secrets.list shows what is there",
}
LEAST = {"replica": 0, "at_once": 1, "lines": 1, "concurrency": 1, "requests": 1, "input_tokens": 1, "output_tokens": 1}
MOST = {"lines": 1000}  # dstack's limit


def refuse_core_flags(configuration: Config, function: str, *, has_dry_run: bool) -> None:
    """Fail with SETTINGS_INVALID for a flag of invoke that would promise what no task here keeps."""
    task = task_name(function)
    for key, names in CORE_FLAGS.items():
        section, name = key.split(".")
        value = configuration[section].get(name)
        if value in (None, False, 0, "", "0"):
            continue
        variable = f"INVOKE_{section}_{name}".upper()
        typed = _is_typed(names, sys.argv)
        who = f"{names[0]} is" if typed else f"{key}, from {variable} or a configuration file of invoke, is"
        if key == "run.dry":
            what = f"write --dry-run: inv {task} --dry-run" if has_dry_run else PREVIEWS.get(task, "leave it out")
            what += "" if typed else f", and set {variable}=0"
        else:
            what = "leave it out" if typed else f"set {variable}=0"
        raise Failure(ExitCode.SETTINGS_INVALID, f"{who} invoke's own and covers nothing here; {what}")


def task_name(function: str) -> str:
    """The task as it is typed, from the name of its function."""
    return "deploy" if function == "deploy_all" else function.replace("_", ".", 1)


def as_text(flag: Parameter) -> Parameter:
    """A flag with a number, as text: invoke would answer another text with a traceback."""
    return flag.replace(default=str(flag.default), annotation="str") if _is_number(flag) else flag


def convert(flag: Parameter, given: Any) -> Any:
    """The value of a flag. Fails with SETTINGS_INVALID for no number, or one that makes no sense."""
    if not _is_number(flag) or given == str(flag.default):
        return given if not _is_number(flag) else flag.default
    name, least, most = f"--{flag.name.replace('_', '-')}", LEAST.get(flag.name, 0), MOST.get(flag.name)
    limits = f"from {least} to {most:,}" if most else f"of at least {least}"
    try:
        number = int(given)
    except ValueError:
        number = least - 1
    if number < least or (most and number > most):
        raise Failure(ExitCode.SETTINGS_INVALID, f"{name} {given}: write a whole number {limits}")
    return number


def environment_name(given: str) -> str:
    """The environment's name. Fails with SETTINGS_INVALID for the name of its file."""
    stem = Path(given).name.removesuffix(".yml").removesuffix(".yaml")
    if stem != given and stem:
        raise Failure(ExitCode.SETTINGS_INVALID, f"--env takes a name, not a file: did you mean --env {stem}?")
    return given


def refuse_misplaced_environment() -> None:
    """End with SETTINGS_INVALID for `inv plan prod`; invoke would have no idea what 'prod' is."""
    program = Path(sys.argv[0])
    if program.stem not in ("inv", "invoke") and program.parent.name != "invoke":
        return
    known = [path.stem for path in (Path(__file__).parents[1] / "environments").glob("*.yml")]
    if meant := misplaced(sys.argv[1:], known):
        raise Exit(f"error: an environment goes behind --env, after the task: {meant}", ExitCode.SETTINGS_INVALID)


def misplaced(words: Sequence[str], known: Sequence[str]) -> str:
    """What to type instead, where an environment is named before a task, or after it without --env; else nothing."""
    match list(words):
        case ["-e" | "--env", name, task, *rest] if name in known:
            return " ".join(["inv", task, "--env", name, *rest])
        case [task, name, *rest] if name in known and not task.startswith("-") and task != "secrets.set":
            return " ".join(["inv", task, "--env", name, *rest])
    return ""


def _is_number(flag: Parameter) -> bool:
    return type(flag.default) is int


def _is_typed(names: Sequence[str], words: Sequence[str]) -> bool:
    """Whether one of these flags is on the command line, also as `--hide=both` or among short ones, as `-eR`."""
    short = {name[1] for name in names if len(name) == 2}
    for word in words:
        if word.partition("=")[0] in names:
            return True
        if word.startswith("-") and not word.startswith("--") and short & set(word):
            return True
    return False
