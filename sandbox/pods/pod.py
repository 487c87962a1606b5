"""A pod: one emulated machine of a GPU cloud, as a small tree of processes that dies as a whole.

Outside, in the process that starts it: an SSH server on a free port. Inside, where possible in namespaces of its own:
dstack's runner API on localhost:10999 and the job. dstack needs no more than these two to run a service.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from contextlib import suppress
from pathlib import Path

import psutil

from sandbox.pods import isolation
from sandbox.pods.ports import Door
from sandbox.pods.spec import PodSpec
from sandbox.pods.ssh import SSHListener

__all__ = ["Pod", "PodSpec"]

_LOG = "runner.log"  # what the pod's own process says, for whoever looks for a bug in it


class Pod:
    """A started pod; made by `Pod.start()`."""

    def __init__(self, spec: PodSpec, process: asyncio.subprocess.Process, door: Door, ssh: SSHListener) -> None:
        self.spec = spec
        self.port = ssh.port
        self._process = process
        self._door = door
        self._ssh = ssh
        self._ended = asyncio.create_task(self._close_when_dead())

    @classmethod
    async def start(cls, spec: PodSpec) -> Pod:
        """Start the pod that `spec` describes, and return when SSH answers on (spec.host, pod.port).

        Takes about 0.4 s. Raises ConnectionError when the pod dies immediately, ValueError when a key isn't an OpenSSH
        public key, OSError when `spec.host` isn't an address of this machine.
        """
        spec.folder.mkdir(parents=True, exist_ok=True)
        spec.save()
        control, inner = socket.socketpair()
        door = Door(control)
        with inner:
            process = await _spawn(spec, inner)
        try:
            if not await door.wait_ready():
                raise ConnectionError(f"the pod died while it started; {spec.folder / _LOG} says why")
            ssh = await SSHListener.start(spec.host, spec.authorized_keys, door.connect)
        except BaseException:
            _kill(process)
            await process.wait()
            door.close()
            raise
        return cls(spec, process, door, ssh)

    @property
    def running(self) -> bool:
        """Whether the pod runs: False once it was killed or has exited."""
        return self._process.returncode is None

    async def kill(self) -> None:
        """End the pod as when its host loses power, without a signal that the job could handle.

        Returns when all its processes are gone and connections are refused. Killing it again does nothing.
        """
        _kill(self._process)
        await asyncio.shield(self._ended)

    async def _close_when_dead(self) -> None:
        await self._process.wait()
        self._ssh.close()
        self._door.close()


async def _spawn(spec: PodSpec, control: socket.socket) -> asyncio.subprocess.Process:
    with (spec.folder / _LOG).open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *isolation.command(),
            *(sys.executable, "-m", "sandbox.pods.runner", str(spec.folder), str(control.fileno())),
            pass_fds=(control.fileno(),),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environ(spec),
            start_new_session=True,  # a Ctrl-C in the terminal is for the starter, which ends its pods in order
        )


def _environ(spec: PodSpec) -> dict[str, str]:
    """Little: nothing of the starter's own environment, such as its proxy or its keys, is a pod's to see."""
    folders = (Path(__file__).parent / "bin", Path(sys.executable).parent)
    modules = os.pathsep.join((str(Path(__file__).parents[2]), *filter(None, sys.path)))
    return {
        "PATH": ":".join((*map(str, folders), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")),
        "LANG": "C.UTF-8",
        "HOME": str(spec.folder / "home"),
        "TMPDIR": str(spec.folder / "tmp"),
        "SANDBOX_PYTHON": sys.executable,
        "SANDBOX_PYTHONPATH": modules,
        "PYTHONPATH": modules,
        **spec.engine,
    }


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(process.pid)
        isolation.kill_descendants(root)  # in namespaces: their first process, and with it all the others
        root.kill()
