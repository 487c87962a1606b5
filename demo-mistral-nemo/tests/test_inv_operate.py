"""The tasks beside a deploy: doctor, secrets, status, logs, smoke, bench, destroy, server."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from answering import Fault
from person import Person
from test_bench import SUMMARY

from console.errors import ExitCode

FORBIDDEN = Fault(403, b'{"detail": {"msg": "Access denied", "code": null}}')
TIMES = {"chat": {"chat_ms", "json_ms", "first_token_ms", "stream_ms"}, "pictures": {"picture_ms"}}
SECRET = {"env": {"KEY": "${{ secrets.absent }}"}}


def test_a_doctor_who_finds_nothing_says_what_is_in_place(person: Person) -> None:
    done = person.inv("doctor")
    assert done.code == 0, done.errors
    checks = ["settings", "placeholders", "server", "token", "clouds", "secrets", "GitHub"]
    assert [line.split(" ", 1)[1].partition(":")[0] for line in done.output.splitlines()] == checks
    found = person.inv("doctor", "--json").json
    assert [(finding["check"], finding["ok"]) for finding in found] == [
        (check, None if check == "GitHub" else True) for check in checks
    ]


def test_a_doctor_ends_with_what_is_missing(person: Person) -> None:
    person.write("dev", service=SECRET)
    done = person.inv("doctor", "--json")
    assert done.code == ExitCode.SECRET_MISSING
    assert [finding["check"] for finding in done.json if finding["ok"] is not True] == ["secrets", "GitHub"]
    assert "inv secrets.set absent --env dev" in done.errors
    person.dstack.clouds = []
    assert person.inv("doctor").code == ExitCode.CLOUD_MISSING


def test_secrets_are_listed_by_name(person: Person) -> None:
    person.write("dev", service=SECRET)
    person.dstack.secrets["spare"] = "value"
    found = {entry["name"]: entry for entry in person.inv("secrets.list", "--json").json}
    assert found["absent"] == {"name": "absent", "needed": True, "set": False}
    assert found["spare"] == {"name": "spare", "needed": False, "set": True}
    shown = person.inv("secrets.list").output.splitlines()
    assert "absent: missing, run `inv secrets.set absent`" in shown
    assert "spare: set, not used here" in shown


def test_a_secret_comes_through_a_pipe_and_is_not_shown(person: Person) -> None:
    done = person.inv("secrets.set", "key", piped="s3cret\n")
    assert done.code == 0, done.errors
    assert person.dstack.secrets["key"] == "s3cret"
    assert "s3cret" not in done.output + done.errors


def test_an_empty_secret_is_refused(person: Person) -> None:
    assert person.inv("secrets.set", "key").code == ExitCode.SETTINGS_INVALID
    assert not person.dstack.changes


def test_a_user_who_may_not_see_secrets_gets_a_message(person: Person) -> None:
    person.dstack.bodies["secrets/list"] = FORBIDDEN
    assert person.inv("secrets.list").code == ExitCode.TOKEN_REFUSED


def test_the_status_has_url_deployment_replicas_and_price(deployed: Person) -> None:
    done = deployed.inv("status", "--json")
    keys = {"run", "url", "status", "deployment", "commit", "price_per_hour", "cost", "replicas"}
    keys |= {"age_seconds", "serving", "incident", "gateway", "records", "alarms"}
    assert (done.code, done.json.keys()) == (0, keys)
    [replica] = done.json["replicas"]
    assert (replica["status"], replica["probes"], replica["gpu"]) == ("running", "passing", "A40 48 GB")
    shown = deployed.inv("status").output
    assert done.json["url"] in shown
    assert "$0.40 an hour ($292 a month), $1.25 so far" in shown


@pytest.mark.parametrize("task", ["status", "smoke", "logs", "bench"])
def test_what_is_not_deployed_is_said_to_be_so(person: Person, task: str, uvx: Path) -> None:
    done = person.inv(task)
    assert (done.code, done.output) == (ExitCode.NOT_DEPLOYED, "")
    assert person.environment("dev").run_name in done.errors


def test_logs_are_the_last_lines_of_the_newest_that_wrote(deployed: Person) -> None:
    deployed.dstack.written = "one\ntwo\nthree\n"
    done = deployed.inv("logs", "--lines", "2")
    assert (done.code, done.output) == (0, "two\nthree\n")
    assert "replica 0 of deployment 0, running" in done.errors
    asked = {path: body for path, body, _ in deployed.dstack.asked}["/api/project/main/logs/poll"]
    assert asked["descending"]


def test_logs_of_a_replica_that_never_was_are_none(deployed: Person) -> None:
    assert deployed.inv("logs", "--replica", "0").output == deployed.dstack.written
    assert deployed.inv("logs", "--replica", "7").code == ExitCode.NOT_DEPLOYED
    assert deployed.inv("logs", "--lines", "none").code == ExitCode.SETTINGS_INVALID


def test_a_smoke_test_has_the_latencies(deployed: Person) -> None:
    done = deployed.inv("smoke", "--json")
    times = TIMES.get(deployed.kind, {f"{deployed.kind}_ms"})
    assert done.code == 0, done.errors
    assert done.json.keys() - {"tool_ms"} == {"url", "model", "models_ms", "text"} | times
    shown = deployed.inv("smoke").output
    assert f"{done.json['url']} answers as {done.json['model']}" in shown
    assert "models" in shown.splitlines()[-1]


def test_a_smoke_test_quotes_an_endpoint_that_fails(deployed: Person) -> None:
    name = deployed.environment("dev").run_name
    deployed.dstack.bodies[f"/proxy/services/main/{name}/v1/models"] = Fault(500, b"CUDA error")
    done = deployed.inv("smoke", "--json")
    assert (done.code, done.output) == (ExitCode.SMOKE_FAILED, "")
    assert "CUDA error" in done.errors


@pytest.fixture
def uvx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a uvx that writes what AIPerf writes, and what it was called with into `called`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "summary").write_text(json.dumps(SUMMARY), encoding="utf-8")
    script = f"""#!/bin/sh
