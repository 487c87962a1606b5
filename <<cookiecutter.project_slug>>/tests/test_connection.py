"""The token reaches the server it is for, whatever else this machine has set."""

from __future__ import annotations

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
import requests

from console.connection import Session, is_loopback, quoted


class Server(ThreadingHTTPServer):
    """Keeps the Authorization header of each request; `/away` redirects to `target`."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: list[str | None] = []
        self.url, self.target = f"http://127.0.0.1:{self.server_port}", ""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.seen.append(self.headers["Authorization"])
        away = self.path == "/away"
        self.send_response(302 if away else 200)
        if away:
            self.send_header("Location", self.server.target)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Server, Server]]:
    """Two servers, on a machine whose ~/.netrc has a password for every host."""
    netrc = tmp_path / "netrc"
    netrc.write_text("default login anonymous password me@example.com\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(netrc))
    with Server() as first, Server() as second:
        for server in (first, second):
            Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield first, second
        for server in (first, second):
            server.shutdown()


def test_netrc_does_not_replace_the_token(servers: tuple[Server, Server]) -> None:
    Session("t0ken").get(servers[0].url)
    assert servers[0].seen == ["Bearer t0ken"]


def test_without_a_token_nothing_is_sent(servers: tuple[Server, Server]) -> None:
    Session().get(servers[0].url)
    assert servers[0].seen == [None]


def test_a_redirect_on_the_same_host_keeps_the_token(servers: tuple[Server, Server]) -> None:
    servers[0].target = f"{servers[0].url}/there"
    Session("t0ken").get(f"{servers[0].url}/away")
    assert servers[0].seen == ["Bearer t0ken"] * 2


def test_a_redirect_to_another_server_gets_neither_token_nor_password(servers: tuple[Server, Server]) -> None:
    servers[0].target = servers[1].url
    Session("t0ken").get(f"{servers[0].url}/away")
    assert servers[1].seen == [None]


@pytest.mark.parametrize("variable", ["http_proxy", "all_proxy"])
def test_a_proxy_is_asked_for_other_machines_alone(
    servers: tuple[Server, Server], monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "")
    assert Session("t0ken").get(servers[0].url).ok
    with pytest.raises(requests.exceptions.ProxyError):
        Session("t0ken").get("http://chat.example.com", timeout=5)


def test_this_machine_has_several_names() -> None:
    here = ("localhost:3000", "127.0.0.1", "127.8.8.8:1", "[::1]:3000", "x.localhost")
    elsewhere = ("dstack.example.com", "10.0.0.1:3000", "localhost.com")
    assert [host for host in (*here, *elsewhere) if is_loopback(f"http://{host}")] == list(here)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("<html>\n<head><title>502</title></head>\n<body>\n<h1>Bad &amp; gone</h1>\n</body></html>", "502 Bad & gone"),
        ("<!DOCTYPE html><style>\nh1 {}</style><!-- a\n<b> --><p>no", "no"),
        ('{"detail":\n  "a < b > c"}', '{"detail": "a < b > c"}'),
        ("\x1b[31mred\r\n\tline", "[31mred line"),
        ("", ""),
    ],
)
def test_an_answer_is_quoted_in_one_line(answer: str, said: str) -> None:
    assert quoted(answer) == said


def test_a_long_answer_is_shortened() -> None:
    assert quoted("word " * 100, 12) == "word word w…"
    assert len(quoted("x" * 500)) == 200
