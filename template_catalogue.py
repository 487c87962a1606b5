"""What the template knows about a model, and what it guesses about a model that is not in the catalogue.

The filters are `model_id | known_model(precision)`, `model_id | refused_model`,
`model_id | refused_precision(precision)` and `part | machines`. template_extensions.py runs this file and takes
`FILTERS` from it. It imports nothing of the template, and only packages that come with cookiecutter.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import yaml

MODELS = Path(__file__).with_name("models")  # models/README.md explains the keys
MACHINES = MODELS / "machines.yml"
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is five times as fast, but may be absent
BYTES_PER_PARAMETER = {"published": 2.0, "fp8": 1.05}  # embeddings and lm_head stay bf16 when the rest is fp8
QUANTISED_NAMES = {r"fp8|int8|w8a(8|16)|8bit": 1.05, r"awq|gptq|int4|w4a(8|16)|fp4|4bit": 0.7}  # bytes per parameter
DRAWS = r"flux[._-]?\d|stable-?diffusion|sdxl|sd-turbo|\bimage\b|hunyuanimage|hidream|pixart|kandinsky"
CAPABILITY = {"published": 8.0, "fp8": 8.9}  # CUDA compute capability with this arithmetic: Ampere, Ada
UTILIZATION = 0.92  # the share of a GPU's memory that `vllm serve` may take, see service.dstack.yml
OVERHEAD_GIB = 2.0  # activations, CUDA graphs and the context, as vLLM logs them below 70 GiB
NCCL_GIB = 1.85  # in addition, on each of several large GPUs; `inv size` adds the same
IMAGE_GB = 35  # the unpacked image, and room for logs
QUANTISED = "--quantization fp8"  # quantises bf16 weights while loading


def model_files() -> list[Path]:
    """Return the catalogue's files, in the order of their names."""
    return sorted(set(MODELS.glob("*.yml")) - {MACHINES})


