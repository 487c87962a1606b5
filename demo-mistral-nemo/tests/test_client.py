"""One bad answer is no verdict, and an answer of another shape is no absence."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count
from types import SimpleNamespace
from typing import Any

import pytest
from answering import Fault, Server
from conftest import job, run_json

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.dstack.answers import RunPlan
from deploy.environments import Environment

PASSING = [Fault(429), Fault(408), Fault(500, b"Internal Server Error"), Fault(502), Fault(503), Fault(520)]
PASSING += [Fault(500, b'{"detail": "database is locked"}'), Fault(lost=True), Fault(200, b"<html>"), Fault(204)]
PAGE = b"<html>sign in</html>"


@pytest.mark.parametrize("fault", PASSING, ids=str)
def test_what_passes_is_asked_again_by_the_patient_and_by_nobody_else(server: Server, api: Api, fault: Fault) -> None:
    server.bodies["runs/get"] = run_json(job())
    assert api.run("x") is not None
    server.faults = [fault, fault]
    said: list[str] = []
    found = api.patient(said.append).run("x")
    assert found is not None
    assert [line.endswith("(asking again)") for line in said] == [True, True]
    server.faults = [fault]
    with pytest.raises(Failure):
        api.run("x")


@pytest.mark.parametrize(
    "fault", [Fault(403, b'{"detail": {"msg": "Access denied"}}'), Fault(400, b'{"detail": "no"}')], ids=str
)
def test_a_verdict_of_the_server_is_not_asked_for_again(server: Server, api: Api, fault: Fault) -> None:
    server.faults = [fault]
    with pytest.raises(Failure):
        api.patient(print).run("x")
    assert server.paths == ["runs/get"]


def test_waiting_ends(server: Server, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    server.status, server.body = 502, b"Bad gateway"
    seconds = SimpleNamespace(monotonic=count().__next__, sleep=lambda seconds: None)  # one passes with each answer
    monkeypatch.setattr("deploy.dstack.client.time", seconds)
    with pytest.raises(Failure, match="answers 502"):
        api.patient(lambda line: None, 3).run("x")
    assert len(server.paths) == 3


BUSY = [Fault(502), Fault(429), Fault(lost=True), Fault(500, b'{"detail": "database is locked"}')]


@pytest.mark.parametrize("fault", BUSY, ids=str)
def test_a_bad_answer_to_the_first_call_does_not_end_the_deploy_either(server: Server, api: Api, fault: Fault) -> None:
    server.bodies["runs/get"] = run_json(job())
    server.faults = [fault]
    assert api.patient(print).run("x") is not None


def test_what_never_was_a_dstack_server_is_not_waited_for(server: Server, api: Api) -> None:
    server.body = PAGE
    for ask in (api.patient(print).run, api.patient(print).stop_run):
        with pytest.raises(Failure, match="is no dstack server"):
            ask("x")
    assert len(server.paths) == 2


def test_a_server_that_never_answered_is_not_waited_for(environment: Environment) -> None:
    with pytest.raises(Failure, match="no dstack server answers"):
        Api(replace(environment, server_url="http://127.0.0.1:9")).patient(print).run("x")


CALLS = ["run", "gateway", "plan_run", "plan", "clouds", "server_version", "log_tail", "fleets"]
SHAPES = [b"", b"null", b"{}", b"[]", b'"text"', b"3", b"{", PAGE, b'{"id": 3}', b"\xff\xfe"]


@pytest.mark.parametrize("body", SHAPES)
@pytest.mark.parametrize("call", CALLS)
def test_an_answer_of_another_shape_says_that_this_is_no_dstack_server(
    server: Server, api: Api, environment: Environment, call: str, body: bytes
) -> None:
    server.body = body
    words: dict[str, tuple[Any, ...]] = {"run": ("x",), "gateway": ("x",), "plan": ("fleet", {})}
    words["log_tail"] = ("x", "1")
    words["plan_run"] = (environment.service | {"gateway": False}, None)
    if (call, body) == ("fleets", b"[]"):
        assert api.fleets() == []
        return
    with pytest.raises(Failure, match="is no dstack server") as failed:
        getattr(api, call)(*words.get(call, ()))
    assert failed.value.code == ExitCode.SERVER_UNREACHABLE
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize("write", ["stop_run", "set_secret", "delete", "apply_run", "apply"])
@pytest.mark.parametrize("body", [b"", b"{}", PAGE])
def test_a_write_that_got_another_answer_is_no_success(
    server: Server, api: Api, write: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.dstack.client.WRITE_SECONDS", 0.05)
    server.body = body
    asked = RunPlan.model_validate({"action": "create", "run_spec": {"run_name": "x"}, "effective_run_spec": {}})
    words: dict[str, tuple[Any, ...]] = {"stop_run": ("x",), "set_secret": ("a", "b"), "delete": ("fleet", "x", print)}
    words |= {"apply_run": (asked,), "apply": ("fleet", asked)}
    asked.spec["configuration"] = {"name": "x"}
    with pytest.raises(Failure) as failed:
        getattr(api, write)(*words[write])
    assert failed.value.code == ExitCode.SERVER_UNREACHABLE


@pytest.mark.parametrize(
    ("location", "said"),
    [
        ("https://dstack.example.com/api/server/get_info", "write https://dstack.example.com in server.url"),
        (
            "https://sso.example.com/login?next=/api",
            "is no dstack server: it redirects to https://sso.example.com/login",
        ),
        ("/login", "is no dstack server: it redirects to"),
        ("", "is no dstack server: it redirects to"),
    ],
)
@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("body", [b"", PAGE])
def test_a_redirect_names_the_address_to_write(
    server: Server, api: Api, location: str, said: str, status: int, body: bytes
) -> None:
    server.faults = [Fault(status, body, {"Location": location})]
    with pytest.raises(Failure) as failed:
        api.server_version()
    assert failed.value.code == ExitCode.SERVER_UNREACHABLE
    assert said in str(failed.value)


@pytest.mark.parametrize("status", [401, 403, 404, 405, 501])
def test_another_web_server_is_said_to_be_none_of_dstacks(server: Server, api: Api, status: int) -> None:
    server.status, server.body = status, PAGE
    with pytest.raises(Failure, match="is no dstack server") as failed:
        api.run("x")
    assert failed.value.code == ExitCode.SERVER_UNREACHABLE


def test_netrc_does_not_replace_the_token(
    server: Server, api: Api, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".netrc").write_text("default login anonymous password me@example.com\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    server.body = b"[]"
    api.secret_names()
    assert server.asked[0][2] == "Bearer t0ken"


def test_no_proxy_is_asked_for_this_machine(server: Server, api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    server.body = b"[]"
    assert api.secret_names() == set()


class Runs:
    """Runs of a dstack server that compares and swaps, as far as `runs/apply` and `runs/get` go."""

    def __init__(self, server: Server) -> None:
        self.current = run_json(job())
        self.applied = 0
        server.bodies |= {"runs/get": lambda _: self.current, "runs/apply": self._apply}

    def plan(self, value: str) -> RunPlan:
        spec = self.current["run_spec"] | {"configuration": {"env": {"A": value}}}
        body = {"action": "update", "run_spec": spec, "effective_run_spec": spec, "current_resource": self.current}
        return RunPlan.model_validate(json.loads(json.dumps(body)))

    def put(self, spec: Any) -> Any:
        self.applied += 1
        self.current = self.current | {"run_spec": spec, "deployment_num": self.current["deployment_num"] + 1}
        return self.current

    def _apply(self, body: Any) -> Any:
        if body["plan"]["current_resource"]["run_spec"] != self.current["run_spec"]:
            return Fault(400, b'{"detail": [{"msg": "Failed to apply plan. Resource has been changed."}]}')
        return self.put(body["plan"]["run_spec"])


def test_a_write_whose_answer_was_lost_is_looked_up_and_not_repeated(server: Server, api: Api) -> None:
    runs = Runs(server)
    server.faults = [Fault(lost=True)]
    run = api.patient(print).apply_run(runs.plan("2"))
    assert (run.deployment_num, runs.applied) == (1, 1)
    assert server.paths == ["runs/apply", "runs/get"]


def test_a_write_that_was_not_carried_out_is_sent_again(server: Server, api: Api) -> None:
    runs = Runs(server)
    server.faults = [Fault(503)]
    run = api.apply_run(runs.plan("2"))
    assert (run.deployment_num, runs.applied) == (1, 1)
    assert server.paths == ["runs/apply", "runs/get", "runs/apply"]


def test_a_write_does_not_count_as_done_because_someone_else_wrote(server: Server, api: Api) -> None:
    runs = Runs(server)
    plan = runs.plan("2")
    runs.put({"configuration": {"env": {"A": "3"}}, "run_name": "x"})
    server.faults = [Fault(503)]
    with pytest.raises(Failure) as failed:
        api.apply_run(plan)
    assert (failed.value.code, runs.applied) == (ExitCode.PLAN_OUTDATED, 1)
    assert runs.current["run_spec"]["configuration"]["env"] == {"A": "3"}
