"""The table of docs/faults.md."""

from __future__ import annotations

import re
from pathlib import Path

from tests.faults.faults import FAULTS, Fault
from tests.faults.measuring import Loss

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEAD = "| fault | requests lost | seconds from the first to the last | what heals it |\n|---|---|---|---|\n"
ROW = re.compile(r"^\| (.+?) \| (\d[\d,]*) of (\d[\d,]*) \| ([\d.]+) \| (.+?) \|$", re.MULTILINE)


LEFT = re.compile(r"^Not measured yet:\n\n((?:- .+\n)+)\n*", re.MULTILINE)


def row(fault: Fault, loss: Loss) -> str:
    return f"| {fault.name} | {loss.lost:,} of {loss.requests:,} | {loss.seconds:g} | {fault.healed_by} |\n"


def read(page: str) -> dict[str, str]:
    """Return the rows of a page by the fault's name."""
    return {found[1]: found[0] + "\n" for found in ROW.finditer(page)}


def with_rows(page: str, measured: dict[str, Loss]) -> str:
    """Return the page with the rows of these faults (by the names of their functions); other rows stay."""
    rows = read(page) | {FAULTS[name].name: row(FAULTS[name], loss) for name, loss in measured.items()}
    before, _, rest = page.partition(HEAD)
    after = LEFT.sub("", ROW.sub("", rest)).lstrip("\n")
    ordered = (rows[fault.name] for fault in FAULTS.values() if fault.name in rows)
    left = "".join(f"- {fault.name}\n" for fault in FAULTS.values() if fault.name not in rows)
    missing = f"Not measured yet:\n\n{left}\n" if left else ""
    return f"{before}{HEAD}{''.join(ordered)}\n{missing}{after}"


def not_measured(page: str) -> list[str]:
    """Return the faults that the page says are not measured yet."""
    found = LEFT.search(page)
    return [line.removeprefix("- ") for line in found[1].splitlines()] if found else []
