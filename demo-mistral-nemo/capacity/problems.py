"""Warns of what can go wrong on a machine before the model has loaded. Each rule returns a warning, or None."""

import re
from typing import Any

from capacity.machines import Machine
from capacity.model import GIB

HOST_CUDA = 12.8  # the oldest that dstack asks RunPod and Vast.ai for (its backends' compute.py)
START_MINUTES = {"runpod": 20, "vastai": 10}  # image included, then dstack gives up (pipeline_tasks/common.py)
DOWNLOAD_MBIT = 128  # a second: the slowest that dstack takes from Vast.ai (inet_down); RunPod promises nothing
CUDA_13 = {"vllm/vllm-openai": (0, 20), "vllm/vllm-omni": (0, 30)}  # major and minor version of the image
IMAGE_GB, UNPACKED_GB = 11.8, 30.0  # vllm/vllm-openai, on the way and on the disk


def problems(
    service: dict[str, Any],
    machine: Machine,
    *,
    weights_gib: float | None = None,
    picture_gib: float | None = None,
    price_limit: float | None = None,
) -> dict[str, str]:
    """Return the warnings for a service on a machine, by subject. `weights_gib` as they are downloaded."""
    image = str(service.get("image", ""))
    found = {
        "cuda": _cuda(image),
        "image": _download(image, machine),
        "disk": _disk(image, machine, weights_gib),
        "price": _price(machine, price_limit),
        "memory": _memory(machine, picture_gib),
    }
    return {subject: text for subject, text in found.items() if text}


def cuda_version(image: str) -> float | None:
    """Return the version of CUDA in an image of vLLM; None for other images, and when the tag does not say it.

    A suffix of the tag such as `-cu129` says it. Without one, it is 13.0 from the version in CUDA_13 on.
    """
    repository, _, tag = image.partition("@")[0].rpartition(":")
    if found := re.search(r"-cu(\d\d)(\d)(?![0-9])", tag):
        return float(f"{found[1]}.{found[2]}")
    oldest = CUDA_13.get(repository.removeprefix("docker.io/"))
    version = re.fullmatch(r"v(\d+)\.(\d+)(\.\d+)*", tag)
    if not oldest or not version or (int(version[1]), int(version[2])) < oldest:
        return None
    return 13.0


def _has_known_size(image: str) -> bool:
    return "vllm-openai" in image


def _cuda(image: str) -> str | None:
    cuda = cuda_version(image)
    if not cuda or cuda <= HOST_CUDA:
        return None
    return f"the image has CUDA {cuda}, hosts are asked for {HOST_CUDA}: one that is older refuses it"


def _download(image: str, machine: Machine) -> str | None:
    minutes, limit = IMAGE_GB * 8000 / DOWNLOAD_MBIT / 60, START_MINUTES.get(machine.backend, 60)
    if not _has_known_size(image) or minutes <= limit:
        return None
    given = f"dstack gives {limit} minutes on {machine.backend}"
    return f"{IMAGE_GB} GB take {minutes:.0f} minutes at {DOWNLOAD_MBIT} Mbit/s, and {given}"


def _disk(image: str, machine: Machine, weights_gib: float | None) -> str | None:
    known = _has_known_size(image)
    wanted_gb = UNPACKED_GB * known + (weights_gib or 0) * GIB / 1e9
    if not machine.disk_mib or machine.disk_mib * 2**20 / 1e9 >= wanted_gb:
        return None
    what = "image and weights, which take" if known else "the image, and weights of"
    return f"{machine.disk_mib * 2**20 / 1e9:.0f} GB for {what} {wanted_gb:.0f}"


def _price(machine: Machine, price_limit: float | None) -> str | None:
    if not price_limit or machine.price <= price_limit:
        return None
    return f"${machine.price:.2f} an hour, max_price_per_hour is {price_limit:.2f}"


def _memory(machine: Machine, picture_gib: float | None) -> str | None:
    gib = sum(gpu.memory_mib for gpu in machine.gpus) / 1024
    if picture_gib is None or gib >= picture_gib:
        return None
    return f"{gib:.0f} GiB, and a picture of 1024 x 1024 takes {picture_gib:.1f}"
