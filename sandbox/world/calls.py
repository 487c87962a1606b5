"""The log of every call that the emulated hosts received: one JSON object a line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

UNKNOWN = "unknown"  # the "cloud" of a host that isn't emulated: the proxy refused to connect to it


@dataclass(frozen=True)
class Call:
    """One HTTP request, and what became of it."""

    time: float  # seconds since the epoch, when the answer was given
    cloud: (
        str  # runpod, vastai, registry, catalogue, versions, unknown, or dstack: its server's, see Sandbox(front=True)
    )
    method: str
    path: str
    status: int
    write: bool  # whether it asked for a change: a pod created or deleted, a credential stored
    seconds: float  # until the answer was ready
    fault: str | None = None  # the kind of fault that answered instead of the cloud


class CallLog:
    """Appends calls to a file that others may read at any time."""

    def __init__(self, file: Path) -> None:
        self._stream = file.open("a", buffering=1)  # line buffered: a reader never sees half a call for long

    def add(self, call: Call) -> None:
        self._stream.write(json.dumps(asdict(call)) + "\n")

    def close(self) -> None:
        self._stream.close()


def read(file: Path) -> Iterator[Call]:
    """The calls in `file`, oldest first; none when it doesn't exist. A line that is still being written is left out."""
    if file.exists():
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield Call(**json.loads(line))
