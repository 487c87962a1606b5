"""What `inv server` says when the server that it starts can't be used."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.environments import Environment
from operate import server


@dataclass
class Fake:
    """A dstack server's process and the client of it: `answers` to calls, one by one, the last for ever."""

    answers: list[Failure | None] = field(default_factory=lambda: [None])
    exited: int | None = None
    calls: int = 0

    def poll(self) -> int | None:
        return self.exited

    def server_version(self) -> str:
        self.answer()
        return "0.22.5"

    def configure(self, keys: dict[str, str]) -> None:
        self.answer()

    def answer(self) -> None:
        self.calls += 1
        if failure := self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]:
            raise failure


REFUSED = Failure(ExitCode.SERVER_UNREACHABLE, "no dstack server answers (ProxyError)")


@pytest.fixture
def local(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Environment]:
    """An environment with a server on this machine that takes connections."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield replace(environment, server_url=f"http://127.0.0.1:{listener.getsockname()[1]}")


def wait(environment: Environment, fake: Fake) -> None:
    server._wait_until_ready(environment, cast(Api, fake), cast(Any, fake))


def test_a_server_that_needs_a_moment_is_waited_for(local: Environment) -> None:
    fake = Fake([REFUSED, REFUSED, None])
    wait(local, fake)
    assert fake.calls == 3


def test_what_waiting_does_not_change_ends_it_at_once_with_the_reason(local: Environment) -> None:
    fake = Fake([REFUSED])
    with pytest.raises(Failure, match=r"runs at http://127.*, but calls to it fail: .*ProxyError") as failed:
        wait(local, fake)
    assert (failed.value.code, fake.calls) == (REFUSED.code, server.MOST_REFUSALS)


def test_a_proxy_that_is_set_is_named(local: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://proxy.example.com:3128")
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(
        Failure, match=r"set NO_PROXY=127\.0\.0\.1,localhost, because .*proxy\.example\.com:3128 is set"
    ):
        wait(local, Fake([REFUSED]))


def test_a_server_that_exits_is_not_waited_for(local: Environment) -> None:
    fake = Fake([REFUSED], exited=1)
    wait(local, fake)
    assert fake.calls == 0


def test_waiting_ends_for_a_server_that_never_takes_connections(
    local: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "START_SECONDS", 0.05)
    fake = Fake()
    with pytest.raises(Failure, match=r"takes no connections after 0\.05 s"):
        wait(replace(local, server_url="http://127.0.0.1:9"), fake)
    assert fake.calls == 0


def configure(failure: Failure | None, *, known: bool) -> None:
    server._configure(cast(Api, Fake([failure])), {"runpod": "k", "vastai": "k"}, known=known)


def test_another_token_than_that_of_the_first_start_is_explained() -> None:
    refused = Failure(ExitCode.TOKEN_REFUSED, "set DSTACK_TOKEN")
    with pytest.raises(Failure, match=r"has the token of the first start.*put the earlier token back") as failed:
        configure(refused, known=True)
    assert failed.value.code == ExitCode.TOKEN_REFUSED
    with pytest.raises(Failure, match=r"^set DSTACK_TOKEN$"):
        configure(refused, known=False)


def test_without_a_network_the_clouds_that_can_not_be_found_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int) -> list[str]:
        if host == "api.runpod.io":
            raise OSError
        return [host]

    for name in ("https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    refused = Failure(ExitCode.SERVER_REFUSED, "the dstack server refused (500): Internal Server Error")
    with pytest.raises(Failure, match=r"the name api\.runpod\.io does not resolve here; check .* network") as failed:
        configure(refused, known=False)
    assert failed.value.code == ExitCode.SERVER_REFUSED
    assert "vast" not in str(failed.value)
    monkeypatch.setenv("https_proxy", "http://proxy.example.com:3128")  # which looks names up itself
    with pytest.raises(Failure, match=r"^the dstack server refused \(500\)"):
        configure(refused, known=False)


def test_both_clouds_are_named_when_neither_can_be_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise OSError

    for name in ("https_proxy", "all_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(Failure, match=r"the names api\.runpod\.io and console\.vast\.ai do not resolve here"):
        configure(Failure(ExitCode.SERVER_REFUSED, "500"), known=False)


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ("requests.exceptions.ConnectionError: HTTPSConnectionPool(host='api.runpod.io', port=443): Max", "connect to"),
        ("requests.exceptions.ProxyError: HTTPSConnectionPool(host='api.runpod.io', port=443): Max", "connect to"),
        ("ValueError: host='api.runpod.io'", "Internal Server Error"),
        ("", "Internal Server Error"),
    ],
)
def test_a_cloud_that_can_not_be_reached_is_named_from_the_servers_log(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, last: str, said: str
) -> None:
    monkeypatch.setattr(server, "_unresolved", lambda keys: [])
    monkeypatch.setattr(server, "LOG", tmp_path / "server.log")
    monkeypatch.setattr(server, "ROOT", tmp_path)
    server.LOG.write_text(f"Traceback\n{last}\n", encoding="utf-8")
    refused = Failure(ExitCode.SERVER_REFUSED, "the dstack server refused (500): Internal Server Error")
    with pytest.raises(Failure, match=said) as failed:
        configure(refused, known=False)
    assert failed.value.code == ExitCode.SERVER_REFUSED
    named = "can't connect to api.runpod.io; check its network" in str(failed.value)
    assert named == (said == "connect to")


def test_a_server_that_is_not_installed_is_reported(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("FOLDER", "LOG", "DATABASE"):
        monkeypatch.setattr(server, name, tmp_path / ".dstack" / ("" if name == "FOLDER" else name))
    monkeypatch.setattr(server, "ROOT", tmp_path)
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr(server, "_cloud_keys", lambda environment: {})
    with pytest.raises(Failure, match=r"can't be started, .*/dstack: No such file.*requirements\.txt") as failed:
        server.run(replace(environment, server_url="http://127.0.0.1:9"), print)
    assert failed.value.code == ExitCode.SETTINGS_INVALID


def test_its_last_line_says_why_it_exited(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(server, "LOG", tmp_path / "server.log")
    for written, said in ((b"Traceback\nOSError: \xff port\n\n", "OSError: \ufffd port"), (b"", "it wrote nothing")):
        (tmp_path / "server.log").write_bytes(written)
        assert server._last_line() == said


def test_a_server_that_takes_the_keys_is_ready() -> None:
    configure(None, known=True)
