"""The real dstack server. Only its environment variables make it use the emulated clouds."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import aiohttp
import yaml

from sandbox.errors import SandboxError
from sandbox.world.dstack_database import migrated_database
from sandbox.world.processes import die_with_parent, kill_all_with

PROJECT = "sandbox"  # not dstack's default `main`: nobody deploys here by leaving a project out
_START_SECONDS = 180.0  # 3-8 s on an idle machine; much more when it is busy or compiles dstack's bytecode first
_POLL_SECONDS = 0.1
_LOG_LINES = 15  # how many of the log's last lines an error shows
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX")


class DstackServer:
    """The server process. `folder` holds its database and configuration, its HOME and its log."""

    def __init__(self, folder: Path, sockets: Path, token: str, keys: dict[str, str]) -> None:
        self._folder = folder
        self._sockets = sockets
        self._token = token
        self._backends: list[dict[str, Any]] = [
            {"type": cloud, "creds": {"type": "api_key", "api_key": key}} for cloud, key in keys.items()
        ]
        self._data = folder / "server"
        self._log = folder / "server.log"
        self._process: asyncio.subprocess.Process | None = None
        self._restarting = asyncio.Lock()
        self._cloud_environ: dict[str, str] = {}
        self.url = ""

    async def start(self, cloud_environ: dict[str, str], *more_backends: dict[str, Any]) -> None:
        """Start the server and return when it answers and has its backends. Raises SandboxError with its log's end.

        `more_backends` are configured beside the GPU clouds, as dstack's config.yml has them.
        """
        self._backends += more_backends
        self._cloud_environ = cloud_environ
        _executable()
        for directory in (self._data, self._data / "data", self._folder / "home"):
            directory.mkdir()
        if (database := await migrated_database()) is not None:
            shutil.copy(database, self._data / "data" / "sqlite.db")
        (self._data / "config.yml").write_text(
            yaml.safe_dump({"projects": [{"name": PROJECT, "backends": self._backends}]})
        )
        with _reserve_port() as reserved:
            port = reserved.getsockname()[1]
            self.url = f"http://127.0.0.1:{port}"
            await self._run(port)

    async def restart(self) -> None:
        """Kill the server, and start it again with the same database and port. Returns when it answers.

        Raises SandboxError when it does not start.
        """
        assert self._process is not None
        async with self._restarting:
            await self.stop()
            await self._run(int(self.url.rpartition(":")[2]))

    async def wait(self) -> str:
        """Return when the server has ended and is not being restarted, with the words that say so."""
        while True:
            process = self._process
            assert process is not None
            code = await process.wait()
            async with self._restarting:
                if self._process is process:
                    return f"the dstack server ended with code {code}; its log {self._log} ends:\n{self._log_tail()}"

    async def _run(self, port: int) -> None:
        """Start the process, and return when it answers."""
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(_executable(), "server", "--host", "127.0.0.1", "--port", str(port), "--no"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self._environ(self._cloud_environ),
                preexec_fn=die_with_parent,
            )
        await self._wait_until_ready(self._process)

    async def stop(self) -> None:
        """Kill it: it would take 5 s to say goodbye to pods that end as well. Its `ssh -f` would outlive it."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
                await self._process.wait()
            await asyncio.to_thread(kill_all_with, "DSTACK_SERVER_DIR", str(self._data))

    def _environ(self, cloud_environ: dict[str, str]) -> dict[str, str]:
        """Nothing of the caller's but what a process needs: no cloud's credentials, no other server's address."""
        return {
            **{name: os.environ[name] for name in _INHERITED if name in os.environ},
            "HOME": str(self._folder / "home"),
            "TMPDIR": str(self._sockets),
            "DSTACK_SERVER_DIR": str(self._data),
            "DSTACK_SERVER_ADMIN_TOKEN": self._token,
            "DSTACK_SERVER_LOG_FORMAT": "standard",
            **cloud_environ,
        }

    async def _wait_until_ready(self, process: asyncio.subprocess.Process) -> None:
        ended = asyncio.create_task(process.wait())
        headers = {"Authorization": f"Bearer {self._token}"}
        try:
            async with asyncio.timeout(_START_SECONDS), aiohttp.ClientSession(headers=headers) as session:
                while not ended.done():
                    try:
                        async with session.post(f"{self.url}/api/projects/{PROJECT}/get") as response:
                            response.raise_for_status()
                            return self._check_backends(await response.json())
                    except aiohttp.ClientConnectionError:
                        await asyncio.wait({ended}, timeout=_POLL_SECONDS)
            code = await ended
            raise SandboxError(f"the dstack server ended with code {code}; its log ends:\n{self._log_tail()}")
        except TimeoutError:
            log = self._log_tail()
            raise SandboxError(f"no answer from the dstack server for {_START_SECONDS:g} s:\n{log}") from None
        finally:
            ended.cancel()

    def _check_backends(self, project: dict[str, Any]) -> None:
        configured = {backend["type"] for backend in self._backends}
        if missing := configured - {backend["name"] for backend in project["backends"]}:
            raise SandboxError(f"the dstack server has no backend {', '.join(sorted(missing))}:\n{self._log_tail()}")

    def _log_tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])


def _executable() -> str:
    """Return the path of this environment's dstack."""
    if found := shutil.which("dstack", path=str(Path(sys.executable).parent)):
        return found
    raise SandboxError(f"{sys.executable} has no dstack; run `{sys.executable} -m pip install 'dstack[server]'`")


def _reserve_port() -> socket.socket:
    """A free port that nobody else is given meanwhile: the server binds its own only seconds after it was started.

    Both sockets have SO_REUSEADDR and this one doesn't listen, so the server can bind the port while this one holds it.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    return reserved
