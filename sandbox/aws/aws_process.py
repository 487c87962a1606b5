"""The AWS process as the sandbox's world sees it."""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from sandbox.aws.aws_state import AwsSettings, AwsState
from sandbox.errors import SandboxError
from sandbox.world.processes import die_with_parent

_STOP_SECONDS = 20.0


class AwsProcess:
    """moto, the VPC and its hosts, in a process of their own; `folder` holds all that they leave."""

    def __init__(self, folder: Path, zone: str, project: str, alarm_speed: float) -> None:
        self._settings = AwsSettings(str(folder), zone, project, secrets.token_urlsafe(24), alarm_speed)
        self._process: asyncio.subprocess.Process | None = None
        self._ready = False

    async def start(self) -> AwsState:
        """Return when AWS answers: after some 4 s, or minutes if the hosts' base image has to be built first.

        Raises SandboxError. What is missing for hosts is no error, see AwsState.notice.
        """
        Path(self._settings.folder).mkdir()
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "sandbox.aws", json.dumps(asdict(self._settings))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            preexec_fn=die_with_parent,
        )
        assert self._process.stdout
        line = await self._process.stdout.readline()
        message = json.loads(line) if line else {"error": f"see {self._settings.folder}"}
        if "error" in message:
            raise SandboxError(f"the emulated AWS doesn't start: {message['error']}")
        self._ready = True
        return AwsState(**message)

    async def wait(self) -> str:
        """Return when it has ended, with the words that say so."""
        assert self._process
        code = await self._process.wait()
        return f"the emulated AWS ended with code {code}; see {self._settings.folder}"

    async def stop(self) -> None:
        """End it, and with it all hosts and the VPC's network."""
        if self._process is None or self._process.returncode is not None:
            return
        assert self._process.stdin
        self._process.stdin.close()
        with suppress(TimeoutError):
            await asyncio.wait_for(self._process.wait(), _STOP_SECONDS if self._ready else 0)
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
