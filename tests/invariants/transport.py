"""Between `inv` and the stand-in: every request of this process, with what can go wrong on the way, and the time."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import Message
from http.client import RemoteDisconnected
from io import BytesIO
from types import FrameType, SimpleNamespace
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.response import HTTPResponse

from tests.invariants.stand_in.server import CALL_SECONDS, Server

Kind = Literal["error", "answer", "lost", "dropped", "slow", "interrupt", "terminate", "kill", "visit"]
MOST_CALLS = 5_000  # of one command: more is a loop that never ends
_REAL = {name: getattr(time, name) for name in ("sleep", "monotonic", "time", "perf_counter")}


class Killed(BaseException):
    """The process was killed with SIGKILL: it does nothing any more, whatever it would do about an exception."""


@dataclass
class Trouble:
    """What happens to a command at its call number `at`, counted from 1, and at the `times` - 1 calls after it.

    error, answer: answered with `status` and `body`, not carried out; lost: carried out, the connection closed;
    dropped: closed before it was carried out; slow: answered `seconds` later; interrupt, terminate, kill: carried out,
    and the process gets SIGINT, SIGTERM or SIGKILL; visit: `visitor` does something else first.
    """

    kind: Kind
    at: int
    times: int = 1
    status: int = 500
    body: str = ""
    location: str = ""
    seconds: float = 0.0
    visitor: Callable[[], None] | None = None

    def hits(self, call: int) -> bool:
        return self.at <= call < self.at + self.times

    def __str__(self) -> str:
        more = {"status": self.status, "body": self.body} if self.kind in ("error", "answer") else {}
        return f"{self.kind} at call {self.at}, {self.times} times {more or ''}"


@dataclass
class Transport:
    """Carries requests to `server` while it is `installed`. `calls` counts those of the command under way."""

    server: Server
    troubles: list[Trouble] = field(default_factory=list)
    calls: int = 0
    killed: bool = False
    observer: Callable[[], None] = lambda: None  # called whenever time has passed

    @contextmanager
    def command(self, troubles: list[Trouble]) -> Iterator[None]:
        """Start to count the calls of a command, which may run in the middle of another one."""
        outer = self.troubles, self.calls, self.killed
        self.troubles, self.calls, self.killed = troubles, 0, False
        try:
            yield
        finally:
            self.troubles, self.calls, self.killed = outer

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Send requests of this process here instead of into the network."""
        original = HTTPAdapter.send

        def send(_: HTTPAdapter, request: Any, **options: Any) -> Any:
            return self._send(request, options.get("timeout"))

        HTTPAdapter.send = send  # type: ignore[assignment, method-assign]
        try:
            yield
        finally:
            HTTPAdapter.send = original  # type: ignore[method-assign]

    def clock(self) -> Any:
        """What stands for the module `time` in the code under test."""
        return SimpleNamespace(
            sleep=self.sleep, **{name: lambda: self.server.state.now for name in _REAL if name != "sleep"}
        )

    def sleep(self, seconds: float) -> None:
        if self.killed:
            raise Killed
        self._pass(max(seconds, 0.0))

    def _pass(self, seconds: float) -> None:
        self.server.advance(seconds)
        self.observer()

    def _send(self, request: requests.PreparedRequest, timeout: Any) -> requests.Response:
        if self.killed:
            raise Killed
        self.calls += 1
        assert self.calls < MOST_CALLS, "the command asks for ever"
        trouble = next((one for one in self.troubles if one.hits(self.calls)), None)
        self._pass(CALL_SECONDS)
        if trouble is None:
            return self._carry_out(request)
        match trouble.kind:
            case "visit":
                assert trouble.visitor is not None
                trouble.visitor()
            case "error" | "answer":
                return _response(request, trouble.status, "text/html", trouble.body.encode(), trouble.location)
            case "dropped":
                raise _closed(request)
            case "slow":
                self._pass(trouble.seconds)
        answer = self._carry_out(request)
        read = timeout[1] if isinstance(timeout, tuple) else timeout
        if trouble.kind == "slow" and read is not None and trouble.seconds > read:
            raise requests.ReadTimeout(f"no answer within {read} s", request=request)
        if trouble.kind == "lost":
            raise _closed(request)
        if trouble.kind in ("interrupt", "terminate", "kill"):
            self._signal(trouble.kind)
        return answer

    def _signal(self, kind: str) -> None:
        """What the signal does to this process, by the handler that the code under test has set."""
        number = {"interrupt": signal.SIGINT, "terminate": signal.SIGTERM}.get(kind)
        handler = signal.getsignal(number) if number is not None else None
        frame: FrameType | None = None
        if number is not None and callable(handler):
            handler(number, frame)
        elif handler is not signal.SIG_IGN:
            self.killed = True
            raise Killed

    def _carry_out(self, request: requests.PreparedRequest) -> requests.Response:
        parts = urlsplit(request.url or "")
        body = request.body.encode() if isinstance(request.body, str) else request.body or b""
        token = str(request.headers.get("Authorization", "")).removeprefix("Bearer ")
        status, kind, content = self.server.answer(parts.netloc, parts.path, token, bytes(body))
        return _response(request, status, kind, content)


def _response(request: Any, status: int, kind: str, content: bytes, location: str = "") -> requests.Response:
    headers = {"Content-Type": kind} | ({"Location": location} if location else {})
    message = Message()
    for name, value in headers.items():
        message[name] = value
    raw = HTTPResponse(
        body=_Body(content),
        headers=headers,
        status=status,
        preload_content=False,
        original_response=SimpleNamespace(msg=message, isclosed=lambda: True, close=lambda: None),  # type: ignore[arg-type]
    )
    response: requests.Response = HTTPAdapter().build_response(request, raw)
    return response


class _Body(BytesIO):
    """Closes itself at its end, as a connection's stream does: urllib3 reads until then."""

    def read(self, size: int | None = -1, /) -> bytes:
        piece = super().read(size)
        if self.tell() == len(self.getbuffer()):
            self.close()
        return piece


def _closed(request: requests.PreparedRequest) -> requests.ConnectionError:
    cause = RemoteDisconnected("Remote end closed connection without response")
    return requests.ConnectionError(("Connection aborted.", cause), request=request)
