"""What the templates can ask for: `model_id | known_model(precision)`, `model_id | refused_model`,
`model_id | refused_precision(precision)`, `text | quoted`, `text | markdown`.

cookiecutter loads this through `_extensions` of cookiecutter.json; it must do with cookiecutter's own dependencies.
"""

from __future__ import annotations

import json
import re
import runpy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jinja2 import Environment
from jinja2.ext import Extension

MODELS = Path(__file__).with_name("models")  # README.md there says what the keys mean
BYTES_PER_PARAMETER = {"published": 2.0, "fp8": 1.05}  # embeddings and lm_head stay bf16 when the rest is fp8
QUANTISED_NAMES = {r"fp8|int8|w8a(8|16)|8bit": 1.05, r"awq|gptq|int4|w4a(8|16)|fp4|4bit": 0.7}  # bytes a parameter
DRAWS = r"flux[._-]?\d|stable-?diffusion|sdxl|sd-turbo|\bimage\b|hunyuanimage|hidream|pixart|kandinsky"
CAPABILITY = {"published": 8.0, "fp8": 8.9}  # CUDA compute capability that has the arithmetic: Ampere, Ada
# Cards (GB) and how many of them, the smallest first: those that RunPod and Vast.ai have many of, then H200 and B200
# for what nothing else holds. Eight is what one machine has.
MACHINES = ((24, 1), (48, 1), (80, 1), (80, 2), (80, 4), (80, 8), (141, 8), (180, 8))
# USD an hour: the dear end of price lists of March to June 2026 for L4, RTX 5090, L40S, H100, H200, B200
DEAR = {24: 0.90, 32: 0.95, 48: 0.90, 80: 2.80, 141: 4.50, 180: 6.00}
GIB_PER_GB_CARD = 0.93  # an "80 GB" card shows 79 GiB or less, a "24 GB" one 22-23.5, and 0.92 of it may be used
OVERHEAD_GIB = 2.0  # activations, CUDA graphs and the context, as vLLM logs them below 70 GiB
IMAGE_GB = 35  # the unpacked image, and room for logs
QUANTISED = "--quantization fp8"  # from bf16, while loading


@cache
def catalogue() -> dict[str, dict[str, Any]]:
    """The entries of models/ by Hugging Face id, in the order of the files and of the blocks in them."""
    files = sorted(MODELS.glob("*.yml"))
    return {model: entry for file in files for model, entry in yaml.safe_load(file.read_text("utf-8")).items()}


def known_model(model_id: str, precision: str) -> dict[str, Any]:
    """What serving `model_id` in `precision` takes: the catalogue's entry, or a guess from the size in the name.

    Keys: `known` (bool), `engine`, `numbers` (what the weights are kept in, None when nobody knows), `parameters`
    (billions or None), `context` (tokens, as vLLM takes it; None for pictures), `gated` (bool), `licence` (or None),
    `tool_parser` (or None), `flags` (lines of `vllm serve`), `memory` (dstack's range), `count` (GPUs),
    `compute_capability`, `cpus`, `host_gb` (the host's memory), `dear` (USD an hour, of a dear one),
    `disk_gb`, `config` (of config.json, or None), `weights_gib` (as published, or None), `picture_gib` (or None).
    """
    entry = catalogue().get(model_id)
    if entry is None:
        return _guess(model_id, precision)
    gpu = entry["gpu"].get(precision, entry["gpu"]["published"])  # the hook before has refused what is not there
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
    """Why `model_id` is not served in any precision, and an example that is; None when it is."""
    if model_id in catalogue():
        return None
    for known in catalogue():
        if known.lower() == model_id.lower():
            return "is spelt otherwise on Hugging Face", known
    if re.search(DRAWS, model_id.split("/")[-1], re.IGNORECASE):
        drawing = [known for known, entry in catalogue().items() if entry["engine"] == "vllm-omni"]
        return "seems to draw, and of those only the ones in the template's README are served", ", ".join(drawing)
    if all(_machine(model_id, precision) is None for precision in BYTES_PER_PARAMETER):
        return _too_large(model_id), "mistralai/Mistral-Nemo-Instruct-2407"
    return None


def refused_precision(model_id: str, precision: str) -> str | None:
    """Why `model_id` is not served in `precision`, but in the other one; None when it is."""
    entry = catalogue().get(model_id)
    if entry is None:
        if precision == "fp8" and _quantised_as(model_id):
            return f"is not for {model_id}: its name says that it is quantised already"
        return None if _machine(model_id, precision) else f"is not for {model_id}: it {_too_large(model_id)}"
    if precision in entry["gpu"]:
        return None
    if entry["published"] != "bf16":
        return f"is not for {model_id}: its weights are published in {entry['published']} already"
    return f"is not for {model_id}: its engine, {entry['engine']}, serves it as published"


