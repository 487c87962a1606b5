"""What the sandbox tells about a pod."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PodInfo:
    """A pod, as `Sandbox.pods()` lists it. Times are seconds since the epoch."""

    id: str  # the cloud's id of the machine
    cloud: str  # runpod or vastai
    run: str | None  # the dstack run that it belongs to, as far as its label says
    gpu: str
    gpu_count: int
    region: str
    spot: bool
    price: float  # USD per hour
    cost: float  # USD until now, or until it ended
    running: bool
    started: float
    ended: float | None  # when it died or was released; None while it costs money
