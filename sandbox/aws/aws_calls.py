"""The log of every call that the emulated AWS received: one JSON object a line."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

AWS_CALLS_FILE = "aws-calls.jsonl"
_READ = re.compile(r"(BatchGet|Describe|Get|Head|List|Lookup|AssumeRole|DecodeAuthorizationMessage)")


@dataclass(frozen=True)
class AwsCall:
    """One API call, and what became of it."""

    time: float  # seconds since the epoch, when it was answered
    service: str  # as IAM policies name it: ec2, route53, sts, cloudwatch, elasticloadbalancing, ...
    action: str  # RunInstances, ChangeResourceRecordSets, ...
    parameters: dict[str, Any]  # without user data, tokens and what is the same in all calls
    identity: str  # the role's ARN if the access key is a role's session, else the access key
    status: int  # of HTTP
    write: bool  # whether it asked for a change


def is_write(action: str) -> bool:
    """Whether an action asks for a change; by its name, which AWS chooses consistently."""
    return _READ.match(action) is None


class AwsCallLog:
    """Appends calls to a file that others may read at any time; for many threads."""

    def __init__(self, file: Path) -> None:
        self._stream = file.open("a", buffering=1)
        self._lock = threading.Lock()

    def add(self, call: AwsCall) -> None:
        with self._lock:
            self._stream.write(json.dumps(asdict(call), default=str) + "\n")


def read(file: Path) -> Iterator[AwsCall]:
    """The calls in `file`, oldest first; none when it doesn't exist. A line that is still being written is left out."""
    if file.exists():
        for line in file.read_text().splitlines(keepends=True):
            if line.endswith("\n"):
                yield AwsCall(**json.loads(line))
