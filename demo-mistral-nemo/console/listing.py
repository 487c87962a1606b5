"""Shows the tasks in the order of work, for `inv` and `inv --list`. invoke itself would sort them by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.exceptions import Exit

ASKED: tuple[list[str], ...] = ([], ["-l"], ["--list"])  # the words after `inv` that ask for the list
OTHERS = "Other tasks"


def show_if_asked(namespace: Collection, groups: Mapping[str, Sequence[str]]) -> None:
    """Print the list and end with 0 when `inv` or `inv --list` was typed; `inv --list gateway` is left to invoke."""
    program = Path(sys.argv[0])
    if program.stem not in ("inv", "invoke") and program.parent.name != "invoke":
        return
    if sys.argv[1:] in ASKED:
        print("\n".join(listing(namespace, groups)))
        raise Exit(code=0)


def listing(namespace: Collection, groups: Mapping[str, Sequence[str]]) -> list[str]:
    """Return the lines of the list: the tasks of each group under its heading, with their first sentence."""
    tasks: dict[str, Any] = {name: namespace[name] for name in namespace.task_names}
    shown = {heading: [name for name in names if name in tasks] for heading, names in groups.items()}
    listed = {name for names in shown.values() for name in names}
    if others := sorted(tasks.keys() - listed):
        shown[OTHERS] = others
    width = max(map(len, tasks), default=0)
    lines = ["`inv --help TASK` explains a task. `--env NAME` behind a task chooses the environment (default: dev)."]
    for heading, names in shown.items():
        if names:
            lines += ["", f"{heading}:", *(f"  {name:<{width}}  {_sentence(tasks[name])}" for name in names)]
    return lines


def _sentence(task: Any) -> str:
    return (task.__doc__ or "").strip().partition("\n")[0]
