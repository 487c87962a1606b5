"""Waiting for something that takes its time."""

import time
from collections.abc import Iterator

POLL_SECONDS = 2.0  # between two looks


def poll(seconds: float) -> Iterator[None]:
    """Yield immediately, and again every POLL_SECONDS until `seconds` have passed; never for 0."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(POLL_SECONDS)
