"""What an alarm does when its state changes, and the log of it: one JSON object a line for each action."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.errors import SandboxError

NOTIFICATIONS_FILE = "notifications.jsonl"
_EC2 = re.compile(r"arn:aws:automate:(?P<region>[\w-]+):ec2:(?P<name>\w+)")
_TOPIC = re.compile(r"arn:aws:sns:(?P<region>[\w-]+):\d{12}:[\w-]+(\.fifo)?")
_RECOVER = "recover"
_RECOVERED_METRIC = "StatusCheckFailed_System"


@dataclass(frozen=True)
class Notification:
    """One action of an alarm. `outcome` is "done", or why it could not be done."""

    time: float  # seconds since the epoch
    alarm: str
    state: str  # that the alarm has now
    before: str  # the state that it had
    reason: str
    action: str  # ARN of what EC2 does, or of the topic that is told
    outcome: str


class AlarmActions:
    """Performs the actions of alarms. `ec2`: by name, what EC2 does to an instance; `topic_exists`: asks SNS."""

    def __init__(
        self, file: Path, ec2: Mapping[str, Callable[[str], None]], topic_exists: Callable[[str], bool]
    ) -> None:
        self._file = file
        self._ec2 = ec2
        self._topic_exists = topic_exists
        self._lock = threading.Lock()

    def refusal(self, action: str, region: str, metric: str) -> str | None:
        """Return why an alarm can't have this action; None when it can."""
        found = _EC2.fullmatch(action) or _TOPIC.fullmatch(action)
        if found is None:
            return f"Invalid arn syntax: {action}"
        if found["region"] != region:
            return f"Invalid region {found['region']} specified. Only {region} is supported."
        name = found.groupdict().get("name")
        if name == _RECOVER and metric != _RECOVERED_METRIC:
            return f"The recover action is allowed for {_RECOVERED_METRIC} only"
        return f"the sandbox does not emulate the action {action}" if name and name not in self._ec2 else None

    def perform(self, action: str, alarm: str, instance: str, state: str, before: str, reason: str) -> None:
        """Do it, and write it down."""
        try:
            self._do(action, instance)
            outcome = "done"
        except SandboxError as error:
            outcome = str(error)
        done = Notification(time.time(), alarm, state, before, reason, action, outcome)
        with self._lock, self._file.open("a") as stream:
            stream.write(json.dumps(asdict(done)) + "\n")

    def _do(self, action: str, instance: str) -> None:
        """Let EC2 act on the instance, or find the topic. Raises SandboxError when that is not possible."""
        if found := _EC2.fullmatch(action):
            self._ec2[found["name"]](instance)
        elif not self._topic_exists(action):
            raise SandboxError(f"there is no topic {action}")


def read(file: Path) -> list[Notification]:
    """Return what the log has, oldest first. A line that is still being written is left out."""
    lines = file.read_text().splitlines(keepends=True) if file.exists() else []
    return [Notification(**json.loads(line)) for line in lines if line.endswith("\n")]
