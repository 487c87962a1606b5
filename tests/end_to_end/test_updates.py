"""A service that serves, and what changes do to it."""

from __future__ import annotations

import json
import time

from tests.end_to_end.project import Environment, refused
from tests.sandbox.deployment import wait_for


def test_the_first_deploy_ends_with_an_answered_chat(serving: Environment) -> None:
    assert "stand-in" in serving.ask().json()["choices"][0]["message"]["content"]
    assert serving.inv("smoke").returncode == 0
    assert "vLLM API server version" in serving.inv("logs").stdout
    assert [replica["probes"] for replica in serving.status()["replicas"]] == ["passing"]
    assert len(serving.machines()) == 1


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


def test_a_changed_flag_rolls_over_without_a_failed_request(serving: Environment) -> None:
    serving.write(service={"env": {"MAX_NUM_SEQS": 96}})
    plan = serving.inv("plan", "--detailed-exitcode")
    assert plan.returncode == 10, plan.stderr
    assert "rolling" in plan.stdout
    assert "env.MAX_NUM_SEQS: 128 -> 96" in plan.stdout
    old = serving.machines()
    with serving.load() as answers:
        serving.deploy()
        until = time.monotonic() + 60
        while set(serving.machines()) & set(old) and time.monotonic() < until:
            time.sleep(1)
    assert not set(serving.machines()) & set(old)
    assert len(answers) > 100
    assert [answer for answer in answers if answer.failure] == []


def test_an_adapter_is_a_setting_that_rolls_out_and_answers_by_its_name(serving: Environment) -> None:
    good = serving.settings
    serving.write(service={"env": {"LORA_FLAGS": "--enable-lora --max-lora-rank 32 --lora-modules sql=acme/sql-lora"}})
    assert "service mistral-nemo-serving: rolling" in serving.inv("plan").stdout
    serving.deploy()
    assert serving.ask(model="sql").ok
    report = json.loads(serving.inv("smoke", "--json").stdout)
    assert {"chat_ms", "stream_ms", "json_ms", "tool_ms"} <= report.keys()
    serving.write(**good)
    serving.deploy()


def test_more_replicas_are_made_in_place(serving: Environment) -> None:
    wait_for(lambda: len(serving.machines()) == 1, 120)  # the one before may still be leaving
    [old] = serving.machines()
    serving.write(service=serving.settings["service"] | {"replicas": 2})
    assert "service mistral-nemo-serving: in place" in serving.inv("plan").stdout
    serving.deploy()
    assert [replica["probes"] for replica in serving.status()["replicas"]] == ["passing"] * 2
    assert old in serving.machines()
    serving.write(service=serving.settings["service"] | {"replicas": 1})
    serving.deploy()


def alone(serving: Environment) -> None:
    """Wait until dstack has ended what it has one replica too many of."""
    wait_for(lambda: len(serving.status()["replicas"]) == 1 == len(serving.machines()))


def test_more_replicas_than_the_price_limit_allows_are_refused(serving: Environment) -> None:
    alone(serving)
    good, before = serving.settings, serving.sandbox.calls(writes=True)
    more = {"service": serving.settings["service"] | {"replicas": 2}}
    serving.write(max_price_per_hour=0.05, **more)
    assert "No offer: the cheapest offer is $0.40 an hour" in serving.inv("plan").stdout
    refused(serving.inv("deploy", "--yes"), 26, "max_price_per_hour is 0.05")
    assert serving.sandbox.calls(writes=True) == before
    serving.write(max_price_per_hour=None, **good)


def test_a_replica_more_that_no_cloud_hands_out_is_taken_back_in_time(serving: Environment) -> None:
    good = serving.settings
    for cloud in ("runpod", "vastai"):
        serving.sandbox.faults.set_capacity(cloud, available=False)
    serving.write(service=serving.settings["service"] | {"replicas": 2}, timeouts={"capacity": 20, "ready": 300})
    refused(serving.inv("deploy", "--yes"), 26, "within 20 s", "what served before keeps serving")
    serving.sandbox.faults.clear()
    assert serving.ask().ok
    serving.write(timeouts={"capacity": 60, "ready": 300}, service=good["service"])
    serving.deploy()
    alone(serving)


def test_a_secret_that_a_member_can_not_look_for_is_no_risk_to_what_serves(serving: Environment) -> None:
    good, before = serving.settings, serving.sandbox.calls(writes=True)
    token = serving.sandbox.add_user("member")
    env = serving.settings["service"].get("env", {})
    serving.write(service=serving.settings["service"] | {"env": env | {"NEW": "${{ secrets.unheard_of }}"}})
    done = serving.inv("deploy", "--yes", DSTACK_TOKEN=token)
    refused(done, 24, "unheard_of, new to mistral-nemo-serving", "let a manager")
    assert serving.sandbox.calls(writes=True) == before
    assert serving.ask().ok
    serving.write(**good)
    assert serving.inv("deploy", "--yes", DSTACK_TOKEN=token).returncode == 0


def test_a_rolling_change_that_no_offer_fits_is_refused_and_the_service_lives(serving: Environment) -> None:
    good, before = serving.settings, serving.sandbox.calls(writes=True)
    serving.write(service={"resources": {"gpu": {"memory": "900GB.."}}})
    refused(serving.inv("deploy", "--yes"), 26, "the service keeps running as it is")
    assert serving.sandbox.calls(writes=True) == before
    assert serving.ask().ok
    serving.write(**good)


def test_a_restart_of_a_protected_service_is_refused_unless_allowed(serving: Environment) -> None:
    good = serving.settings
    serving.write(protected=True, service={"spot_policy": "auto"})
    assert serving.inv("plan", "--detailed-exitcode").returncode == 11
    refused(serving.inv("deploy", "--yes"), 25, "spot_policy", "--allow-restart")
    refused(serving.inv("destroy", "--yes"), 25, "is protected", "--allow-outage")
    assert serving.ask().ok
    serving.deploy("--allow-restart")
    assert serving.status()["status"] == "running"
    serving.write(protected=True, **good)
    serving.deploy("--allow-restart")


def test_a_rollout_that_crashes_is_taken_back(serving: Environment) -> None:
    good = serving.settings
    serving.write(service={"env": {"SANDBOX_CRASH": 1}})
    with serving.load(every=1) as answers:
        done = serving.inv("deploy", "--yes")
    refused(done, 28, "exited with code 1", "rolled back, what served before keeps serving")
    assert "CUDA out of memory" in done.stderr
    logs = serving.inv("logs")  # of the crash, not of what was rolled back
    assert "CUDA out of memory" in logs.stdout, logs.stderr
    refused(serving.inv("logs", "--replica", "99"), 33, "replica 99")
    assert answers
    assert [answer for answer in answers if answer.failure] == []
    serving.write(**good)
    serving.deploy()


def test_a_rollout_whose_probes_never_pass_is_taken_back(serving: Environment) -> None:
    good = serving.settings
    serving.write(service={"env": {"MAX_NUM_SEQS": 16}}, timeouts={"capacity": 60, "ready": 40})
    serving.sandbox.faults.add("unready")
    refused(serving.inv("deploy", "--yes"), 29, "within 40 s", "keeps serving")
    serving.sandbox.faults.clear()
    assert serving.ask().ok
    serving.write(**good)
    serving.deploy()
