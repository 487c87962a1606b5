"""The server's answers, as a server on loopback gives them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from answering import Server
from conftest import job, run, run_json

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.environments import Environment
from deploy.removal import stop
from deploy.settings import Timeouts

PLAN = {"action": "update", "run_spec": {}, "effective_run_spec": {}, "job_plans": []}


@pytest.mark.parametrize(
    ("status", "body", "code", "said"),
    [
        (403, {"detail": {"msg": "Invalid token", "code": None}}, ExitCode.TOKEN_REFUSED, "set DSTACK_TOKEN"),
        (401, {"detail": "Not authenticated"}, ExitCode.TOKEN_REFUSED, "set DSTACK_TOKEN"),
        (403, {"detail": {"msg": "Access denied"}}, ExitCode.TOKEN_REFUSED, "ask for a role"),
        (404, {"detail": {"msg": "Not found"}}, ExitCode.PROJECT_MISSING, "no project 'main'"),
        (400, {"detail": [{"msg": "Gateway g does not exist", "code": "error"}]}, ExitCode.SERVER_REFUSED, "Gateway g"),
        (
            400,
            {"detail": [{"msg": "Failed to apply plan. Resource has been changed."}]},
            ExitCode.PLAN_OUTDATED,
            "somebody",
        ),
        (
            400,
            {"detail": [{"msg": "Gateway 'x' is in FAILED status and cannot be updated in-place."}]},
            ExitCode.GATEWAY_FAILED,
            "inv gateway.destroy",
        ),
        (
            422,
            {"detail": [{"loc": ["body", "run_spec", "configuration", "ports"], "msg": "Extra inputs"}]},
            ExitCode.SERVER_REFUSED,
            "(422): ports: Extra inputs",
        ),
        (400, {"detail": [{"msg": "Gateway 'x' is being deleted."}]}, ExitCode.STILL_THERE, "run it again"),
        (
            400,
            {"detail": [{"msg": "The client/CLI version (9.0.0) is incompatible with the server version (0.22.5)."}]},
            ExitCode.SERVER_REFUSED,
            "upgrade the server first",
        ),
        (500, "Internal Server Error", ExitCode.SERVER_REFUSED, "500"),
        (502, "Bad gateway", ExitCode.SERVER_UNREACHABLE, "502"),
        (200, "<html>", ExitCode.SERVER_UNREACHABLE, "no dstack server"),
    ],
)
def test_an_answer_becomes_an_instruction(
    server: Server, api: Api, status: int, body: Any, code: ExitCode, said: str
) -> None:
    server.status, server.body = status, (body if isinstance(body, str) else json.dumps(body)).encode()
    with pytest.raises(Failure) as failed:
        api.clouds()
    assert failed.value.code == code
    assert said in str(failed.value)
    assert "\n" not in str(failed.value)


@pytest.mark.parametrize(
    ("kind", "file", "where", "key"),
    [
        ("fleet", "dstack/fleet.dstack.yml", ["spec", "configuration", "node"], "node"),
        ("gateway", "dstack/gateway.dstack.yml", ["spec", "configuration", "domian"], "domian"),
        ("run", "dstack/service.dstack.yml", ["run_spec", "configuration", "service", "replcas"], "service.replcas"),
    ],
)
def test_what_dstack_does_not_take_is_named_with_file_and_key(
    server: Server, api: Api, kind: str, file: str, where: list[str], key: str
) -> None:
    refusal = {"detail": [{"loc": ["body", *where], "msg": "Extra inputs are not permitted"}]}
    server.status, server.body = 422, json.dumps(refusal).encode()
    with pytest.raises(Failure) as failed:
        api.plan_run({"name": "x"}, None) if kind == "run" else api.plan(kind, {})
    assert failed.value.code == ExitCode.SETTINGS_INVALID
    said = f"dstack does not take environments/prod.yml over {file}: {key}: Extra inputs are not permitted"
    assert str(failed.value) == said


def test_a_server_that_is_not_there_is_said_to_be_unreachable(environment: Environment) -> None:
    with pytest.raises(Failure, match=r"no dstack server answers at http://127\.0\.0\.1:9") as failed:
        Api(replace(environment, server_url="http://127.0.0.1:9")).server_version()
    assert failed.value.code == ExitCode.SERVER_UNREACHABLE


def test_what_does_not_exist_is_none(server: Server, api: Api) -> None:
    server.status, server.body = 400, b'{"detail": [{"msg": "Run not found", "code": "resource_not_exists"}]}'
    assert api.run("x") is None
    assert not api.exists("fleet", "x")


@pytest.mark.parametrize("still", ["run", "fleet"])
def test_what_does_not_go_away_is_named_before_dstack_forgets_it(
    server: Server, environment: Environment, still: str
) -> None:
    hurried = replace(environment, server_url=server.url, timeouts=Timeouts(stop=1))
    server.body = json.dumps(run_json(job()) | {"name": "x", "spec": {}}).encode()
    server.bodies |= {"runs/stop": None, "fleets/delete": None}
    api = Api(hurried)
    end = {"run": lambda: stop(api, "x", print), "fleet": lambda: api.delete("fleet", "x", print)}
    with pytest.raises(Failure, match=f"{still} .* is still there after 1 s.*15 minutes") as failed:
        end[still]()
    assert failed.value.code == ExitCode.STILL_THERE


def test_all_active_runs_are_listed_however_many_there_are(server: Server, api: Api) -> None:
    total = 250

    def page(body: Any) -> Any:
        begin = int(body["prev_run_id"]) + 1 if "prev_run_id" in body else 0
        ids = range(begin, min(begin + body["limit"], total))
        return [run_json() | {"id": str(number), "submitted_at": f"2026-11-01T00:00:00.{number}Z"} for number in ids]

    server.bodies["/api/runs/list"] = page
    assert [found.id for found in api.active_runs()] == [str(number) for number in range(total)]
    assert server.asked[1][1]["prev_submitted_at"] == "2026-11-01T00:00:00.99Z"


def test_the_token_travels_in_a_header_alone(server: Server, api: Api) -> None:
    server.body = b"[]"
    api.secret_names()
    [(path, body, authorization)] = server.asked
    assert (path, authorization) == ("/api/project/main/secrets/list", "Bearer t0ken")
    assert "t0ken" not in path + json.dumps(body)


@pytest.mark.parametrize(("status", "key"), [("running", "ssh-ed25519 first"), ("failed", None)])
def test_a_colleagues_plan_uses_the_key_that_the_run_was_made_with(
    server: Server, api: Api, environment: Environment, status: str, key: str | None
) -> None:
    server.bodies["runs/get_plan"] = PLAN
    api.plan_run(environment.service | {"gateway": False}, run(job(), status=status))
    assert server.asked[0][1]["run_spec"]["ssh_key_pub"] == key


@pytest.mark.parametrize(("status", "kept"), [("running", "auto"), ("failed", None)])
def test_a_service_that_leaves_its_gateway_keeps_https_which_means_nothing_then(
    server: Server, api: Api, environment: Environment, status: str, kept: str | None
) -> None:
    server.bodies["runs/get_plan"] = PLAN
    service = {key: value for key, value in environment.service.items() if key != "https"} | {"gateway": False}
    served = run(job(), status=status)
    served.run_spec["configuration"]["https"] = "auto"
    api.plan_run(service, served)
    assert server.asked[0][1]["run_spec"]["configuration"].get("https") == kept


@pytest.mark.parametrize(
    ("current", "written"),
    [
        (None, "x"),
        ("x", "x"),
        ("main/x", "main/x"),
        ("other", "x"),
    ],  # for dstack, `main/x` is not `x`
)
def test_a_run_keeps_the_reference_to_its_gateway(
    server: Server, api: Api, environment: Environment, current: str | None, written: str
) -> None:
    server.bodies["runs/get_plan"] = PLAN
    was = run(job())
    was.run_spec["configuration"]["gateway"] = current
    api.plan_run(environment.service | {"gateway": "x"}, was)
    assert server.asked[-1][1]["run_spec"]["configuration"]["gateway"] == written


def test_the_plan_that_was_shown_is_the_plan_that_is_applied(
    server: Server, api: Api, environment: Environment
) -> None:
    current = run_json(job())
    spec = {"run_name": "x"}
    server.bodies["runs/get_plan"] = PLAN | {"run_spec": spec, "current_resource": current}
    shown = api.plan_run(environment.service | {"gateway": False}, None)
    server.body = json.dumps(current).encode()
    api.apply_run(shown)
    assert server.asked[-1][1] == {"plan": {"run_spec": spec, "current_resource": current}, "force": False}
