"""Namespaces of a pod: which ones this machine permits, and the end of everything that runs inside.

With namespaces, each pod has a loopback interface, a process tree and a /proc of its own: two pods can use the same
port, and killing the pod's first process kills all of them. Where they are not permitted (in a container without the
right, on a kernel that reserves them), pods share the machine's network and remap their ports (see runner.py).
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import subprocess
import time
from contextlib import suppress
from functools import lru_cache

import psutil

_UNSHARE = ("unshare", "--net", "--pid", "--mount", "--mount-proc", "--fork", "--kill-child=KILL")
_SIOCSIFFLAGS = 0x8914  # netdevice(7)
_IFF_UP = 0x1
_KILL_SECONDS = 0.005  # what the kernel takes to end a process, about


@lru_cache
def command() -> tuple[str, ...]:
    """The command that starts another one in namespaces of its own; empty where namespaces are not permitted.

    Tried once per process: as root first, then as an ordinary user who becomes root of a new user namespace.
    """
    for candidate in (_UNSHARE, (*_UNSHARE, "--map-root-user")):
        try:
            subprocess.run([*candidate, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return candidate
    return ()


def inside() -> bool:
    """Whether this process is the first one of a pod's own namespaces."""
    return os.getpid() == 1


def raise_loopback() -> None:
    """Bring up `lo`, which is down in a new network namespace."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))


def kill_descendants(process: psutil.Process) -> None:
    """SIGKILL all that descends from `process`, and return when they are gone; `process` itself keeps running.

    Without a process namespace `process` should be a child subreaper, or what was detached from the tree is missed.
    """
    while alive := _living_descendants(process):
        for descendant in alive:
            with suppress(psutil.NoSuchProcess):
                descendant.kill()
        time.sleep(_KILL_SECONDS)


def _living_descendants(process: psutil.Process) -> list[psutil.Process]:
    alive = []
    with suppress(psutil.NoSuchProcess):
        for descendant in process.children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if descendant.status() != psutil.STATUS_ZOMBIE:
                    alive.append(descendant)
    return alive
