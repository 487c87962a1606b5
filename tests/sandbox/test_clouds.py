"""The emulated clouds, driven by the clients that dstack and gpuhunt use for the real ones."""

from __future__ import annotations

import typing
from typing import Any

import gpuhunt
import pytest
from dstack._internal.core.backends.runpod import api_client as runpod
from dstack._internal.core.backends.runpod.api_client import RunpodApiClient, RunpodV2ClientError, V2Pod
from dstack._internal.core.backends.vastai.api_client import VastAIAPIClient, VastAICreateInstanceError
from dstack._internal.core.consts import DSTACK_RUNNER_SSH_PORT
from dstack._internal.core.errors import DockerRegistryError
from dstack._internal.server.services.docker import get_image_config_and_cpu_architectures

from sandbox import Sandbox
from tests.sandbox.customers import L4_POD, pod_info, rent, vastai_offers
from tests.sandbox.deployment import wait_for

# dstack's clients leave their connections to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <ssl:ResourceWarning")


def conforms(value: Any, expected: Any) -> bool:
    """Whether `value` has the type `expected`, which may be one of the TypedDicts of dstack's RunPod client."""
    if typing.is_typeddict(expected):
        hints = typing.get_type_hints(expected, vars(runpod))
        complete = isinstance(value, dict) and expected.__required_keys__ <= value.keys()
        return complete and all(conforms(v, hints[k]) for k, v in value.items() if k in hints)
    arguments = typing.get_args(expected)
    match typing.get_origin(expected):
        case None:
            return isinstance(value, expected)
        case typing.Literal:
            return value in arguments
        case typing.Union:
            return any(conforms(value, argument) for argument in arguments)
        case origin if origin is list:
            return all(conforms(item, arguments[0]) for item in value)
    raise TypeError(f"no rule for {expected}")


# ---- RunPod ----


