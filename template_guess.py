"""What the template guesses about a model that is not in the catalogue: the machine, from the size in the model's name.

template_catalogue.py runs this file, and this file runs template_names.py. It imports nothing of the template, and only
packages that come with cookiecutter.
"""

from __future__ import annotations

import runpy
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

HERE = Path(__file__).parent
MACHINES = HERE / "models" / "machines.yml"
names = SimpleNamespace(**runpy.run_path(str(HERE / "template_names.py")))
BYTES_PER_PARAMETER = {"published": 2.0, "fp8": 1.05}  # embeddings and lm_head stay bf16 when the rest is fp8
CAPABILITY = {"published": 8.0, "fp8": 8.9}  # CUDA compute capability with this arithmetic: Ampere, Ada
MAX_NUM_SEQS = 128  # requests in one batch
IMAGE_GB = 35  # the unpacked image, and room for logs
QUANTISED = "--quantization fp8"  # quantises bf16 weights while loading
NO_4_BITS = "the template knows no checkpoint of it with 4 bits"


@cache
def _machines() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load(MACHINES.read_text("utf-8"))
    return document


def machines(part: str) -> Any:
    """Return `cards`, `price_lists`, `prices` or `machines` of models/machines.yml."""
    return _machines()[part]


def guess(model_id: str, precision: str) -> dict[str, Any]:
    """Return safe defaults for a model that is not in the catalogue: cards that hold the size in its name.

    Without a size in the name, the guess is one 80 GB card.
    """
    parameters = names.billions(model_id)
    card, count = _machine(model_id, precision) or _largest_machine()  # the hook has refused larger ones
    downloaded = names.bytes_per_parameter(model_id) or BYTES_PER_PARAMETER["published"]  # bf16, served in fp8 or not
    return {
        "id": model_id,
        "known": False,
        "kind": "chat",
        "engine": "vllm",
        "numbers": "fp8" if precision == "fp8" else None,
        "parameters": parameters,
        "context": "auto",
        "max_num_seqs": MAX_NUM_SEQS,
        "gated": True,  # an unnecessary token does less harm than a refused download
        "licence": None,
        "tool_parser": None,
        "reasoning_parser": None,
        "sees": False,
        "flags": [f"{QUANTISED} --kv-cache-dtype fp8"] if precision == "fp8" else [],
        "memory": f"{card}GB.." if card >= 80 else f"{card}GB..{2 * card}GB",
        "count": count,
        "compute_capability": CAPABILITY.get(precision, CAPABILITY["published"]),
        **host(card, count),
        "disk_gb": disk_gb((parameters or 30.0) * downloaded),
        "config": None,
        "weights_gib": None,
        "picture_gib": None,
    }


def holds_in_no_precision(model_id: str) -> bool:
    """Return whether no machine holds the model, in whatever precision."""
    return all(_machine(model_id, precision) is None for precision in BYTES_PER_PARAMETER)


def not_in(model_id: str, precision: str) -> str | None:
    """Return why a model that is not in the catalogue can't be served in `precision`; None when it can."""
    if precision == "4bit":
        return f"{NO_4_BITS}. If there is one on Hugging Face, give its id as model_id"
    if precision == "fp8" and names.bytes_per_parameter(model_id):
        return "its name says that it is quantised already"
    return None if _machine(model_id, precision) else f"it {too_large(model_id)}"


def _weights_gb(model_id: str, precision: str) -> float | None:
    """Return the size of the weights on the GPUs, from the name; None when it has no size."""
    parameters: float | None = names.billions(model_id)
    size: float = names.bytes_per_parameter(model_id) or BYTES_PER_PARAMETER[precision]
    return None if parameters is None else parameters * size


def _machine(model_id: str, precision: str) -> tuple[int, int] | None:
    """Return the smallest card (GB) and the number of cards that hold the weights, plus a fifth for the KV cache.

    Return None when no machine holds them. Return one 80 GB card when the name has no size. `room_gib` of a machine is
    computed by the code behind `inv size`, see machine_rooms.py.
    """
    weights_gb = _weights_gb(model_id, precision)
    if weights_gb is None:
        return 80, 1
    needed_gib = weights_gb * 1.2e9 / 2**30
    return next((_size(machine) for machine in machines("machines") if machine["room_gib"] >= needed_gib), None)


def _size(machine: dict[str, Any]) -> tuple[int, int]:
    return machine["memory"], machine["count"]


def _largest_machine() -> tuple[int, int]:
    return _size(machines("machines")[-1])


def too_large(model_id: str) -> str:
    """Return how much too large the model is."""
    card, count = _largest_machine()
    weights_gb = _weights_gb(model_id, "published") or 0
    return f"needs {weights_gb:,.0f} GB for its weights alone, but the largest machine has {count} GPUs of {card} GB"


def host(card: int, count: int) -> dict[str, Any]:
    """Return what the host needs, and its price: 4 cores for each GPU, 32 GB for each 80 GB of a GPU, rounded up.

    Weights stream through the host's memory and need not fit. Each GPU has its own process of about 10 GB.
    """
    price = machines("prices")[card] * count
    host = {"cpus": 4 * count, "host_gb": 32 * count * -(-card // 80)}
    return host | {"expensive_price": price, "price_lists": machines("price_lists")}


def disk_gb(weights_gb: float) -> int:
    """Return the disk (GB) for image and weights, with a margin. A repository may hold its weights in two formats."""
    return max(100, 10 * round((IMAGE_GB + weights_gb * 1.3) / 10))
