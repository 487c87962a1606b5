"""The way out of the dstack server: a CONNECT proxy that leads to the emulated hosts and nowhere else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from asyncio import StreamReader, StreamWriter
from collections.abc import Container

from sandbox.world.calls import UNKNOWN, Call, CallLog

_HEAD_LIMIT = 16 * 1024  # bytes
_CHUNK = 64 * 1024  # bytes


class Proxy:
    """Splices connections to `hosts` to one port; answers 403 for others and logs calls to an unknown cloud."""

    def __init__(self, hosts: Container[str], port: int, log: CallLog) -> None:
        self._hosts = hosts
        self._port = port
        self._log = log
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen on a free port of the loopback interface, and return it."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_LIMIT)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        task = asyncio.create_task(self._serve(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, EOFError, ValueError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
            host, _, port = target.partition(":")
            if method != "CONNECT" or port != "443" or host not in self._hosts:
                self._log.add(
                    Call(time.time(), UNKNOWN, method, target, status=403, write=method != "GET", seconds=0.0)
                )
                writer.write(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                await writer.drain()
                return
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", self._port)
            with contextlib.closing(inner_writer):
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))


async def _copy(reader: StreamReader, writer: StreamWriter) -> None:
    """Copy until the end of `reader`, and tell `writer`'s peer of it."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    if writer.can_write_eof():
        with contextlib.suppress(OSError):
            writer.write_eof()
