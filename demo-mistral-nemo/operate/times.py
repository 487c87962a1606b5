"""Reads and writes spans of time as people do."""

import re
from datetime import timedelta

from console.errors import ExitCode, Failure

UNITS = {"d": 86400, "h": 3600, "min": 60, "s": 1}  # in seconds, the longest first
LETTERS = {"d": 86400, "h": 3600, "m": 60, "s": 1}


def span(seconds: float) -> str:
    """Return a span in its largest unit, e.g. `4 min`. Two of the next unit are shown before one of a larger one."""
    for unit, length in UNITS.items():
        if seconds >= 2 * length or length == 1:
            return f"{max(int(seconds / length), 0)} {unit}"
    raise AssertionError


def parse_span(text: str, flag: str) -> timedelta:
    """Return the span that `10m`, `2h`, `1d` or `30s` mean. Fails with SETTINGS_INVALID and names the flag."""
    found = re.fullmatch(r"(\d{1,6})([dhms])", text.strip())
    if not found:
        raise Failure(ExitCode.SETTINGS_INVALID, f"{flag} can't be {text!r}", "write e.g. 30s, 10m, 2h or 1d")
    return timedelta(seconds=int(found[1]) * LETTERS[found[2]])