@cache
def _parsed(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(file.read_text("utf-8"), LOADER)
    return document


def catalogue() -> dict[str, dict[str, Any]]:
    """Return the entries of models/ by Hugging Face id, in the order of the files and of their blocks."""
    return {model: entry for file in model_files() for model, entry in _parsed(file).items()}


def _entry(model_id: str) -> dict[str, Any] | None:
    """Return the catalogue's entry of a model, or None. Parse only the file that names the model."""
    block = re.compile(rf"^{re.escape(model_id)}:", re.MULTILINE)
    named = (file for file in model_files() if block.search(file.read_text("utf-8")))
    return next((_parsed(file)[model_id] for file in named), None)


def machines(part: str) -> Any:
    """Return `cards`, `prices` or `machines` of models/machines.yml."""
    return _parsed(MACHINES)[part]


def known_model(model_id: str, precision: str) -> dict[str, Any]:
    """Return what `model_id` needs in `precision`: the catalogue's entry, or a guess from the size in the name.

    Keys: `known` (bool), `engine`, `numbers` (number format of the weights, None if unknown), `parameters`
    (billions or None), `context` (tokens, as vLLM takes it; None for pictures), `gated` (bool), `licence` (or None),
    `tool_parser` (or None), `flags` (lines of `vllm serve`), `memory` (dstack's range), `count` (GPUs),
    `compute_capability`, `cpus`, `host_gb` (the host's memory), `expensive_price` (USD an hour, at the
    expensive end), `disk_gb`, `config` (of config.json, or None), `weights_gib` (as published, or None),
    `picture_gib` (or None).
    """
    entry = _entry(model_id)
    if entry is None:
        return _guess(model_id, precision)
    gpu = entry["gpu"].get(precision, entry["gpu"]["published"])  # the hook has already refused a missing precision
    reasoning = [f"--reasoning-parser {entry['reasoning_parser']}"] if "reasoning_parser" in entry else []
    quantised = [QUANTISED] if precision == "fp8" else []
    return {
        "known": True,
        "engine": entry["engine"],
        "numbers": "fp8" if quantised else entry["published"],
        "parameters": entry["parameters"],
        "context": gpu.get("context"),
        "gated": entry["gated"],
        "licence": entry["licence"],
        "tool_parser": entry.get("tool_parser"),
        "flags": entry.get("flags", []) + reasoning + quantised + gpu.get("flags", []),
        "memory": gpu["memory"],
        "count": gpu.get("count", 1),
        "compute_capability": gpu["compute_capability"],
        **_host(int(gpu["memory"].split("GB")[0]), gpu.get("count", 1)),
        "disk_gb": _disk_gb(entry["weights_gib"] * 2**30 / 1e9),
        "config": entry.get("config"),
        "weights_gib": entry["weights_gib"],
        "picture_gib": entry.get("picture_gib"),
    }


def refused_model(model_id: str) -> tuple[str, str] | None:
    """Return why `model_id` can't be served in any precision, and an example that can; None when it can be served."""
    if _entry(model_id) is not None:
        return None
    for known in catalogue():
        if known.lower() == model_id.lower():
            return "is spelt differently on Hugging Face", known
    if re.search(DRAWS, model_id.split("/")[-1], re.IGNORECASE):
        drawing = [known for known, entry in catalogue().items() if entry["engine"] == "vllm-omni"]
        return "seems to draw; of such models, only those in the template's README can be served", ", ".join(drawing)
    if all(_machine(model_id, precision) is None for precision in BYTES_PER_PARAMETER):
        return _too_large(model_id), "mistralai/Mistral-Nemo-Instruct-2407"
    return None


def refused_precision(model_id: str, precision: str) -> str | None:
    """Return why `model_id` can't be served in `precision`, but in the other one; None when it can."""
    entry = _entry(model_id)
    if entry is None:
        if precision == "fp8" and _quantised_as(model_id):
            return f"is not possible for {model_id}: its name says that it is quantised already"
        return None if _machine(model_id, precision) else f"is not possible for {model_id}: it {_too_large(model_id)}"
    if precision in entry["gpu"]:
        return None
    if entry["published"] != "bf16":
        return f"is not possible for {model_id}: its weights are published in {entry['published']} already"
    return f"is not possible for {model_id}: its engine, {entry['engine']}, serves it only as published"


def _guess(model_id: str, precision: str) -> dict[str, Any]:
    """Return safe defaults for a model that is not in the catalogue: cards that hold the size in its name.

    Without a size in the name, the guess is one 80 GB card.
    """
    parameters = _billions(model_id)
    card, count = _machine(model_id, precision) or _largest_machine()  # the hook has refused larger ones
    return {
        "known": False,
        "engine": "vllm",
        "numbers": "fp8" if precision == "fp8" else None,
        "parameters": parameters,
        "context": "auto",
        "gated": True,  # an unnecessary token does less harm than a refused download
        "licence": None,
        "tool_parser": None,
        "flags": [f"{QUANTISED} --kv-cache-dtype fp8"] if precision == "fp8" else [],
        "memory": f"{card}GB.." if card >= 80 else f"{card}GB..{2 * card}GB",
        "count": count,
        "compute_capability": CAPABILITY[precision],
        **_host(card, count),
        # the download is bf16 even if the weights are served in fp8
        "disk_gb": _disk_gb((parameters or 30.0) * (_quantised_as(model_id) or BYTES_PER_PARAMETER["published"])),
        "config": None,
        "weights_gib": None,
        "picture_gib": None,
    }


def _billions(model_id: str) -> float | None:
    """Return the billions of parameters from the model's name: `70B`, `1T`, or all experts together for `8x7B`."""
    size = re.search(r"(?:(\d+)x)?(\d+(?:\.\d+)?)([bt])(?![a-z])", model_id.split("/")[-1].lower())
    return float(size[2]) * int(size[1] or 1) * {"b": 1, "t": 1000}[size[3]] if size else None


def _quantised_as(model_id: str) -> float | None:
    """Return the bytes per parameter, scales included, if the name says that the model is quantised; else None."""
    name = model_id.split("/")[-1].lower()
    return next((size for pattern, size in QUANTISED_NAMES.items() if re.search(pattern, name)), None)


def _machine(model_id: str, precision: str) -> tuple[int, int] | None:
    """Return the smallest card (GB) and the number of cards that hold the weights, plus a fifth for the KV cache.

    Return None when no machine holds them. Return one 80 GB card when the name has no size.
    """
    parameters = _billions(model_id)
    if parameters is None:
        return 80, 1
    weights_gib = parameters * (_quantised_as(model_id) or BYTES_PER_PARAMETER[precision]) * 1e9 / 2**30
    for machine in machines("machines"):
        card, count = machine["memory"], machine["count"]
        overhead_gib = OVERHEAD_GIB + (NCCL_GIB if count > 1 else 0)
        if count * (UTILIZATION * _visible_gib(card) - overhead_gib) >= weights_gib * 1.2:
            return card, count
    return None


def _visible_gib(memory: int) -> float:
    """Return the memory (GiB) that torch sees at least on a card that is sold with `memory` GB."""
    return min(float(card["gib"]) for card in machines("cards") if card["memory"] == memory)


def _largest_machine() -> tuple[int, int]:
    largest = machines("machines")[-1]
    return largest["memory"], largest["count"]


def _too_large(model_id: str) -> str:
    card, count = _largest_machine()
    weights_gb = (_billions(model_id) or 0) * (_quantised_as(model_id) or BYTES_PER_PARAMETER["published"])
    return f"needs {weights_gb:,.0f} GB for its weights alone, but the largest machine has {count} GPUs of {card} GB"


def _host(card: int, count: int) -> dict[str, float]:
    """Return what the host needs, and its price: 4 cores for each GPU, 32 GB for each 80 GB of a GPU, rounded up.

    Weights stream through the host's memory and need not fit. Each GPU has its own process of about 10 GB.
    """
    price = machines("prices")[card] * count
    return {"cpus": 4 * count, "host_gb": 32 * count * -(-card // 80), "expensive_price": price}


def _disk_gb(weights_gb: float) -> int:
    """Return the disk (GB) for image and weights, with a margin. A repository may hold its weights in two formats."""
    return max(100, 10 * round((IMAGE_GB + weights_gb * 1.3) / 10))


FILTERS: dict[str, Callable[..., Any]] = {
    "known_model": known_model,
    "refused_model": refused_model,
    "refused_precision": refused_precision,
    "machines": machines,
}
