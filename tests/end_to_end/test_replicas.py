"""Replicas as dstack lets them be written: not at all, and in groups."""

from __future__ import annotations

import json
import time
from typing import Any

from tests.end_to_end.conftest import Make
from tests.end_to_end.project import MODEL, Environment, refused
from tests.sandbox.deployment import wait_for

COMMAND = f"vllm serve {MODEL} --port 8000 --enable-auto-tool-choice --tool-call-parser mistral"


def test_a_service_that_does_not_say_how_many_replicas_has_one(make: Make) -> None:
    environment = make("unsaid", service={"replicas": None})
    environment.deploy()
    assert len(environment.machines()) == 1
    assert "service mistral-nemo-unsaid: unchanged" in environment.deploy().stdout


def test_groups_of_replicas_are_deployed_when_each_of_them_is_ready(make: Make) -> None:
    cards = {"small": "48GB", "big": "80GB"}
    groups = [
        {"name": name, "replicas": 1, "commands": [COMMAND], "resources": {"gpu": card, "disk": "100GB.."}}
        for name, card in cards.items()
    ]
    environment = make("groups", service={"replicas": None, "commands": None, "groups": groups})
    environment.deploy()
    assert len(environment.machines()) == 2
    assert [replica["probes"] for replica in environment.status()["replicas"]] == ["passing"] * 2
    assert "service mistral-nemo-groups: unchanged" in environment.deploy().stdout


def group(name: str, service: dict[str, Any], **contents: Any) -> dict[str, Any]:
    """A group of one replica that is made from what the service says."""
    return {"name": name, "replicas": 1, "commands": service["commands"], "resources": service["resources"]} | contents


def grouped(environment: Environment, *groups: dict[str, Any]) -> str:
    """Write these groups into the file; what `inv plan` calls the change."""
    environment.write(service={"replicas": None, "commands": None, "groups": list(groups)})
    plan = json.loads(environment.inv("plan", "--json").stdout)
    return str(plan["service"]["change"])


def apply_directly(environment: Environment, **configuration: Any) -> None:
    """Have dstack update the run as nobody's deploy would."""
    run = environment.ask_dstack("runs/get", run_name=environment.run_name)
    spec = run["run_spec"] | {"configuration": run["run_spec"]["configuration"] | configuration}
    plan = environment.ask_dstack("runs/get_plan", run_spec=spec)
    assert plan["action"] == "update"
    sent = {"run_spec": plan["run_spec"], "current_resource": plan["current_resource"]}
    environment.ask_dstack("runs/apply", plan=sent, force=False)


def test_what_a_change_of_groups_is_called_is_what_it_does_to_requests(make: Make) -> None:
    environment = make("regrouped", fleet={"nodes": "0..4"})
    environment.deploy()
    service = json.loads(environment.inv("render", "--json").stdout)["service"]
    [first] = environment.machines()
    big = group("big", service, resources={"gpu": "80GB", "disk": "100GB.."})

    with environment.load(every=0.5) as answers:
        assert grouped(environment, group("0", service), big) == "in place"  # `replicas` becomes "0"; one joins it
        environment.deploy()
        assert len(environment.machines()) == 2
        assert grouped(environment, group("0", service)) == "in place"  # another one stays
        environment.deploy()
        wait_for(lambda: environment.machines() == [first], 120)
        other = ["true", *service["commands"]]
        assert grouped(environment, group("0", service, commands=other)) == "rolling"
        environment.deploy()
        wait_for(lambda: len(environment.machines()) == 1, 120)
    assert [answer.failure for answer in answers if answer.failure] == []
    [second] = environment.machines()
    assert second != first

    environment.write(protected=True)
    assert grouped(environment, group("renamed", service, commands=other)) == "restart"
    refused(environment.inv("deploy", "--yes"), 25, "changing groups", "--allow-restart", "in two deploys")
    groups = environment.ask_dstack("runs/get", run_name=environment.run_name)["run_spec"]["configuration"]["groups"]
    with environment.load(every=0.5) as answers:
        apply_directly(environment, groups=[groups[0] | {"name": "renamed"}])
        wait_for(lambda: second not in environment.machines(), 120)
        time.sleep(3)
    assert [answer.failure for answer in answers if answer.failure]  # what dstack does: an outage
    environment.write(protected=False)
