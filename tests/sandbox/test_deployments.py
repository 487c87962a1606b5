"""Services that the real dstack deploys on the emulated clouds, and what happens to them when a cloud fails."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import requests

from sandbox import Sandbox, SandboxError
from tests.sandbox.deployment import MODEL, Deployment, processes_of, wait_for

pytestmark = pytest.mark.server


def test_a_service_deployed_with_dstack_answers_a_chat(deployment: Deployment) -> None:
    started = len(deployment.sandbox.calls())
    assert deployment.apply().returncode == 0
    assert "stand-in" in deployment.answer()
    assert deployment.ask("/proxy/models/sandbox/chat/completions").json()["model"] == MODEL
    pod = deployment.pod()
    assert pod is not None
    assert pod.cost > 0
    assert "vLLM" in deployment.dstack("logs", "chat").stdout
    wait_for(lambda: "gpu=0" in deployment.dstack("metrics", "chat").stdout)
    calls = deployment.sandbox.calls()[started:]
    assert len([call for call in calls if call.write]) == 1  # one machine was rented, no more
    assert deployment.sandbox.calls(cloud="unknown") == []


def test_without_vastais_capacity_the_service_lands_on_runpod(deployment: Deployment) -> None:
    deployment.apply()
    assert wait_for(deployment.pod).cloud == "vastai"  # it is the cheaper one
    deployment.delete()
    deployment.sandbox.faults.set_capacity("vastai", False)
    deployment.apply()
    assert wait_for(deployment.pod).cloud == "runpod"


def test_without_any_capacity_the_run_says_so(deployment: Deployment) -> None:
    deployment.sandbox.faults.set_capacity("vastai", False)
    deployment.sandbox.faults.set_capacity("runpod", False)
    deployment.apply()
    run = wait_for(lambda: (run := deployment.run())["status"] == "failed" and run)
    submission = run["jobs"][0]["job_submissions"][-1]
    assert submission["termination_reason"] == "failed_to_start_due_to_no_capacity"
    assert deployment.pod() is None


def test_errors_of_an_api_make_dstack_try_the_next_offer(deployment: Deployment) -> None:
    deployment.sandbox.faults.set_capacity("vastai", False)
    for status in (429, 500):
        deployment.sandbox.faults.add("error", "runpod", status=status, route="POST /v2/pods", times=1)
    started = len(deployment.sandbox.calls())
    deployment.apply()
    assert wait_for(deployment.pod).cloud == "runpod"
    creates = [call for call in deployment.sandbox.calls()[started:] if call.cloud == "runpod" and call.write]
    assert [(call.status, call.fault) for call in creates] == [(500, "error"), (429, "error"), (201, None)]


def test_with_revoked_keys_nothing_is_rented(deployment: Deployment) -> None:
    deployment.sandbox.faults.add("key")
    started = len(deployment.sandbox.calls())
    deployment.apply()
    wait_for(lambda: deployment.run()["status"] == "failed")
    writes = [call for call in deployment.sandbox.calls()[started:] if call.write]
    assert {call.cloud for call in writes} <= {"runpod", "vastai"}  # dstack may give up before it tried both
    assert {call.status for call in writes} == {401}
    assert deployment.pod() is None


def test_an_unknown_image_is_refused_before_anything_is_rented(deployment: Deployment) -> None:
    deployment.sandbox.faults.add("image", image="vllm/vllm-openai:v0.99*")
    started = len(deployment.sandbox.calls())
    said = deployment.apply(image="vllm/vllm-openai:v0.99.0")
    assert said.returncode == 1
    assert "vllm/vllm-openai:v0.99.0" in said.stdout + said.stderr
    assert [call for call in deployment.sandbox.calls()[started:] if call.write] == []


def test_a_slow_cloud_delays_the_pod_and_no_more(deployment: Deployment) -> None:
    deployment.sandbox.faults.add("slow", seconds=2)
    deployment.apply()
    assert wait_for(deployment.pod)
    assert {call.fault for call in deployment.sandbox.calls(writes=True)[-1:]} == {"slow"}


def test_a_pod_that_is_never_ready_gets_no_requests(deployment: Deployment) -> None:
    deployment.sandbox.faults.add("unready")
    deployment.apply()
    wait_for(lambda: deployment.run()["status"] == "running")
    time.sleep(10)  # two probes
    assert deployment.ask().status_code == 404
    assert deployment.pod() is not None  # and costs money all the same


def test_a_restarted_server_knows_what_it_rented_and_a_second_restart_works_too(deployment: Deployment) -> None:
    deployment.apply()
    deployment.answer()
    rented, url = wait_for(deployment.pod).id, deployment.sandbox.url
    for _ in range(2):
        deployment.sandbox.restart_server()
        assert deployment.run()["status"] == "running"
    assert deployment.sandbox.url == url
    wait_for(lambda: deployment.ask().ok, 60)
    assert wait_for(deployment.pod).id == rented


def test_an_engine_that_hangs_gives_no_answers_and_says_that_it_is_well(deployment: Deployment) -> None:
    deployment.apply()
    deployment.answer()
    deployment.sandbox.hang_engine(wait_for(deployment.pod).id)
    with pytest.raises(requests.Timeout):
        deployment.ask(seconds=5)
    assert deployment.run()["status"] == "running"


def test_two_sandboxes_run_side_by_side_and_one_stops_without_a_trace(deployment: Deployment, tmp_path: Path) -> None:
    second = Sandbox(load_seconds=0.5)
    with second:
        folder = second.folder
        assert folder is not None
        both = deployment, Deployment(second, tmp_path / "second")
        for each in both:
            each.apply()
        for each in both:
            assert "stand-in" in each.answer()
            assert len([pod for pod in each.sandbox.pods() if pod.running]) == 1
        assert {process.name() for process in processes_of(folder)} >= {"dstack", "ssh"}  # there is something to end
    assert processes_of(folder) == []
    assert not folder.exists()
    assert "stand-in" in deployment.answer()  # the end of the one is nothing to the other


def test_an_added_user_is_a_member_with_a_token_that_works(deployment: Deployment) -> None:
    token = deployment.sandbox.add_user("ci", "manager")
    headers = {"Authorization": f"Bearer {token}"}
    project = requests.post(f"{deployment.sandbox.url}/api/projects/sandbox/get", headers=headers, timeout=10).json()
    assert {m["user"]["username"]: m["project_role"] for m in project["members"]}["ci"] == "manager"
    with pytest.raises(SandboxError, match="exists"):
        deployment.sandbox.add_user("ci")