def _guess(model_id: str, precision: str) -> dict[str, Any]:
    """Safe defaults for a model that the catalogue does not have: cards that hold the size its name states.

    A name without a size gets one 80 GB card, whatever the model's size is.
    """
    parameters = _billions(model_id)
    card, count = _machine(model_id, precision) or MACHINES[-1]  # the hook before has refused what is too large
    return {
        "known": False,
        "engine": "vllm",
        "numbers": "fp8" if precision == "fp8" else None,
        "parameters": parameters,
        "context": "auto",
        "gated": True,  # asking for a token that is not needed is a smaller failure than a download that is refused
        "licence": None,
        "tool_parser": None,
        "flags": [f"{QUANTISED} --kv-cache-dtype fp8"] if precision == "fp8" else [],
        "memory": f"{card}GB.." if card >= 80 else f"{card}GB..{2 * card}GB",
        "count": count,
        "compute_capability": CAPABILITY[precision],
        **_host(card, count),
        # the hub holds bf16 weights also where they are served in fp8
        "disk_gb": _disk_gb((parameters or 30.0) * (_quantised_as(model_id) or BYTES_PER_PARAMETER["published"])),
        "config": None,
        "weights_gib": None,
        "picture_gib": None,
    }


def _billions(model_id: str) -> float | None:
    """The parameters that the model's name states: `70B`, `1T`, and of a mixture of experts like `8x7B` all of them."""
    size = re.search(r"(?:(\d+)x)?(\d+(?:\.\d+)?)([bt])(?![a-z])", model_id.split("/")[-1].lower())
    return float(size[2]) * int(size[1] or 1) * {"b": 1, "t": 1000}[size[3]] if size else None


def _quantised_as(model_id: str) -> float | None:
    """Bytes a parameter of a checkpoint whose name says that it is quantised, scales included; None for others."""
    name = model_id.split("/")[-1].lower()
    return next((size for pattern, size in QUANTISED_NAMES.items() if re.search(pattern, name)), None)


def _machine(model_id: str, precision: str) -> tuple[int, int] | None:
    """The smallest card (GB) and how many of it hold the weights and a fifth on top, for KV cache worth having.

    None where no machine does. One 80 GB card where the name does not say how large the model is.
    """
    parameters = _billions(model_id)
    if parameters is None:
        return 80, 1
    weights_gib = parameters * (_quantised_as(model_id) or BYTES_PER_PARAMETER[precision]) * 1e9 / 2**30
    usable = GIB_PER_GB_CARD * 0.92  # what `vllm serve` may take of a card, see service.dstack.yml
    fitting = (
        (card, count) for card, count in MACHINES if card * count * usable >= weights_gib * 1.2 + OVERHEAD_GIB * count
    )
    return next(fitting, None)


def _too_large(model_id: str) -> str:
    card, count = MACHINES[-1]
    weights_gb = (_billions(model_id) or 0) * (_quantised_as(model_id) or BYTES_PER_PARAMETER["published"])
    return f"takes {weights_gb:,.0f} GB for its weights alone, and a machine has {count} GPUs of {card} GB at most"


def _host(card: int, count: int) -> dict[str, float]:
    """The host of the GPUs: 4 cores for each, 32 GB of memory for every 80 GB of GPU memory begun; and its price.

    Weights stream through the host's memory and need not fit; each GPU has a process of some 10 GB of its own.
    """
    return {"cpus": 4 * count, "host_gb": 32 * count * -(-card // 80), "dear": DEAR[card] * count}


def _disk_gb(weights_gb: float) -> int:
    """Disk for image, weights and room to move; a repository may hold its weights in two forms."""
    return max(100, 10 * round((IMAGE_GB + weights_gb * 1.3) / 10))


def quoted(text: str) -> str:
    r"""`text` as a double-quoted string that YAML, TOML and Python read back unchanged.

    JSON's escapes mean the same in all three, but its `\ud83d\ude00` for an emoji does not: printable characters stay
    as they are. What can't be printed is escaped; YAML would fold or refuse it.
    """
    return "".join(c if c.isprintable() else _escape(c) for c in json.dumps(text, ensure_ascii=False))


def _escape(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def markdown(text: str) -> str:
    """`text` with everything escaped that Markdown or HTML inside it would take for markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#+\-=.!|~&$:@])", r"\\\1", text)


FILTERS = {
    "known_model": known_model,
    "refused_model": refused_model,
    "refused_precision": refused_precision,
    "quoted": quoted,
    "markdown": markdown,
}


class CatalogueExtension(Extension):
    """Registers `FILTERS` with cookiecutter's Jinja environment, as this file has them now.

    `cruft update` renders two versions of the template in one folder and one process, where Python keeps the first
    version's module: its filters would read the second version's models/. So every rendering runs the file anew. For
    the same reason it imports nothing of the template, and the names of file, class and `FILTERS` stay what they are.
    """

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(runpy.run_path(__file__)["FILTERS"])