echo "$BENCH_CONCURRENCY $BENCH_REQUESTS $BENCH_INPUT_CHARACTERS $BENCH_URL $BENCH_MODEL" > {folder}/called
cp {folder}/summary "$BENCH_FOLDER/profile_export_aiperf.json"
"""
    (folder / "uvx").write_text(script, encoding="utf-8")
    (folder / "uvx").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_a_load_test_is_shown_and_left_in_its_folder(deployed: Person, uvx: Path) -> None:
    load = ["--concurrency", "2", "--requests", "6", "--input-tokens", "10", "--folder", "load"]
    done = deployed.inv("bench", *load, "--json")
    assert done.code == 0, done.errors
    report: dict[str, Any] = done.json
    called = (uvx / "called").read_text("utf-8").split()
    assert called[:4] == ["2", "6", "40", deployed.inv("status", "--json").json["url"]]
    assert (report["concurrency"], report["requests"], report["gpus"]) == (2, 6, ["A40 48 GB"])
    assert (report["price_per_hour"], report["answer_ms"]["p50"]) == (0.4, 1.0)
    assert "dollars_per_million_requests" in report
    assert json.loads((deployed.folder / "load" / "report.json").read_text("utf-8")) == report
    assert (deployed.folder / "load" / "report.svg").exists()
    shown = deployed.inv("bench", *load).output
    assert "on A40 48 GB: 6 requests, 2 at a time" in shown


def test_a_load_test_without_numbers_is_a_failure(deployed: Person, uvx: Path) -> None:
    (uvx / "summary").unlink()
    assert deployed.inv("bench").code == ExitCode.BENCH_FAILED
    assert deployed.inv("bench", "--requests", "0").code == ExitCode.SETTINGS_INVALID


def test_there_is_nothing_to_destroy_where_nothing_is(person: Person) -> None:
    done = person.inv("destroy", "--yes")
    nothing = "nothing to destroy, and dstack knows of nothing that is billed for it"
    assert (done.code, done.output) == (0, f"{person.environment('dev').run_name}: {nothing}\n")
    assert not person.dstack.changes


def test_a_dry_run_destroys_nothing(deployed: Person) -> None:
    done = deployed.inv("destroy", "--dry-run")
    assert done.code == 0
    assert f"run {deployed.environment('dev').run_name} (running, $0.40 an hour)" in done.output
    assert not deployed.dstack.changes


def test_everything_is_destroyed_in_an_order_that_saves_money(in_production: Person) -> None:
    assert in_production.inv("destroy", "--yes", "--env", "prod").code == ExitCode.RESTART_REFUSED
    assert in_production.inv("destroy", "--allow-outage", "--env", "prod").code == ExitCode.DECLINED
    assert not in_production.dstack.changes
    done = in_production.inv("destroy", "--allow-outage", "--yes", "--env", "prod")
    assert done.code == 0, done.errors
    assert in_production.dstack.changes == ["runs/stop", "fleets/delete", "gateways/delete"]
    assert not in_production.records.sets
    assert done.output.endswith(": nothing of it is left, and nothing is billed any more\n")


def test_a_destroy_that_fails_says_what_is_still_billed(deployed: Person) -> None:
    deployed.dstack.bodies["runs/stop"] = FORBIDDEN
    done = deployed.inv("destroy", "--yes")
    assert done.code == ExitCode.TOKEN_REFUSED
    name = deployed.environment("dev").run_name
    assert f"still there, and billed as it says: run {name} (running, $0.40 an hour)" in done.errors
    assert "run `inv destroy --env dev` again" in done.errors


def test_a_destroy_of_which_a_part_fails_names_that_part_alone(in_production: Person) -> None:
    in_production.dstack.bodies["gateways/delete"] = FORBIDDEN
    done = in_production.inv("destroy", "--allow-outage", "--yes", "--env", "prod")
    assert done.code == ExitCode.TOKEN_REFUSED
    left = next(line for line in done.errors.splitlines() if "still there, and billed" in line)
    assert f"billed as it says: gateway {in_production.environment('prod').run_name} (" in left
    assert "billed by aws" in left
    assert "fleet" not in left
    assert "nothing is billed" not in done.output


def test_a_machine_that_is_not_released_in_time_is_still_billed(
    deployed: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployed.write("dev", timeouts={"stop": 1})
    deployed.dstack.bodies["runs/stop"] = None  # it answers, and the run goes on
    done = deployed.inv("destroy", "--yes")
    assert done.code == ExitCode.STILL_THERE
    assert "still there, and billed as it says: run " in done.errors
    assert "$0.40 an hour" in done.errors


def test_a_server_of_ones_own_needs_keys_and_a_free_port(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    for cloud in person.service.get("backends", []):
        monkeypatch.setenv(f"{cloud.upper()}_API_KEY", "key")
    done = person.inv("server")
    assert done.code == ExitCode.SETTINGS_INVALID
    assert f"another server is at {person.dstack.url} already" in done.errors
    monkeypatch.setenv("DSTACK_SERVER_URL", "https://dstack.example.com")
    assert "which is not on this machine" in person.inv("server").errors
    monkeypatch.setenv("DSTACK_TOKEN", "")
    done = person.inv("server")
    assert done.code == ExitCode.SETTINGS_INVALID
    assert ".env lacks DSTACK_TOKEN" in done.errors
