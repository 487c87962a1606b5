"""The offers of the clouds, and what a rented machine looks like in dstack's answers."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]
CHEAP, EXPENSIVE = ("runpod", "CA-MTL-1", "A40", 48, 0.40), ("vastai", "Sweden, SE", "L40S", 48, 0.86)


def offer(cloud: str, region: str, gpu: str, gib: int, price: float) -> Json:
    """Return an offer of a machine with one GPU of `gib` GiB, `price` in USD per hour."""
    return {
        "backend": cloud,
        "instance": instance_type(gpu, gib),
        "region": region,
        "price": price,
        "availability": "available",
        "instance_runtime": "runner",
    }


def instance_type(gpu: str, gib: int) -> Json:
    return {
        "name": gpu,
        "resources": {
            "cpus": 16,
            "memory_mib": 65536,
            "gpus": [{"name": gpu, "memory_mib": gib * 1024, "vendor": "nvidia"}],
            "spot": False,
            "disk": {"size_mib": 204800},
        },
    }


def rented(offered: Json) -> Json:
    """Return the data of a machine that a replica runs on."""
    return {
        "backend": offered["backend"],
        "instance_type": offered["instance"],
        "instance_id": "i-1",
        "region": offered["region"],
        "price": offered["price"],
        "username": "root",
        "dockerized": False,
    }
