"""How dstack orders from the two clouds."""

from __future__ import annotations

from typing import Any

from dstack._internal.core.backends.base.compute import get_docker_commands
from dstack._internal.core.backends.vastai.api_client import VastAIAPIClient
from dstack._internal.core.backends.vastai.compute import VastAICompute
from dstack._internal.core.backends.vastai.models import VastAIConfig
from dstack._internal.core.consts import DSTACK_RUNNER_SSH_PORT
from dstack._internal.core.models.instances import InstanceOfferWithAvailability
from dstack._internal.core.models.resources import ResourcesSpec
from dstack._internal.core.models.runs import Requirements

from sandbox import PodInfo, Sandbox

KEYS = [f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIO0Sl2ZV3lVyUHdBgDpdLmpKqUUWA0uPxLoXGF0v8sQ{n} user {n}" for n in "AE"]
COMMAND = " && ".join(get_docker_commands(KEYS))
L4_POD: dict[str, Any] = {
    "name": "dstack-sandbox-chat-0-0-1a2b3c4d",
    "cloud": "SECURE",
    "data_center_ids": ["EU-RO-1"],
    "gpu_type_id": "NVIDIA L4",
    "gpu_count": 2,
    "min_cpu_count_per_gpu": 12,
    "min_memory_in_gb_per_gpu": 50,
    "container_disk_in_gb": 100,
    "image_name": "vllm/vllm-openai:v0.28.0",
    "entrypoint": ["/bin/sh"],
    "cmd": ["-c", COMMAND],
    "ports": [f"{DSTACK_RUNNER_SSH_PORT}/tcp"],
}


def pod_info(clouds: Sandbox, id: object) -> PodInfo:
    """The pod that a cloud calls `id`."""
    return next(pod for pod in clouds.pods() if pod.id == str(id))


def vastai_offers(clouds: Sandbox, **resources: Any) -> list[InstanceOfferWithAvailability]:
    """What dstack finds on Vast.ai for `resources`, as a configuration has them."""
    compute = VastAICompute(VastAIConfig(creds={"type": "api_key", "api_key": clouds.keys["vastai"]}))
    requirements = Requirements(resources=ResourcesSpec.model_validate(resources))
    return list(compute.get_offers_by_requirements(requirements, full_offers=True, unallocated_resources=False))


def rent(client: VastAIAPIClient, ask: str, bid: float | None = None) -> object:
    """Rent the machine of `ask`, for `bid` USD per hour or on demand; returns its id."""
    return client.create_instance(L4_POD["name"], ask, "vllm/vllm-openai", COMMAND, disk_size=100, bid=bid)
