"""What the clouds rent out, and which of it a profile takes."""

from __future__ import annotations

from typing import Any

from tests.invariants.stand_in.state import Offer

OFFERS = (  # the cheapest first, which is the order in which dstack tries them
    Offer("runpod", "EU-SE-1", "A40", 48, 0.40, "8.6"),
    Offer("vastai", "Sweden, SE", "A40", 48, 0.45, "8.6"),
    Offer("runpod", "EU-RO-1", "L40S", 48, 0.86),
    Offer("vastai", "Norway, NO", "A100", 80, 1.10, "8.0"),
    Offer("runpod", "US-KS-2", "H100", 80, 1.89, "9.0"),
)


def offers(*wanted: Any) -> list[Offer]:
    """What fits all of dstack's profiles and resources in `wanted`, pairs of the two; None where there is none."""
    return [offer for offer in OFFERS if all(_fits(offer, profile, resources) for profile, resources in wanted)]


def _fits(offer: Offer, profile: Any, resources: Any) -> bool:
    backends = [getattr(backend, "value", backend) for backend in profile.backends or []]
    if backends and offer.backend not in backends:
        return False
    if profile.max_price is not None and offer.price > profile.max_price:
        return False
    policy = getattr(profile.spot_policy, "value", profile.spot_policy)
    gpu = resources.gpu if resources is not None else None
    return policy != "spot" and (gpu is None or _has(offer, gpu))


def _has(offer: Offer, gpu: Any) -> bool:
    names = [name.lower() for name in gpu.name or []]
    if names and offer.gpu.lower() not in names:
        return False
    if gpu.compute_capability and _version(offer.compute_capability) < tuple(gpu.compute_capability):
        return False
    within = _within(gpu.memory, offer.memory) and _within(gpu.count, offer.count)
    return within and _within(gpu.total_memory, offer.memory * offer.count)


def _within(bounds: Any, value: float) -> bool:
    if bounds is None:
        return True
    least, most = bounds.min, bounds.max
    return (least is None or value >= least) and (most is None or value <= most)


def _version(written: str) -> tuple[int, ...]:
    return tuple(int(part) for part in written.split("."))


def instance_type(offer: Offer) -> dict[str, Any]:
    """As dstack's answers have it."""
    gpu = {"name": offer.gpu, "memory_mib": offer.memory * 1024, "vendor": "nvidia"}
    resources = {
        "cpus": 16,
        "memory_mib": 64 * 1024,
        "gpus": [gpu] * offer.count,
        "spot": False,
        "disk": {"size_mib": 200 * 1024},
        "cpu_arch": "x86",
        "description": "",
    }
    return {"name": offer.gpu, "resources": resources}


def offer_json(offer: Offer) -> dict[str, Any]:
    """An offer in a plan, which can be had or not as far as anybody knows."""
    return {
        "backend": offer.backend,
        "instance": instance_type(offer),
        "region": offer.region,
        "price": offer.price,
        "backend_data": {},
        "availability": "available" if offer.backend == "vastai" else "unknown",
        "availability_zones": None,
        "instance_runtime": "runner",
        "blocks": 1,
        "total_blocks": 1,
    }