def test_runpod_accepts_its_own_key_only(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    assert runpod_client.validate_api_key()
    assert not RunpodApiClient("rpa_another").validate_api_key()


def test_a_runpod_pod_lives_from_create_to_terminate(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    created = runpod_client.create_pod(**L4_POD)
    assert conforms(created, V2Pod)
    assert created["runtime"] is None
    running = wait_for(lambda: (pod := runpod_client.get_pod(created["id"])) and pod["runtime"] and pod, 10)
    assert conforms(running, V2Pod)
    port = running["runtime"]["ports"][0]
    assert (port["private"], port["ip"]) == (DSTACK_RUNNER_SSH_PORT, "127.0.0.1")
    info = pod_info(clouds, created["id"])
    assert (info.cloud, info.run, info.gpu, info.gpu_count, info.price) == ("runpod", "chat", "L4", 2, 0.78)
    assert runpod_client.terminate_pod(created["id"])
    assert runpod_client.get_pod(created["id"]) is None
    assert not runpod_client.terminate_pod(created["id"])


@pytest.mark.parametrize(
    "changes",
    [
        {"gpu_type_id": "NVIDIA H900"},
        {"gpu_count": 3},
        {"data_center_ids": ["MARS-1"]},
        {"min_memory_in_gb_per_gpu": 51},
    ],
    ids=["GPU", "count", "region", "memory"],
)
def test_runpod_has_no_more_than_its_catalogue_says(runpod_client: RunpodApiClient, changes: dict[str, Any]) -> None:
    with pytest.raises(RunpodV2ClientError, match="no longer any instances available"):
        runpod_client.create_pod(**L4_POD | changes)


def test_a_dead_runpod_pod_is_known_but_has_no_address(clouds: Sandbox, runpod_client: RunpodApiClient) -> None:
    id = runpod_client.create_pod(**L4_POD)["id"]
    wait_for(lambda: pod_info(clouds, id).running, 10)
    clouds.kill_pod(id)
    dead = runpod_client.get_pod(id)
    assert dead is not None
    assert (dead["status"], dead["runtime"]) == ("EXITED", None)
    runpod_client.terminate_pod(id)


def test_runpod_keeps_registry_credentials(runpod_client: RunpodApiClient) -> None:
    stored = runpod_client.create_container_registry_credentials(name="mine", username="me", password="secret")
    assert stored in runpod_client.list_container_registry_credentials()
    runpod_client.delete_container_registry_credentials(stored["id"])
    assert runpod_client.list_container_registry_credentials() == []
    with pytest.raises(RunpodV2ClientError, match="Registry auth not found"):
        runpod_client.delete_container_registry_credentials(stored["id"])


# ---- Vast.ai ----


def test_vastai_accepts_its_own_key_only(vastai_client: VastAIAPIClient) -> None:
    assert vastai_client.auth_test()
    assert not VastAIAPIClient("another").auth_test()


def test_vastai_sells_each_machine_on_demand_and_spot(clouds: Sandbox) -> None:
    offers = vastai_offers(clouds, gpu={"name": ["RTX4090"], "count": 1})
    prices = {(offer.instance.name, offer.instance.resources.spot): offer.price for offer in offers}
    assert len(prices) == 4
    assert all(prices[ask, True] < prices[ask, False] for ask, _ in prices)


def test_vastai_searches_by_what_dstack_asks_for(clouds: Sandbox) -> None:
    offers = vastai_offers(clouds, gpu={"memory": "80GB", "count": 1, "compute_capability": "9.0"}, disk="500GB..")
    assert {offer.instance.resources.gpus[0].name for offer in offers} == {"H100"}
    assert vastai_offers(clouds, gpu={"memory": "24GB"}, disk="99999GB..") == []


def test_a_vastai_machine_is_off_the_market_while_it_is_rented(clouds: Sandbox, vastai_client: VastAIAPIClient) -> None:
    ask = "25180034"

    def on_the_market() -> bool:
        return ask in {offer.instance.name for offer in vastai_offers(clouds)}

    assert on_the_market()
    id = rent(vastai_client, ask)
    instance = wait_for(lambda: (i := vastai_client.get_instance(id)) and i["actual_status"] == "running" and i, 10)
    assert instance["public_ipaddr"] == "127.0.0.1"
    assert int(instance["ports"][f"{DSTACK_RUNNER_SSH_PORT}/tcp"][0]["HostPort"]) > 0
    assert not on_the_market()
    with pytest.raises(VastAICreateInstanceError) as refused:
        rent(vastai_client, ask)
    assert "no_such_ask" in refused.value.resp
    vastai_client.destroy_instance(id)
    assert vastai_client.get_instance(id) is None
    assert on_the_market()
    vastai_client.destroy_instance(id)  # dstack may ask twice; no error


def test_a_spot_machine_costs_the_bid_which_must_be_high_enough(
    clouds: Sandbox, vastai_client: VastAIAPIClient
) -> None:
    spot = next(o for o in vastai_offers(clouds, disk="100GB..") if o.instance.resources.spot)
    bid = spot.backend_data["min_bid"]
    with pytest.raises(VastAICreateInstanceError):
        rent(vastai_client, spot.instance.name, bid=bid / 2)
    id = rent(vastai_client, spot.instance.name, bid=bid)
    assert pod_info(clouds, id).spot
    assert pod_info(clouds, id).price == pytest.approx(spot.price, abs=1e-5)  # what dstack shows for it
    vastai_client.destroy_instance(id)


def test_a_dead_vastai_machine_is_offline(clouds: Sandbox, vastai_client: VastAIAPIClient) -> None:
    id = rent(vastai_client, "25180041")
    wait_for(lambda: pod_info(clouds, id).running, 10)
    clouds.kill_pod(str(id))
    instance = vastai_client.get_instance(id)
    assert instance is not None
    assert instance["actual_status"] == "offline"
    vastai_client.destroy_instance(id)


# ---- Catalogue and registry ----


def test_gpuhunt_reads_the_catalogue(clouds: Sandbox, caplog: pytest.LogCaptureFixture) -> None:
    catalog = gpuhunt.Catalog(balance_resources=False)
    offers = catalog.query(provider="runpod")
    assert caplog.text == ""  # where gpuhunt says that it skips a malformed row
    assert {offer.gpu_memory for offer in offers} >= {24, 32, 48, 80}
    assert all("-" in offer.location and not offer.spot and offer.price > 0 for offer in offers)
    assert catalog.query(provider="aws") == []


def test_both_clouds_sell_cards_of_24_32_48_and_80_gb_in_several_regions(clouds: Sandbox) -> None:
    runpod_offers = gpuhunt.Catalog(balance_resources=False).query(provider="runpod")
    assert len({offer.location for offer in runpod_offers}) > 3
    offers = vastai_offers(clouds)
    assert {round(offer.instance.resources.gpus[0].memory_mib / 1024) for offer in offers} >= {24, 32, 48, 80}
    assert len({offer.region for offer in offers}) > 3


@pytest.mark.parametrize("image", ["ubuntu", "vllm/vllm-openai:v0.28.0", "ghcr.io/huggingface/tgi:3"])
def test_dstack_reads_an_images_configuration(clouds: Sandbox, image: str) -> None:
    config, architectures = get_image_config_and_cpu_architectures(image, None)
    assert (config.os, config.architecture) == ("linux", "amd64")
    assert architectures == {gpuhunt.CPUArchitecture.X86}


def test_an_unknown_image_is_refused_and_others_are_not(clouds: Sandbox) -> None:
    clouds.faults.add("image", image="vllm/*:v99*")
    with pytest.raises(DockerRegistryError, match="404"):
        get_image_config_and_cpu_architectures("vllm/vllm-openai:v99.0", None)
    get_image_config_and_cpu_architectures("vllm/vllm-openai:v0.28.0", None)
