"""An endpoint on this machine that gives prepared answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from answering import sent


class Endpoint(ThreadingHTTPServer):
    """`answers` by what is asked, "models" or the `kind` of a POST: (status, body); a list is given out one by one."""

    def __init__(self, answers: dict[str, Any], kind: Callable[[dict[str, Any]], str]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.kind, self.tokens = answers, kind, set[str | None]()  # `tokens`: what callers sent
        self.url = f"http://127.0.0.1:{self.server_port}/v1"


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.answer("models")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.answer(self.server.kind(sent(self.headers["Content-Type"], body)))

    def answer(self, what: str) -> None:
        self.server.tokens.add(self.headers["Authorization"])
        found = self.server.answers[what]
        status, text = found.pop(0) if isinstance(found, list) else found
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "https://elsewhere.example.com/")
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@contextmanager
def serving(answers: dict[str, Any], kind: Callable[[dict[str, Any]], str]) -> Iterator[Endpoint]:
    with Endpoint(answers, kind) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()
