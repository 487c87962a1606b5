"""The world's process as the owner of a sandbox sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from sandbox.errors import SandboxError
from sandbox.world.world_state import WorldSettings

_STOP_SECONDS = 30.0


class WorldProcess:
    """Everything behind a sandbox, in a process of its own that ends with the one that started it."""

    def __init__(self, settings: WorldSettings) -> None:
        self._settings = settings
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return when everything runs: after 5-10 s. Raises SandboxError; stop() is due in that case too."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sandbox.world", json.dumps(asdict(self._settings))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": _modules()},
            start_new_session=True,  # a Ctrl-C in the terminal is its owner's, which ends it in order
        )
        self.hear()

    def hear(self) -> None:
        """Wait for its next word. Raises SandboxError unless it says that it is ready."""
        assert self._process
        assert self._process.stdout
        line = self._process.stdout.readline()
        message = (
            json.loads(line) if line else {"error": "the sandbox's process died; its last words are above, if any"}
        )
        if "error" in message:
            raise SandboxError(message["error"])

    def stop(self) -> None:
        """Tell it to end, and return when it has. A second call does nothing."""
        process, self._process = self._process, None
        if process is None:
            return
        assert process.stdin
        assert process.stdout
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def _modules() -> str:
    """PYTHONPATH for a process that shall find this package where it was found here."""
    return os.pathsep.join(filter(None, (str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH"))))
