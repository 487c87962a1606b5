"""What is missing or wrong is reported before anything is rented."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from sandbox import Sandbox
from tests.end_to_end.conftest import Make
from tests.end_to_end.project import refused


def test_a_missing_secret_is_found_before_a_machine_is_rented(make: Make, sandbox: Sandbox) -> None:
    environment = make("secret", service={"env": {"HF_TOKEN": "${{ secrets.hf_token }}"}})
    before = sandbox.calls(writes=True)
    refused(environment.inv("deploy", "--yes"), 24, "inv secrets.set hf_token --env secret")
    refused(environment.inv("doctor"), 24, "inv secrets.set hf_token --env secret")
    found = json.loads(environment.inv("doctor", "--json").stdout)
    [failed] = [check for check in found if check["ok"] is False]
    assert failed["check"] == "secrets"
    assert "inv secrets.set hf_token --env secret" in failed["remedy"]
    assert sandbox.calls(writes=True) == before


def test_a_secret_is_set_from_a_pipe_and_never_shown(make: Make, sandbox: Sandbox) -> None:
    environment = make("secrets", service={"env": {"HF_TOKEN": "${{ secrets.piped }}"}})
    refused(environment.inv("secrets.set", "piped"), 20, "no value for piped")
    done = environment.inv("secrets.set", "piped", typed="hf_topsecret\n")
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
    listed = environment.inv("secrets.list", "--json")
    assert json.loads(listed.stdout) == [{"name": "piped", "needed": True, "set": True}]
    for command in ("secrets.list", "render", "plan", "doctor"):
        done = environment.inv(command)
        assert done.returncode == 0, done.stderr
        assert "hf_topsecret" not in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("variables", "code", "said"),
    [
        ({"DSTACK_TOKEN": "wrong"}, 22, "set DSTACK_TOKEN"),
        ({"DSTACK_SERVER_URL": "http://127.0.0.1:9"}, 21, "no dstack server answers at http://127.0.0.1:9"),
    ],
)
def test_a_server_that_does_not_let_us_in_is_named(make: Make, variables: dict[str, str], code: int, said: str) -> None:
    environment = make("locked-out")
    for command in (["plan"], ["deploy", "--yes"], ["status"], ["destroy", "--yes"]):
        refused(environment.inv(*command, **variables), code, said)
    assert environment.inv("doctor", **variables).returncode == code


def test_a_deploy_above_the_price_limit_rents_nothing(make: Make, sandbox: Sandbox) -> None:
    environment = make("thrifty", max_price_per_hour=0.05)
    before = sandbox.calls(writes=True)
    refused(environment.inv("deploy", "--yes"), 26, "max_price_per_hour is 0.05")
    assert sandbox.calls(writes=True) == before


def test_nothing_is_rented_without_a_yes(make: Make, sandbox: Sandbox) -> None:
    environment = make("undecided")
    before = sandbox.calls(writes=True)
    refused(environment.inv("deploy"), 34, "--yes")
    shown = environment.inv("deploy", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "service mistral-nemo-undecided: create" in shown.stdout
    assert sandbox.calls(writes=True) == before


def test_offers_and_sizes_are_those_of_the_clouds(make: Make) -> None:
    environment = make("choosy")
    offers, sizes = (json.loads(environment.inv(name, "--json").stdout) for name in ("offers", "size"))
    each = [offer["price_per_request"] for offer in offers]
    assert each == sorted(each)
    assert {offer["cloud"] for offer in offers} == {"runpod", "vastai"}
    assert all(("image" in offer["problems"]) == (offer["cloud"] == "vastai") for offer in offers)
    planned = json.loads(environment.inv("plan", "--json").stdout)["offers"]
    assert planned
    assert all(offer["fits"] and offer["requests_at_once"] > 0 for offer in planned)
    assert {size["gpu"] for size in sizes} == {offer["gpu"].split()[0] for offer in offers} >= {"A40", "L40S", "H100"}


def test_a_project_that_does_not_exist_is_named_even_to_a_global_admin(make: Make) -> None:
    environment = make("no-project", server={"project": "elsewhere"})
    refused(environment.inv("deploy", "--yes", DSTACK_PROJECT="elsewhere"), 23, "no project 'elsewhere'")


@pytest.mark.parametrize(
    ("kind", "key", "said"),
    [("service", "replcas", "service.replcas: "), ("fleet", "node", "node: ")],
)
def test_a_mistyped_key_is_named_with_its_file(make: Make, kind: str, key: str, said: str) -> None:
    environment = make("mistyped", **{kind: {key: 2}})
    done = environment.inv("deploy", "--yes")
    refused(done, 20, f"environments/mistyped.yml over dstack/{kind}.dstack.yml", said)


def test_what_is_not_deployed_is_said_to_be_not_deployed(make: Make) -> None:
    environment = make("absent")
    for command in ("status", "smoke", "logs"):
        refused(environment.inv(command), 33)


def test_a_local_server_takes_its_keys_from_dotenv_and_says_what_goes_on_without_it(
    project: Path, sandbox: Sandbox, tmp_path: Path
) -> None:
    """`inv server` itself, with the emulated clouds behind it."""
    folder = Path(shutil.copytree(project, tmp_path / "laptop"))
    url = f"http://127.0.0.1:{free_port()}"
    settings = {"server": {"url": url, "project": "evaluation"}}
    (folder / "environments" / "dev.yml").write_text(yaml.safe_dump(settings), "utf-8")
    keys = "".join(f"{cloud.upper()}_API_KEY={key}\n" for cloud, key in sandbox.keys.items())
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("DSTACK_")}
    variables = inherited | sandbox.cloud_environ | {"HOME": str(tmp_path)}

    def inv(*words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "invoke", *words]
        return subprocess.Popen(
            command, cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    with inv("server") as refusing:
        _, errors = refusing.communicate(timeout=60)
    assert refusing.returncode == 20
    assert ".env lacks RUNPOD_API_KEY, VASTAI_API_KEY, DSTACK_TOKEN" in errors

    (folder / ".env").write_text(f"DSTACK_TOKEN=evaluation-t0ken\n{keys}", "utf-8")
    with inv("server") as server:
        assert server.stderr
        said = []
        for line in server.stderr:
            said.append(line)
            if "GPUs keep running, and are billed" in line:
                break
        with inv("plan") as plan:
            output, errors = plan.communicate(timeout=60)
        assert "service mistral-nemo-dev: create" in output, errors
        server.send_signal(signal.SIGINT)
        rest = server.communicate(timeout=60)
        said += [part or "" for part in rest]
    assert server.returncode == 0, said
    assert "evaluation-t0ken" not in "".join(said)
    assert not any(key in "".join(said) for key in sandbox.keys.values())
    with inv("doctor") as doctor:
        doctor.communicate(timeout=60)
    assert doctor.returncode == 21

    (folder / ".env").write_text(f"DSTACK_TOKEN=another-t0ken\n{keys}", "utf-8")
    with inv("server") as refusing:  # the server keeps the first
        _, errors = refusing.communicate(timeout=120)
    assert refusing.returncode == 22, errors
    assert "has the token of the first start" in errors
    assert "Traceback" not in errors


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
