"""Waits for something that takes time."""

import time
from collections.abc import Iterator

POLL_SECONDS = 2.0  # between two looks


def poll(seconds: float) -> Iterator[None]:
    """Yield now, and again every POLL_SECONDS until `seconds` have passed. For 0 seconds, yield nothing."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(POLL_SECONDS)
