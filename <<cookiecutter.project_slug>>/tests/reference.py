"""Makes the tables of docs/reference.md from the code. `PYTHONPATH=. python tests/reference.py` writes them."""

import re

from invoke.parser.argument import Argument

from console.command import HELP
from deploy.environments import ROOT
from tasks import ORDER_OF_WORK, namespace

PAGE = ROOT / "docs" / "reference.md"
FLAGS = {name: namespace[name].get_arguments() for name in namespace.task_names}  # invoke takes their help once


def spelled(flag: Argument) -> str:
    """Return a flag as a person types it, e.g. `--dry-run`."""
    return f"--{str(flag.name).replace('_', '-')}"


def table_of_tasks() -> str:
    """Return the Markdown table of all tasks in the order of work: what their docstrings say, their flags but --env."""
    lines = ["| task | what it does | flags |", "|---|---|---|"]
    for name in (name for names in ORDER_OF_WORK.values() for name in names):
        flags = [flag for flag in FLAGS[name] if flag.name != "env"]
        typed = " ".join([name, *(flag.name.upper() for flag in flags if flag.positional)])
        others = " ".join(f"`{spelled(flag)}`" for flag in flags if not flag.positional)
        described = " ".join((namespace[name].__doc__ or "").split())
        lines.append(f"| `inv {typed}` | {described} | {others} |".replace("|  |", "| |"))
    return "\n".join(lines)


def table_of_flags() -> str:
    """Return the Markdown table of all flags, with their help and their letters."""
    flags = {flag.name: flag for of_task in FLAGS.values() for flag in of_task if not flag.positional}
    lines = ["| flag | what it means |", "|---|---|"]
    for name in sorted(flags):
        letters = "".join(f", `-{letter}`" for letter in flags[name].nicknames)
        lines.append(f"| `{spelled(flags[name])}`{letters} | {HELP[name]} |")
    return "\n".join(lines)


def with_tables(page: str) -> str:
    """Return the page with the tables that the code makes now."""
    for name, table in {"tasks": table_of_tasks(), "flags": table_of_flags()}.items():
        block = re.search(rf"<!-- {name}: .*? -->\n(.*?)<!-- end of {name} -->", page, re.DOTALL)
        if not block:
            raise ValueError(f"{PAGE.name} has no place for the {name}")
        page = f"{page[: block.start(1)]}\n{table}\n\n{page[block.end(1) :]}"
    return page


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
