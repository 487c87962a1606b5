"""The engine behind the API: it computes replies token by token, in a batch of limited size, until it ends or hangs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from sandbox.engine.reply import Reply
from sandbox.engine.telemetry import Telemetry

_POLL_SECONDS = 0.02
_HANG_POLL_SECONDS = 0.2
_OWN_REPLY = Reply(("token",) * 100, "length", 50)


class ShutDownError(Exception):
    """The engine has ended before the answer was complete."""


class EngineCore:
    """Computes at most `batch` requests at the same time, with `token_seconds` before each token of each of them."""

    def __init__(self, telemetry: Telemetry, batch: int, token_seconds: float) -> None:
        self._telemetry = telemetry
        self._slots = asyncio.Semaphore(batch)
        self._token_seconds = token_seconds
        self._draining = False
        self._hung = False
        self._ended = asyncio.Event()
        self._own: list[asyncio.Task[None]] = []

    @property
    def draining(self) -> bool:
        """Whether it takes no new requests."""
        return self._draining

    def start(self, requests: int, hang: Path | None) -> None:
        """Begin with `requests` of its own, which never end, and to look for the file that lets it hang."""
        self._own = [asyncio.create_task(self._busy()) for _ in range(requests)]
        if hang:
            self._own.append(asyncio.create_task(self._hang_when(hang)))

    async def drain(self, seconds: float) -> None:
        """Take no new requests, give those in flight `seconds` to finish, then end them."""
        self._draining = True
        for task in self._own:
            task.cancel()
        await asyncio.gather(*self._own, return_exceptions=True)
        deadline = time.monotonic() + seconds
        while (self._telemetry.running or self._telemetry.waiting) and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_SECONDS)
        self._ended.set()

    async def generate(self, reply: Reply) -> AsyncGenerator[int, None]:
        """The numbers of the reply's pieces in their time. Raises ShutDownError when the engine ends first."""
        asked = time.monotonic()
        self._telemetry.waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._telemetry.waiting -= 1
        try:
            with self._telemetry.request():
                first = last = asked
                for number in range(len(reply.pieces)):
                    await self._pause()
                    now = time.monotonic()
                    first = first if number else now
                    self._telemetry.iteration(1 if number else 1 + reply.prompt_tokens, now - last if number else None)
                    last = now
                    yield number
                self._telemetry.finished(reply, first - asked, time.monotonic() - asked)
        finally:
            self._slots.release()

    async def _pause(self) -> None:
        """Wait for the next token; for the end where the engine hangs."""
        try:
            await asyncio.wait_for(self._ended.wait(), self._token_seconds)
        except TimeoutError:
            if not self._hung:
                return
            await self._ended.wait()
        raise ShutDownError("EngineCore was shut down while the request was running")

    async def _busy(self) -> None:
        while True:
            async with aclosing(self.generate(_OWN_REPLY)) as pieces:
                _ = [piece async for piece in pieces]

    async def _hang_when(self, file: Path) -> None:
        while not file.exists():  # another process creates it
            await asyncio.sleep(_HANG_POLL_SECONDS)
        self._hung = True
        self._telemetry.freeze()
