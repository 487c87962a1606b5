"""The process behind a sandbox: the emulated hosts, the pods and the dstack server, for as long as its owner lives.

Started by the `Sandbox` class as `python -m sandbox.world SETTINGS`. It says on standard output, in one line of JSON,
that everything is ready or what went wrong, and ends when standard input does: an owner that was killed can't say more.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import secrets
import shutil
import signal
import sys
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import IO, Any

from sandbox.aws.aws_process import AwsProcess
from sandbox.clouds.inventory import Inventory
from sandbox.clouds.listener import CLOUD_OF_HOST, CloudListener
from sandbox.clouds.rentals import Rentals
from sandbox.errors import SandboxError
from sandbox.world.calls import CallLog
from sandbox.world.control import Control
from sandbox.world.dstack_server import PROJECT, DstackServer
from sandbox.world.faults import Faults
from sandbox.world.front import Front
from sandbox.world.processes import check_installed
from sandbox.world.proxy import Proxy
from sandbox.world.world_state import CALLS_FILE, STATE_FILE, WorldSettings, WorldState

_LOCK_FILE = "sandbox.lock"  # held while a sandbox lives, and kept as the mark of a folder that is a sandbox's own


class World:
    """Everything that runs, in the order in which it is started."""

    def __init__(self, settings: WorldSettings) -> None:
        self._folder = folder = Path(settings.folder)
        self._settings = settings
        self._keys = {"runpod": f"rpa_{secrets.token_hex(20)}", "vastai": secrets.token_hex(32)}
        self._token, self._control_token = secrets.token_urlsafe(24), secrets.token_urlsafe(24)
        self._faults = Faults()
        self._log = CallLog(folder / CALLS_FILE)
        self._rentals = Rentals(folder / "pods", self._faults, settings.load_seconds, settings.engine)
        self._listener = CloudListener(Inventory.load(), self._rentals, self._faults, self._log, self._keys)
        self._server = DstackServer(folder, Path(settings.sockets), self._token, self._keys)
        self._control = Control(self._rentals, self._faults, self._server, self._control_token)
        self._front = Front(self._faults, self._log) if settings.front else None
        self._aws: AwsProcess | None = None
        if settings.zone:
            self._aws = AwsProcess(folder / "aws", settings.zone, PROJECT, settings.alarm_speed)
        self._proxy: Proxy | None = None

    async def start(self) -> None:
        """Start all and write the state file. Raises SandboxError."""
        ca_file = self._folder / "ca.pem"
        self._proxy = Proxy(CLOUD_OF_HOST, await self._listener.start(ca_file), self._log)
        cloud_environ = _cloud_environ(await self._proxy.start(), ca_file)
        control_url = await self._control.start()
        aws = await self._aws.start() if self._aws else None
        if aws:
            cloud_environ = aws.added_to(cloud_environ)
            self._rentals.address = aws.pods_address or self._rentals.address
        if self._settings.server:
            await self._server.start(cloud_environ, *([aws.backend] if aws else []))
        WorldState(
            url=await self._front.start(self._server.url) if self._front else self._server.url,
            server_url=self._server.url,
            token=self._token,
            control_url=control_url,
            control_token=self._control_token,
            keys=self._keys,
            cloud_environ=cloud_environ,
            aws=aws,
        ).save(self._folder)

    async def wait(self) -> str:
        """Return when something ended that shouldn't have, with the words that say so."""
        ends: list[asyncio.Future[str]] = [asyncio.Future()]  # one that never comes
        if self._settings.server:
            ends.append(asyncio.create_task(self._server.wait()))
        if self._aws is not None:
            ends.append(asyncio.create_task(self._aws.wait()))
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            for end in ends:
                end.cancel()

    async def stop(self) -> None:
        """End all processes, close all ports and remove what is to be removed."""
        (self._folder / STATE_FILE).unlink(missing_ok=True)
        async with AsyncExitStack() as last_first:  # and all of them, even if one fails
            last_first.callback(self._remove_files)
            last_first.callback(self._log.close)
            last_first.push_async_callback(self._listener.stop)
            if self._proxy is not None:
                last_first.push_async_callback(self._proxy.stop)
            last_first.push_async_callback(self._control.stop)
            if self._aws is not None:
                last_first.push_async_callback(self._aws.stop)
            last_first.push_async_callback(self._rentals.stop)
            last_first.push_async_callback(self._server.stop)
            if self._front is not None:
                last_first.push_async_callback(self._front.stop)

    def _remove_files(self) -> None:
        shutil.rmtree(self._settings.sockets, ignore_errors=True)
        if self._settings.temporary:
            shutil.rmtree(self._folder, ignore_errors=True)


def _cloud_environ(proxy_port: int, ca_file: Path) -> dict[str, str]:
    """The environment in which a process takes the emulated clouds for the real ones.

    Only HTTPS goes through the proxy: dstack speaks plain HTTP to its pods, over Unix sockets.
    """
    return {
        "HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}",
        "NO_PROXY": "127.0.0.1,localhost",
        **dict.fromkeys(("REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "CURL_CA_BUNDLE"), str(ca_file)),
    }


async def live(settings: WorldSettings) -> int:
    """Run a world until it is stopped; return the exit code of the process."""
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(signum, ending.set)
    loop.add_reader(sys.stdin, ending.set)  # the owner never writes: readable means closed
    end = asyncio.create_task(ending.wait())
    world = World(settings)
    try:
        start = asyncio.create_task(world.start())
        await asyncio.wait({start, end}, return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
            await asyncio.gather(start, return_exceptions=True)
            return 0
        start.result()
        _tell(ready=True)
        broken = asyncio.create_task(world.wait())
        await asyncio.wait({broken, end}, return_when=asyncio.FIRST_COMPLETED)
        if broken.done() and not ending.is_set():
            _tell(error=broken.result())
            return 1
        broken.cancel()
        return 0
    except SandboxError as e:
        _tell(error=str(e))
        return 1
    finally:
        loop.remove_reader(sys.stdin)
        await world.stop()


def _tell(**message: Any) -> None:
    with suppress(BrokenPipeError):
        print(json.dumps(message), flush=True)


def claim(folder: Path) -> IO[str]:
    """Empty `folder` and lock it for this sandbox only; return the locked file.

    Raises SandboxError when another sandbox lives in it, or when it holds something that isn't a sandbox's.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock_file = folder / _LOCK_FILE
    others = [entry for entry in folder.iterdir() if entry != lock_file]
    if others and not lock_file.exists():
        raise SandboxError(f"{folder} isn't empty; name a new one, or an earlier sandbox's, whose content is replaced")
    lock = lock_file.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise SandboxError(f"a sandbox already runs in {folder}; stop it, or name another folder") from None
    for entry in others:
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return lock


def main() -> int:
    settings = WorldSettings(**json.loads(sys.argv[1]))
    folder = Path(settings.folder)
    try:
        check_installed()
        lock = claim(folder)
    except (SandboxError, OSError) as e:
        _tell(error=str(e))
        return 1
    logging.basicConfig(filename=folder / "world.log", level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)  # dstack opens a connection for every poll
    os.chdir(folder)  # nothing here or in a pod is about the folder that the owner happens to be in
    with lock:
        return asyncio.run(live(settings))


if __name__ == "__main__":
    sys.exit(main())
