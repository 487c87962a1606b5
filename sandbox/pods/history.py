"""What a pod's runner has to tell the dstack server: job states and logs, on one strictly increasing clock."""

from __future__ import annotations

import base64
import time
from typing import Any


class History:
    """Grows until the pod dies; the server asks for what is newer than a moment (Unix time in ms)."""

    def __init__(self) -> None:
        self.finished = False  # no more states or logs will follow
        self.output: list[bytes] = []  # the job's, for who attaches to it
        self._latest = 0
        self._states: list[dict[str, Any]] = []
        self._job_logs: list[dict[str, Any]] = []
        self._runner_logs: list[dict[str, Any]] = []

    def add_state(self, state: str, **details: str | int | None) -> None:
        """`details` are the optional fields of dstack's JobStateEvent."""
        self._states.append({"timestamp": self._next(), "state": state, **details})
        self.add_note(f"Job state changed new={state}")

    def add_output(self, output: bytes) -> None:
        """Of the job, as it wrote it."""
        self.output.append(output)
        self._job_logs.append(self._log_event(output))

    def add_note(self, note: str) -> None:
        """Of the runner itself, which `dstack logs --diagnose` shows."""
        moment = time.strftime("%Y-%m-%dT%H:%M:%S%z")
        self._runner_logs.append(self._log_event(f"time={moment} level=info msg={note}\n".encode()))

    def since(self, timestamp: int) -> dict[str, Any]:
        """The answer to /api/pull: dstack's PullResponse."""
        return {
            "job_states": _after(self._states, timestamp),
            "job_logs": _after(self._job_logs, timestamp),
            "runner_logs": _after(self._runner_logs, timestamp),
            "last_updated": self._latest,
            "no_connections_secs": 0,
            "has_more": not self.finished,
        }

    def _log_event(self, message: bytes) -> dict[str, Any]:
        return {"timestamp": self._next(), "message": base64.b64encode(message).decode()}

    def _next(self) -> int:
        # Strictly: the server asks for what is later than the last moment it saw, and would miss a second event in it.
        self._latest = max(self._latest + 1, time.time_ns() // 1_000_000)
        return self._latest


def _after(events: list[dict[str, Any]], timestamp: int) -> list[dict[str, Any]]:
    return [event for event in events if event["timestamp"] > timestamp]
