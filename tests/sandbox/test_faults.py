"""What the emulated clouds do on demand, and what they note down: faults, calls, costs."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest
import requests
from dstack._internal.core.backends.runpod.api_client import RunpodApiClient, RunpodV2ClientError
from dstack._internal.core.backends.vastai.api_client import VastAIAPIClient, VastAICreateInstanceError
from dstack._internal.core.errors import BackendInvalidCredentialsError

from sandbox import Sandbox, SandboxError
from sandbox.clouds.rentals import keys_in
from sandbox.world.faults import KINDS
from tests.sandbox.customers import COMMAND, KEYS, L4_POD, pod_info, rent, vastai_offers

# dstack's clients leave their connections to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")


def test_without_capacity_both_clouds_refuse_and_vastai_lists_nothing(
    clouds: Sandbox, runpod_client: RunpodApiClient, vastai_client: VastAIAPIClient
) -> None:
    ask = vastai_offers(clouds)[0].instance.name
    clouds.faults.set_capacity("runpod", False)
    clouds.faults.set_capacity("vastai", False)
    with pytest.raises(RunpodV2ClientError):
        runpod_client.create_pod(**L4_POD)
    with pytest.raises(VastAICreateInstanceError):
        rent(vastai_client, ask)
    assert vastai_offers(clouds) == []
    clouds.faults.set_capacity("runpod", True)
    clouds.faults.set_capacity("vastai", True)
    runpod_client.terminate_pod(runpod_client.create_pod(**L4_POD)["id"])
    assert vastai_offers(clouds)


def test_a_revoked_key_is_refused_on_its_cloud_only(
    clouds: Sandbox, runpod_client: RunpodApiClient, vastai_client: VastAIAPIClient
) -> None:
    clouds.faults.add("key", "runpod")
    with pytest.raises(BackendInvalidCredentialsError):
        runpod_client.create_pod(**L4_POD)
    assert vastai_client.auth_test()
    clouds.faults.add("key", "vastai")
    assert not vastai_client.auth_test()
    assert vastai_offers(clouds)  # a search needs no key


def test_an_error_hits_the_calls_it_names_as_often_as_it_says(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    clouds.faults.add("error", "runpod", status=429, route="GET /v2/registries", times=2)
    assert runpod_client.validate_api_key()
    for _ in range(2):
        with pytest.raises(RunpodV2ClientError, match="429"):
            runpod_client.list_container_registry_credentials()
    runpod_client.list_container_registry_credentials()
    assert clouds.faults.in_force() == []


def test_an_error_leaves_as_many_calls_alone_as_it_says(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    clouds.faults.add("error", "runpod", route="GET /v2/registries", times=1, after=2)
    for _ in range(2):
        runpod_client.list_container_registry_credentials()
    assert runpod_client.get_pod("nosuchpod") is None  # another call, which counts for nothing
    with pytest.raises(requests.HTTPError, match="500"):
        runpod_client.list_container_registry_credentials()
    runpod_client.list_container_registry_credentials()


def test_a_pod_whose_answer_was_lost_is_rented_and_billed_on_runpod(
    clouds: Sandbox, runpod_client: RunpodApiClient
) -> None:
    before = {pod.id for pod in clouds.pods()}
    clouds.faults.add("lost", "runpod", route="POST /v2/pods", times=1)
    with pytest.raises(requests.ConnectionError):
        runpod_client.create_pod(**L4_POD)
    [pod] = [pod for pod in clouds.pods() if pod.id not in before]
    assert (pod.cloud, pod.ended) == ("runpod", None)
    assert clouds.calls()[-1].fault == "lost"
    assert runpod_client.terminate_pod(pod.id)


def test_an_instance_whose_answer_was_lost_is_rented_and_billed_on_vastai(
    clouds: Sandbox, vastai_client: VastAIAPIClient
) -> None:
    before = {pod.id for pod in clouds.pods()}
    clouds.faults.add("lost", "vastai", route="PUT */asks/*", times=1)
    with pytest.raises(httpx.RemoteProtocolError):
        rent(vastai_client, vastai_offers(clouds)[0].instance.name)
    [pod] = [pod for pod in clouds.pods() if pod.id not in before]
    assert (pod.cloud, pod.ended) == ("vastai", None)
    vastai_client.destroy_instance(pod.id)


def test_a_slow_cloud_answers_later(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    clouds.faults.add("slow", "runpod", seconds=0.5, times=1)
    started = time.monotonic()
    assert runpod_client.validate_api_key()
    assert time.monotonic() - started > 0.5


def test_a_slow_image_delays_the_pods_address(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    clouds.faults.add("pull", "runpod", seconds=60)
    id = runpod_client.create_pod(**L4_POD)["id"]
    time.sleep(1.5)
    pod = runpod_client.get_pod(id)
    assert pod is not None
    assert (pod["status"], pod["runtime"]) == ("PROVISIONING", None)
    assert not pod_info(clouds, id).ended  # and costs money meanwhile
    assert runpod_client.terminate_pod(id)


def test_cleared_faults_are_over(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    clouds.faults.add("error", "runpod", status=503)
    clouds.faults.add("key", "vastai")
    assert clouds.faults.clear("error") == 1
    assert [fault.kind for fault in clouds.faults.in_force()] == ["key"]
    assert runpod_client.validate_api_key()


@pytest.mark.parametrize(
    ("fault", "instruction"),
    [
        ({"kind": "explosion"}, f"choose one of {', '.join(KINDS)}"),
        ({"kind": "key", "cloud": "aws"}, "give one of runpod, vastai"),
        ({"kind": "image", "cloud": "runpod"}, "give no cloud"),
        ({"kind": "error", "status": 200}, "from 400 to 599"),
        ({"kind": "slow"}, "seconds above 0"),
        ({"kind": "lost"}, "give runpod or vastai or aws or dstack"),
        ({"kind": "answer", "cloud": "runpod"}, "give one of dstack"),
        ({"kind": "answer", "cloud": "dstack", "status": 100}, "from 200 to 599"),
        ({"kind": "error", "cloud": "runpod", "body": "no"}, "give the cloud dstack"),
        ({"kind": "error", "after": -1}, "0 or more calls"),
    ],
    ids=lambda value: value["kind"] if isinstance(value, dict) else "",
)
def test_a_fault_that_makes_no_sense_says_what_would(clouds: Sandbox, fault: dict[str, Any], instruction: str) -> None:
    with pytest.raises(SandboxError, match=instruction):
        clouds.faults.add(**fault)


# ---- Calls, costs, and the way out ----


def test_every_call_is_logged_and_writes_can_be_told_apart(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    before = len(clouds.calls())
    id = runpod_client.create_pod(**L4_POD)["id"]
    clouds.faults.add("error", "runpod", status=500, times=1)
    with pytest.raises(requests.HTTPError):
        runpod_client.get_pod(id)
    vastai_offers(clouds)
    runpod_client.terminate_pod(id)
    calls = clouds.calls()[before:]
    assert [(c.cloud, c.method, c.status, c.fault) for c in calls] == [
        ("runpod", "POST", 201, None),
        ("runpod", "GET", 500, "error"),
        ("vastai", "POST", 200, None),
        ("runpod", "DELETE", 204, None),
    ]
    assert [c.path for c in calls if c.write] == ["/v2/pods", f"/v2/pods/{id}"]
    assert {c.cloud for c in clouds.calls(cloud="vastai")} == {"vastai"}


def test_a_call_that_makes_no_sense_is_logged_too(clouds: Sandbox) -> None:
    headers = {"Authorization": f"Bearer {clouds.keys['runpod']}"}
    with requests.post("https://api.runpod.io/v2/pods", data="nonsense", headers=headers, timeout=5) as response:
        assert response.status_code == 500
    assert clouds.calls()[-1].status == 500


def test_a_pod_costs_its_price_until_it_is_released(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    id = runpod_client.create_pod(**L4_POD)["id"]
    time.sleep(0.5)
    runpod_client.terminate_pod(id)
    pod = pod_info(clouds, id)
    assert pod.ended is not None
    assert pod.ended - pod.started >= 0.5
    assert pod.cost == pytest.approx(pod.price * (pod.ended - pod.started) / 3600)
    assert pod_info(clouds, id).cost == pod.cost


def test_hosts_that_are_not_emulated_are_refused_and_counted(clouds: Sandbox) -> None:
    with pytest.raises(requests.ConnectionError):
        requests.get("https://api.example.com/", timeout=5)
    assert clouds.calls(cloud="unknown")[-1].path == "api.example.com:443"


def test_the_keys_are_found_in_dstacks_start_command() -> None:
    assert keys_in(COMMAND) == tuple(KEYS)
    with pytest.raises(ValueError, match="has no --ssh-authorized-key"):
        keys_in("sleep infinity")


def test_a_pod_without_keys_is_refused(runpod_client: RunpodApiClient) -> None:
    with pytest.raises(RunpodV2ClientError, match="has no --ssh-authorized-key"):
        runpod_client.create_pod(**L4_POD | {"cmd": ["-c", "sleep infinity"]})
