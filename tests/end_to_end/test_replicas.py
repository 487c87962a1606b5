"""Replicas as dstack lets them be written: not at all, and in groups."""

from __future__ import annotations

from tests.end_to_end.conftest import Make
from tests.end_to_end.project import MODEL

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
