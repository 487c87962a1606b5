"""The HTTP server of the emulated AWS: moto, and beside it what a cloud has no API for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Request, Response

from sandbox.aws.aws_state import OWN_PATH
from sandbox.errors import SandboxError

LOST = "X-Sandbox-Lost"  # header of an answer that the client shall not get
Answer = Callable[[dict[str, Any]], Any]  # from the request's JSON to the answer's


class MotoServer:
    """Listens on a free port of the loopback interface, a thread for each request."""

    def __init__(self, token: str) -> None:
        self._token = token
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._answers: dict[str, Answer] = {}
        self._server = make_server("127.0.0.1", 0, self._dispatch, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def add(self, name: str, answer: Answer) -> None:
        """Serve POST `OWN_PATH/name` for who has the token; a SandboxError becomes status 400 and `{"error": text}`."""
        self._answers[f"{OWN_PATH}/{name}"] = answer

    def _dispatch(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        request = Request(environ, populate_request=False)
        if not request.path.startswith(OWN_PATH):

            def start(status: str, headers: list[tuple[str, str]], *more: Any) -> Any:
                if LOST in dict(headers):
                    raise ConnectionAbortedError
                return start_response(status, headers, *more)

            answer: Iterable[bytes] = self._moto(environ, start)
            return answer
        return self._own(request)(environ, start_response)

    def _own(self, request: Request) -> Response:
        if request.headers.get("Authorization") != f"Bearer {self._token}":
            return _json({"error": "wrong token"}, 401)
        if request.path not in self._answers:
            return _json({"error": f"nothing at {request.path}"}, 404)
        try:
            return _json(self._answers[request.path](request.get_json()), 200)
        except SandboxError as e:
            return _json({"error": str(e)}, 400)


def _json(content: Any, status: int) -> Response:
    return Response(json.dumps(content), status, content_type="application/json")


class _Quiet(MotoRequestHandler):
    def log_request(self, *args: Any) -> None:
        """Say nothing: aws_calls.py has the log."""

    def connection_dropped(self, *args: Any) -> None:
        """An answer was lost, so the connection ends too; werkzeug would wait on it for the next request."""
        self.close_connection = True
