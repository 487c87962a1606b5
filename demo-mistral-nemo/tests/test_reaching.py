"""A gateway replica is asked by its address: what each answer means, and when it counts as dead."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from threading import Thread
from typing import Any

import pytest
from answering import Fault, Server
from conftest import job, run_json
from planned import SPEC, gateway, plan_of, run_plan
from planned import Server as Planned

from console.errors import ExitCode, Failure
from deploy import guards, reaching
from deploy.changes import classify_service
from deploy.dstack.answers import Run
from deploy.environments import Environment
from deploy.reaching import Reached, Verdict, ask, dead, judge_answer

MODELS = json.dumps({"object": "list", "data": [{"id": "m"}]}).encode()
NGINX = b"<!DOCTYPE html><title>Welcome to nginx!</title>"


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, MODELS, Verdict.ANSWERS),
        (200, NGINX, Verdict.WRONG_BODY),
        (200, b"", Verdict.WRONG_BODY),
        (200, b"[]", Verdict.WRONG_BODY),
        (200, b'{"data": 1}', Verdict.WRONG_BODY),
        (200, b"\xff\xfe", Verdict.WRONG_BODY),
        (404, b'{"detail": "Not Found"}', Verdict.WRONG_BODY),
        (301, b"", Verdict.WRONG_BODY),
        (401, b"", Verdict.DENIES),
        (403, MODELS, Verdict.DENIES),
        (429, b"", Verdict.DENIES),
        (500, b"", Verdict.FAILING),
        (503, NGINX, Verdict.FAILING),
    ],
)
def test_the_body_decides_what_an_answer_means(status: int, body: bytes, verdict: Verdict) -> None:
    assert judge_answer(status, body) == verdict


def test_a_replica_is_asked_under_the_name_of_the_service_and_with_the_token(server: Server) -> None:
    server.faults.append(Fault(body=MODELS))
    found = ask("127.0.0.1", f"http://nemo.ai.internal:{server.server_port}/v1", "t0ken")
    assert found == Reached("127.0.0.1", Verdict.ANSWERS, "HTTP 200")
    path, _, token = server.asked[-1]
    assert (path, token) == ("/v1/models", "Bearer t0ken")
    assert server.hosts[-1] == "nemo.ai.internal"


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A port of this machine at which connections arrive."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def url_of(listening: socket.socket) -> str:
    return f"http://nemo.ai.internal:{listening.getsockname()[1]}/v1"


def test_a_port_at_which_nothing_listens_refuses(listener: socket.socket) -> None:
    url = url_of(listener)
    listener.close()
    assert ask("127.0.0.1", url).verdict == Verdict.REFUSES


def test_a_replica_that_takes_the_connection_and_says_nothing_is_silent(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaching, "ANSWER_SECONDS", 0.05)
    assert ask("127.0.0.1", url_of(listener)).verdict == Verdict.SILENT


@pytest.mark.parametrize("sent", [b"", b"no HTTP\r\n\r\n"])
def test_a_replica_that_breaks_off_is_silent(listener: socket.socket, sent: bytes) -> None:
    def break_off() -> None:
        taken, _ = listener.accept()
        with taken:
            taken.recv(4096)
            taken.sendall(sent)

    Thread(target=break_off).start()
    assert ask("127.0.0.1", url_of(listener)).verdict == Verdict.SILENT


def test_an_address_without_a_route_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*_: object, **__: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "create_connection", nowhere)
    assert ask("10.0.0.7", "http://nemo.ai.internal/v1") == Reached("10.0.0.7", Verdict.UNREACHABLE, "timed out")


def test_a_gateways_running_replicas_are_asked(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(reaching, "ask", lambda address, url, token: asked.append((address, url, token)))
    reaching.ask_gateway(environment, gateway(), "http://nemo.ai.internal/v1")
    assert asked == [("10.0.0.7", "http://nemo.ai.internal/v1", environment.token)]


def reached(*verdicts: Verdict) -> list[Reached]:
    return [Reached(f"10.0.0.{number}", verdict) for number, verdict in enumerate(verdicts)]


@pytest.mark.parametrize("verdict", [Verdict.ANSWERS, Verdict.DENIES, Verdict.FAILING, Verdict.WRONG_BODY])
def test_a_replica_that_answers_anything_lives(verdict: Verdict) -> None:
    assert dead(reached(verdict), {"10.0.0.0"}) == []


@pytest.mark.parametrize("verdict", [Verdict.REFUSES, Verdict.SILENT])
def test_a_replica_that_is_reached_and_does_not_answer_is_dead(verdict: Verdict) -> None:
    assert dead(reached(verdict), set()) == reached(verdict)


def test_an_unreachable_replica_is_dead_only_where_callers_may_be() -> None:
    alone, beside = reached(Verdict.UNREACHABLE), reached(Verdict.ANSWERS, Verdict.UNREACHABLE)
    assert dead(alone, set()) == []
    assert dead(alone, {"10.9.9.9"}) == []
    assert dead(alone, {"10.0.0.0"}) == alone
    assert dead(beside, set()) == beside[1:]


BEHIND = {"run_spec": SPEC | {"configuration": SPEC["configuration"] | {"gateway": "main/x"}}}  # type: ignore[operator]


def look(environment: Environment, monkeypatch: pytest.MonkeyPatch, verdict: Verdict, after: dict[str, Any]) -> None:
    """Look at the gateway at 10.0.0.7, which does `verdict`, before a change of the service."""
    current = run_json(job(), service={"url": "http://x.ai.internal"}) | BEHIND
    asked = run_plan(None, after).model_copy(update={"current_resource": current})
    server = Planned(Run.model_validate(current), gateway=gateway())
    plan = replace(plan_of(environment, server), run_plan=asked)
    plan.parts["service"] = classify_service(asked)
    monkeypatch.setattr(guards, "ask_gateway", lambda *_: [Reached("10.0.0.7", verdict)])
    monkeypatch.setattr(guards, "resolve", lambda host: set())
    guards.refuse_dead_gateway(server, plan, lambda line: None)  # type: ignore[arg-type]


ROLLING: dict[str, Any] = {"env": {"A": "2"}, "gateway": "main/x"}


def test_a_rolling_change_waits_for_no_dead_gateway(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Failure, match=r"10\.0\.0\.7 refuses connections.*inv gateway\.recover --env prod") as caught:
        look(environment, monkeypatch, Verdict.REFUSES, ROLLING)
    assert caught.value.code == ExitCode.GATEWAY_FAILED


@pytest.mark.parametrize("verdict", [Verdict.ANSWERS, Verdict.FAILING, Verdict.UNREACHABLE])
def test_a_gateway_that_lives_or_that_nobody_reaches_stops_no_change(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, verdict: Verdict
) -> None:
    look(environment, monkeypatch, verdict, ROLLING)


def test_a_change_in_place_does_not_need_the_gateway(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    look(environment, monkeypatch, Verdict.REFUSES, {"replicas": 1, "priority": 7, "gateway": "main/x"})
