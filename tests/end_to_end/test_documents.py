"""What dstack would take and then end, or half do, is refused before anything is asked of it."""

from __future__ import annotations

import json
from typing import Any

import pytest
import requests

from sandbox import Sandbox
from tests.end_to_end.conftest import Make
from tests.end_to_end.project import Environment, refused
from tests.sandbox.deployment import wait_for

TYPO = {"API_KEY": "${{ secret.api_key }}"}
COMMANDS = ["vllm serve mistralai/Mistral-Nemo-Instruct-2407 --port 8000"]


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"env": TYPO}, "service.env.API_KEY: dstack does not know ${{ secret.api_key }}"),
        ({"env": {"API_KEY": "${{ env.X }}"}}, "only `dstack apply` fills in ${{ env.X }}"),
        ({"env": {"API_KEY": "write ${{ name"}}, "opens a reference and does not close it"),
        ({"registry_auth": {"username": "a", "password": "${{ secret.b }}"}}, "service.registry_auth.password"),
        ({"env": {"VLLM_USE_V1": True}}, "service.env.VLLM_USE_V1: is true"),
        ({"files": ["template.jinja:tpl/template.jinja"]}, "service.files: only `dstack apply` uploads files"),
        ({"backends": ["vastai"], "spot_policy": "spot"}, "service.spot_policy: 'spot'"),
        ({"model": None}, "service.model: is missing"),
    ],
)
def test_a_healthy_service_is_left_alone(
    serving: Environment, sandbox: Sandbox, service: dict[str, Any], said: str
) -> None:
    before, machines = sandbox.calls(writes=True), serving.machines()
    serving.write(protected=True, service=service)
    try:
        for command in (["deploy", "--yes"], ["plan"], ["render"], ["doctor"]):
            refused(serving.inv(*command), 20, "environments/serving.yml over dstack/service.dstack.yml", said)
        assert serving.status()["status"] == "running"  # which takes the same file
    finally:
        serving.write(protected=False, service={})
    assert (sandbox.calls(writes=True), serving.machines()) == (before, machines)
    assert serving.flaw(stream=False) is None


def test_dstack_itself_ends_a_service_over_such_a_reference(make: Make, sandbox: Sandbox) -> None:
    """Why it has to be refused before it is sent."""
    environment = make("doomed")
    environment.deploy()

    def call(path: str, **body: Any) -> Any:
        answer = requests.post(
            f"{sandbox.url}/api/project/{sandbox.project}/runs/{path}",
            json=body,
            headers=environment.headers,
            timeout=60,
        )
        assert answer.ok, answer.text
        return answer.json()

    run = call("get", run_name=environment.run_name)
    spec = run["run_spec"]
    spec["configuration"]["env"] |= TYPO
    plan = call("get_plan", run_spec=spec)
    assert plan["action"] == "update"
    call("apply", plan={"run_spec": spec, "current_resource": plan["current_resource"]}, force=False)
    wait_for(lambda: call("get", run_name=environment.run_name)["status"] in ("failed", "terminated"), 150)
    assert environment.flaw(stream=False) is not None


def test_an_escaped_reference_is_no_secret(make: Make) -> None:
    environment = make("escaped", service={"env": {"TEXT": "$${{ secrets.x }}"}})
    assert environment.inv("plan").returncode == 0
    listed = environment.inv("secrets.list", "--json")
    assert [one["name"] for one in json.loads(listed.stdout) if one["needed"]] == []


def test_groups_have_to_fit_into_the_fleet_before_anything_is_rented(make: Make, sandbox: Sandbox) -> None:
    groups = [{"name": name, "replicas": 2, "commands": COMMANDS} for name in ("small", "big")]
    service = {"replicas": None, "commands": None, "spot_policy": None, "groups": groups}
    environment, before = make("grouped", service=service), sandbox.calls(writes=True)
    for command in (["deploy", "--yes"], ["plan"]):
        refused(environment.inv(*command), 20, "fleet.nodes: 0..3 is too small for the 4 replicas of service.groups")
    refused(environment.inv("status"), 33)
    assert environment.inv("destroy", "--yes").returncode == 0  # whoever deployed it once can end it
    environment.write(fleet={"nodes": "0..5"})
    assert environment.inv("plan").returncode == 0
    assert sandbox.calls(writes=True) == before


def test_a_service_without_replicas_has_one(make: Make) -> None:
    environment = make("one", service={"replicas": None})
    planned = environment.inv("plan", "--json")
    assert planned.returncode == 0, planned.stderr
    assert json.loads(planned.stdout)["offers"]


def test_offers_are_those_that_the_new_fleet_allows(make: Make) -> None:
    environment = make("narrow", fleet={"resources": {"gpu": "H100"}})
    offers = json.loads(environment.inv("offers", "--json").stdout)
    assert {offer["gpu"].split()[0] for offer in offers} == {"H100"}
    environment.write(fleet={"backends": ["vastai"]})
    offers = json.loads(environment.inv("offers", "--json").stdout)
    assert {offer["cloud"] for offer in offers} == {"vastai"}


def test_a_mistake_is_named_without_a_server(make: Make) -> None:
    environment = make("offline", service={"replica": 2})
    nobody = {"DSTACK_SERVER_URL": "http://127.0.0.1:9"}
    refused(environment.inv("render", **nobody), 20, "service.replica: dstack has no such key; did you mean replicas?")
    refused(environment.inv("offers", **nobody), 20, "service.replica")
