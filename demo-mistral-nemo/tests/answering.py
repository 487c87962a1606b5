"""A server on loopback with prepared answers: those of a dstack server, or of something else at its address."""

from __future__ import annotations

import json
import socket
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PROJECT_PATH = "/api/project/main/"


@dataclass(frozen=True)
class Fault:
    """What happens to a call instead of its answer. `lost`: it is carried out, and the connection is closed."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    lost: bool = False


class Server(ThreadingHTTPServer):
    """Answers every POST with `status` and what `bodies` has for its path, else `body`; keeps what was asked.

    A body that is a function is called with what was asked. `faults` are what happens to the next calls.
    """

    status, body = 200, b"{}"

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.bodies: dict[str, Any] = {}
        self.faults: list[Fault] = []
        self.asked: list[tuple[str, Any, str | None]] = []
        self.hosts: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def paths(self) -> list[str]:
        """What was asked, in order, below the project."""
        return [path.removeprefix(PROJECT_PATH) for path, _, _ in self.asked]

    def answer(self, path: str, body: Any) -> Fault:
        """Return the answer to a call."""
        found = self.bodies.get(path.removeprefix(PROJECT_PATH), self.body)
        found = found(body) if callable(found) else found
        if isinstance(found, Fault):
            return found
        return Fault(self.status, found if isinstance(found, bytes) else json.dumps(found).encode())


def sent(kind: str, body: bytes) -> Any:
    """Return the fields of a form, a file as bytes, or the document of JSON."""
    if not kind.startswith("multipart/form-data"):
        return json.loads(body)
    form = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind.encode() + b"\r\n\r\n" + body)
    parts = {part.get_param("name", header="Content-Disposition"): part for part in form.iter_parts()}
    contents = {name: bytes(part.get_payload(decode=True)) for name, part in parts.items()}
    return {name: content if parts[name].get_filename() else content.decode() for name, content in contents.items()}


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(sent(self.headers["Content-Type"] or "", body))

    def _answer(self, body: Any) -> None:
        self.server.asked.append((self.path, body, self.headers["Authorization"]))
        self.server.hosts.append(self.headers["Host"])
        fault = self.server.faults.pop(0) if self.server.faults else None
        answer = self.server.answer(self.path, body) if fault is None or fault.lost else fault
        if fault and fault.lost:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""
