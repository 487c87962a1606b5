"""Endpoints that answer, and endpoints that only look like it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from deploy import smoke
from deploy.errors import ExitCode, Failure

CHAT = json.dumps({"choices": [{"message": {"content": "Hi"}}]})
DELTAS = "".join(f"data: {json.dumps({'choices': [{'delta': {'content': word}}]})}\n\n" for word in ("Hel", "lo"))
GOOD = {
    "models": (200, json.dumps({"data": [{"id": "m"}]})),
    "chat": (200, CHAT),
    "stream": (200, f"{DELTAS}data: [DONE]\n\n"),
}


class Endpoint(ThreadingHTTPServer):
    """`answers` by what is asked: (status, body); a list of them is given out one by one."""

    def __init__(self, answers: dict[str, Any]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers = answers


class Handler(BaseHTTPRequestHandler):
    server: Endpoint

    def do_GET(self) -> None:
        self.answer("models")

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.answer("stream" if body.get("stream") else "chat")

    def answer(self, what: str) -> None:
        found = self.server.answers[what]
        status, text = found.pop(0) if isinstance(found, list) else found
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet."""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with Endpoint(dict(GOOD)) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield server
        server.shutdown()


def check(endpoint: Endpoint, patience: float = 0.0) -> dict[str, Any]:
    return smoke.check(f"http://127.0.0.1:{endpoint.server_port}/v1", "t", "m", patience)


def test_an_endpoint_that_answers_passes(endpoint: Endpoint) -> None:
    report = check(endpoint)
    assert report["text"] == "Hello"
    assert 0 <= report["first_token_ms"] <= report["stream_ms"]


@pytest.mark.parametrize(
    ("what", "answer", "said"),
    [
        ("models", (200, '{"data": [{"id": "other"}]}'), "lists other, not m"),
        ("models", (200, '{"data": []}'), "lists nothing, not m"),
        ("models", (200, "<html>Welcome to nginx!</html>"), "is no OpenAI API"),
        ("models", (200, '{"data": ["m"]}'), "is no OpenAI API"),
        ("models", (404, "Service not found"), "answers 404"),
        ("models", (403, ""), "DSTACK_TOKEN"),
        ("chat", (200, '{"choices": []}'), "without a choice"),
        ("chat", (500, "EngineDeadError"), "EngineDeadError"),
        ("stream", (200, DELTAS), "without [DONE], after 'Hello'"),
        ("stream", (200, "data: [DONE]\n\n"), "without text"),
        ("stream", (200, DELTAS + "data: {half"), "broke off after 'Hello'"),
        ("stream", (200, 'data: {"choices": [{"delta": null}]}\n\n'), "broke off"),
        ("stream", (503, "busy"), "answers 503"),
    ],
)
def test_an_endpoint_that_only_looks_like_one_fails(
    endpoint: Endpoint, what: str, answer: tuple[int, str], said: str
) -> None:
    endpoint.answers[what] = answer
    with pytest.raises(Failure) as failed:
        check(endpoint)
    assert failed.value.code == ExitCode.SMOKE_FAILED
    assert said in str(failed.value)


def test_a_proxy_that_has_not_heard_of_the_replica_yet_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.answers["models"] = [(404, "not yet"), GOOD["models"]]
    assert check(endpoint, patience=5)["model"] == "m"


def test_a_stream_that_a_leaving_replica_cut_is_asked_again_after_a_deploy(endpoint: Endpoint) -> None:
    endpoint.answers["stream"] = [(200, DELTAS), GOOD["stream"]]
    assert check(endpoint, patience=5)["text"] == "Hello"


def test_a_port_where_nobody_listens_fails() -> None:
    with pytest.raises(Failure, match="does not answer"):
        smoke.check("http://127.0.0.1:9/v1", "t", "m")
