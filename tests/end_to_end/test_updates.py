"""A service that serves, and what changes do to it."""

from __future__ import annotations

import json

from tests.end_to_end.project import Environment, refused
from tests.sandbox.deployment import wait_for

ADAPTER = "--enable-lora --max-lora-rank 32 --lora-modules sql=acme/sql-lora"


def alone(serving: Environment) -> None:
    """Wait until dstack has ended what it has one replica too many of."""
    wait_for(lambda: len(serving.status()["replicas"]) == 1 == len(serving.machines()))


def test_the_first_deploy_ends_with_an_answered_chat(serving: Environment) -> None:
    assert "stand-in" in serving.ask().json()["choices"][0]["message"]["content"]
    assert serving.inv("smoke").returncode == 0
    assert "vLLM API server version" in serving.inv("logs").stdout
    alone(serving)
    assert [replica["probes"] for replica in serving.status()["replicas"]] == ["passing"]


def test_a_second_deploy_changes_nothing(serving: Environment) -> None:
    before, status = serving.sandbox.calls(writes=True), serving.status()
    done = serving.inv("deploy")  # nothing to agree to, so nobody is asked
    assert done.returncode == 0, done.stderr
    assert "service mistral-nemo-serving: unchanged" in done.stdout
    assert serving.inv("plan", "--detailed-exitcode").returncode == 0
    assert serving.sandbox.calls(writes=True) == before
    assert serving.status()["deployment"] == status["deployment"]


def test_the_same_files_are_unchanged_for_a_colleague(serving: Environment) -> None:
    token = serving.sandbox.add_user("bob")
    done = serving.inv("plan", "--detailed-exitcode", "--json", DSTACK_TOKEN=token)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["service"] == {"change": "unchanged", "differences": []}


def test_changed_flags_roll_over_without_a_failed_request_and_an_adapter_answers_by_its_name(
    serving: Environment,
) -> None:
    serving.write(service={"env": {"MAX_NUM_SEQS": 96, "LORA_FLAGS": ADAPTER}})
    plan = serving.inv("plan", "--detailed-exitcode")
    assert plan.returncode == 10, plan.stderr
    assert "service mistral-nemo-serving: rolling" in plan.stdout
    assert "env.MAX_NUM_SEQS: 128 -> 96" in plan.stdout
    old = serving.machines()
    with serving.load() as answers:
        serving.deploy()
        wait_for(lambda: not set(serving.machines()) & set(old))
    assert len(answers) > 100
    assert [answer for answer in answers if answer.failure] == []
    assert serving.ask(model="sql").ok
    report = json.loads(serving.inv("smoke", "--json").stdout)
    assert {"chat_ms", "stream_ms", "json_ms", "tool_ms"} <= report.keys()


def test_more_replicas_are_made_in_place(serving: Environment) -> None:
    alone(serving)  # the previous one may still be stopping
    [old], one = serving.machines(), serving.settings.get("service", {})
    serving.write(service=one | {"replicas": 2})
    assert "service mistral-nemo-serving: in place" in serving.inv("plan").stdout
    serving.deploy()
    assert [replica["probes"] for replica in serving.status()["replicas"]] == ["passing"] * 2
    assert old in serving.machines()
    serving.write(service=one)
    serving.deploy()


def test_a_restart_of_a_protected_service_is_refused_unless_allowed(serving: Environment) -> None:
    serving.write(protected=True, service=serving.settings.get("service", {}) | {"spot_policy": "auto"})
    assert serving.inv("plan", "--detailed-exitcode").returncode == 11
    refused(serving.inv("deploy", "--yes"), 25, "spot_policy", "--allow-restart")
    refused(serving.inv("destroy", "--yes"), 25, "is protected", "--allow-outage")
    assert serving.ask().ok
    serving.deploy("--allow-restart")
    assert serving.status()["status"] == "running"
    serving.write(protected=False)
