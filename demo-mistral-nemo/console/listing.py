"""Shows the tasks in the order of work, for `inv` and `inv --list`. invoke itself would sort them by name."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from invoke.collection import Collection
from invoke.exceptions import Exit

ASKED: tuple[list[str], ...] = ([], ["-l"], ["--list"])  # the words after `inv` that ask for the list
OTHERS = "Other tasks"


def show_if_asked(namespace: Collection, groups: Mapping[str, Sequence[str]]) -> None:
    """Print the list and end with 0 when `inv` or `inv --list` was typed; `inv --list gateway` is left to invoke."""
    if _is_inv() and sys.argv[1:] in ASKED:
        print("\n".join(listing(namespace, groups)))
        raise Exit(code=0)


def refuse_unknown_task(namespace: Collection) -> None:
    """End with 1 and the nearest names when the first word after `inv` is no task."""
    word, names = next(iter(sys.argv[1:]), "-"), list(namespace.task_names)
    if not _is_inv() or word.startswith("-") or word in names:
        return
    near = [name for name in names if name.startswith(f"{word}.")] or get_close_matches(word, names, n=2)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    raise Exit(f"error: there is no task {word!r}; {meant}`inv` lists the tasks", code=1)


def _is_inv() -> bool:
    """Return whether a person typed `inv`, or `python -m invoke`."""
    program = Path(sys.argv[0])
    return program.stem in ("inv", "invoke") or program.parent.name == "invoke"


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
