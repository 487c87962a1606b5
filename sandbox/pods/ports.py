"""A pod's TCP ports, reached from outside its network namespace.

A process can't connect into another namespace, but a connected socket can be handed across: the pod connects, and sends
the socket's descriptor over a Unix socket pair that it shares with the process that started it. The pair is the pod's
lifeline too: when the starter is gone, however it died, the pod reads an end of file and ends itself.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable

_REQUEST = struct.Struct("!H")  # the port that is wanted
_READY, _CONNECTED, _REFUSED = b"R", b"C", b"X"
_CONNECT_SECONDS = 5.0  # loopback answers immediately; only a listener with a full backlog takes longer


class Door:
    """The outer end of the pair."""

    def __init__(self, control: socket.socket) -> None:
        control.setblocking(False)
        self._control = control
        self._one_at_a_time = asyncio.Lock()

    async def wait_ready(self) -> bool:
        """True when the pod serves its end, False when it died first."""
        return await asyncio.get_running_loop().sock_recv(self._control, len(_READY)) == _READY

    async def connect(self, port: int) -> socket.socket:
        """A socket connected to `port` inside the pod.

        Raises ConnectionRefusedError when nothing listens there, ConnectionError when the pod is dead.
        """
        # Shielded: a caller that gives up must not leave its answer in the pair for the next one.
        return await asyncio.shield(asyncio.ensure_future(self._connect(port)))

    def close(self) -> None:
        """Let go of the pod, which ends it."""
        self._control.close()

    async def _connect(self, port: int) -> socket.socket:
        async with self._one_at_a_time:
            await asyncio.get_running_loop().sock_sendall(self._control, _REQUEST.pack(port))
            await _readable(self._control)
            answer, descriptors, *_ = socket.recv_fds(self._control, 1, 1)
        if answer == _CONNECTED:
            return socket.socket(fileno=descriptors[0])
        if answer == _REFUSED:
            raise ConnectionRefusedError(f"nothing listens on port {port} of the pod")
        raise ConnectionError("the pod is dead")


async def serve(control: socket.socket, translate: Callable[[int], int]) -> None:
    """Hand out connections to the pod's ports until the outer end is closed.

    `translate` turns the port that was asked for into the one that is bound on this side.
    """
    loop = asyncio.get_running_loop()
    control.setblocking(False)
    try:
        await loop.sock_sendall(control, _READY)
        while request := await loop.sock_recv(control, _REQUEST.size):
            (port,) = _REQUEST.unpack(request)
            with socket.socket() as target:
                target.setblocking(False)
                try:
                    address = ("127.0.0.1", translate(port))
                    await asyncio.wait_for(loop.sock_connect(target, address), _CONNECT_SECONDS)
                except OSError:
                    await loop.sock_sendall(control, _REFUSED)
                else:
                    socket.send_fds(control, [_CONNECTED], [target.fileno()])
    except ConnectionError:
        return  # the starter died with bytes unread, which is an end as well


async def _readable(control: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(control, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(control)
