"""A reverse proxy before the dstack server, on loopback: it passes everything on, and shows faults of its answers."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from sandbox.world.calls import Call, CallLog
from sandbox.world.faults import DSTACK, Fault, Faults

logger = logging.getLogger(__name__)

_HOP_BY_HOP = {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "proxy-authorization"}
_LONGEST_BODY = 1 << 30  # bytes; the server has its own limit
_READS = ("get", "list", "poll")  # how the names of calls begin that change nothing
_FAULT_TEXT = '{"detail": "A fault of the sandbox makes this call fail"}'


class Front:
    """One port in front of the dstack server. Streams pass as they come, piece by piece."""

    def __init__(self, faults: Faults, log: CallLog) -> None:
        self._faults = faults
        self._log = log
        self._server = ""
        self._session: aiohttp.ClientSession | None = None
        app = web.Application(client_max_size=_LONGEST_BODY)
        app.router.add_route("*", "/{path:.*}", self._answer)
        # a caller that leaves ends what is asked for it: nobody else reads that stream
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0, handler_cancellation=True)

    async def start(self, server: str) -> str:
        """Listen on a free port before the server at the URL `server`, and return the URL to use instead."""
        self._server = server
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        await self._runner.cleanup()
        if self._session is not None:
            await self._session.close()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        started = time.monotonic()
        fault, route = None, f"{request.method} {request.path}"
        if slow := self._faults.strike("slow", DSTACK, route):
            fault = slow
            await asyncio.sleep(slow.seconds)
        instead = self._faults.strike("error", DSTACK, route) or self._faults.strike("answer", DSTACK, route)
        lost = None if instead else self._faults.strike("lost", DSTACK, route)
        fault = instead or lost or fault
        try:
            response = _instead(instead) if instead else await self._pass_on(request, lost=lost is not None)
        except aiohttp.ClientError as error:  # the server closed the connection, so this one ends too
            logger.info("%s: %r", route, error)
            response = _hang_up(request)
        call = Call(
            time=time.time(),
            cloud=DSTACK,
            method=request.method,
            path=request.path,
            status=response.status,
            write=_is_write(request.path),
            seconds=round(time.monotonic() - started, 3),
            fault=fault.kind if fault else None,
        )
        self._log.add(call)
        return response

    async def _pass_on(self, request: web.Request, *, lost: bool) -> web.StreamResponse:
        """The server's own answer; with `lost` the caller gets none. Raises aiohttp.ClientError."""
        assert self._session is not None
        body = await request.read()
        async with self._session.request(
            request.method,
            URL(self._server + request.raw_path, encoded=True),
            headers=_passed(request.headers),
            data=body or None,
            allow_redirects=False,
            skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
        ) as answer:
            if lost:
                await answer.read()
                return _hang_up(request, answer.status)
            response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_passed(answer.headers))
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response


def _passed(headers: Mapping[str, str]) -> CIMultiDict[str]:
    """Headers without those that are about one connection."""
    found = CIMultiDict(headers)
    for name in _HOP_BY_HOP:
        found.popall(name, None)
    return found


def _instead(fault: Fault) -> web.Response:
    """The answer that a fault gives instead of the server."""
    text = fault.body if fault.body is not None else _FAULT_TEXT if fault.kind == "error" else ""
    headers = CIMultiDict(fault.headers or {})
    headers.setdefault("Content-Type", "text/html" if text.startswith("<") else "application/json")
    return web.Response(status=fault.status, body=text.encode(), headers=headers)


def _hang_up(request: web.Request, status: int = 502) -> web.Response:
    """Close the connection without a word; the response that is returned reaches nobody."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=status)


def _is_write(path: str) -> bool:
    """Whether a call of dstack's API asks for a change; requests to services don't."""
    name = path.rsplit("/", 1)[-1]
    return path.startswith("/api/") and not name.startswith(_READS)
