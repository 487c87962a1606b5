"""A pod's SSH server: forwards connections to the pod's ports, for whoever holds one of its keys.

It lives in the process that starts the pods rather than in each pod, because importing asyncssh takes 0.3 s of CPU and
50 MiB; what it forwards to is inside the pod's namespace all the same (see ports.py). dstack reaches a pod only
through forwarded ports, so there is no shell and no file transfer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import cast

import asyncssh

Connect = Callable[[int], Awaitable[socket.socket]]

_LOCAL = ("localhost", "127.0.0.1", "::1")


class SSHListener:
    """Listens on a free port, as any user name, until it is closed."""

    def __init__(self, acceptor: asyncssh.SSHAcceptor, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._acceptor = acceptor
        self._connections = connections
        self.port: int = acceptor.get_port()

    @classmethod
    async def start(cls, host: str, authorized_keys: Iterable[str], connect: Connect) -> SSHListener:
        """Listen on `host`; `connect` opens the connections that are forwarded, and may raise OSError.

        Raises OSError when `host` isn't an address of this machine, ValueError when a key isn't an OpenSSH public key.
        """
        connections: set[asyncssh.SSHServerConnection] = set()
        acceptor = await asyncssh.listen(
            host,
            0,
            server_factory=lambda: _Server(connect, connections),
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            authorized_client_keys=asyncssh.import_authorized_keys("\n".join(authorized_keys)),
            password_auth=False,
            kbdint_auth=False,
        )
        return cls(acceptor, connections)

    def close(self) -> None:
        """Refuse new connections and cut the open ones."""
        self._acceptor.close()
        for connection in tuple(self._connections):
            connection.abort()


class _Server(asyncssh.SSHServer):
    def __init__(self, connect: Connect, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._connect = connect
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        self._connections.discard(self._connection)

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> Awaitable[asyncssh.SSHTCPSession[bytes]] | bool:
        return self._forward(dest_port) if dest_host in _LOCAL else False

    async def _forward(self, port: int) -> asyncssh.SSHTCPSession[bytes]:
        try:
            target = await self._connect(port)
        except OSError as error:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, str(error)) from None
        _, peer = await asyncio.get_running_loop().create_connection(asyncssh.SSHForwarder, sock=target)
        # asyncssh's own forwarding returns the same and makes the same cast
        return cast(asyncssh.SSHTCPSession[bytes], asyncssh.SSHForwarder(peer))
