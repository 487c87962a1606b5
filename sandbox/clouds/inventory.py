"""What the emulated clouds rent out, read from inventory.yml.

Memory is in GB as the clouds state it, of one GPU (`gpu_memory`) or of the host (`memory`); prices are USD per hour and
GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FILE = Path(__file__).with_name("inventory.yml")


@dataclass(frozen=True)
class GpuType:
    """A GPU type of RunPod. `cpus` and `memory` are what a host has for each GPU."""

    id: str
    name: str  # dstack's name of it
    gpu_memory: int
    price: float
    cpus: int
    memory: int
    counts: tuple[int, ...]
    regions: tuple[str, ...]

    def offers(self) -> Iterator[tuple[str, int]]:
        """All (region, number of GPUs) in which it can be rented."""
        return ((region, count) for region in self.regions for count in self.counts)


@dataclass(frozen=True)
class Ask:
    """One machine of Vast.ai. `cpus`, `memory` and `disk` (GB) are the whole machine's."""

    id: int
    gpu_name: str
    compute_cap: int  # 890 is CUDA compute capability 8.9
    gpu_memory: int
    num_gpus: int
    price: float
    min_bid: float
    cpus: int
    memory: int
    disk: int
    geolocation: str
    reliability: float
    score: int
    storage_cost: float  # USD per GB and month


@dataclass(frozen=True)
class Inventory:
    """Both clouds' shelves."""

    runpod: tuple[GpuType, ...]
    vastai: tuple[Ask, ...]

    @classmethod
    def load(cls, file: Path = FILE) -> Inventory:
        """Read `file`. Raises TypeError, naming the field, when an entry lacks one or has one too many."""
        document: dict[str, list[dict[str, Any]]] = yaml.safe_load(file.read_text())
        return cls(
            runpod=tuple(GpuType(**entry) for entry in document["runpod"]),
            vastai=tuple(Ask(**entry) for entry in document["vastai"]),
        )
