"""What the templates can ask for: `model_id | known_model(precision)`, `model_id | refused_precision(precision)`,
`text | quoted`, `text | markdown`.

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
CAPABILITY = {"published": 8.0, "fp8": 8.9}  # CUDA compute capability that has the arithmetic: Ampere, Ada
CARDS_GB = (24, 48, 80)  # sizes that RunPod and Vast.ai have many of
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
    `compute_capability`, `disk_gb`, `config` (of config.json, or None), `weights_gib` (as published, or None).
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
        "disk_gb": _disk_gb(entry["weights_gib"] * 2**30 / 1e9),
        "config": entry.get("config"),
        "weights_gib": entry["weights_gib"],
    }


def refused_precision(model_id: str, precision: str) -> str | None:
    """Why `model_id` is not served in `precision`; None when it is, or when nobody knows the model."""
    entry = catalogue().get(model_id)
    if entry is None or precision in entry["gpu"]:
        return None
    if entry["published"] != "bf16":
        return f"is not for {model_id}: its weights are published in {entry['published']} already"
    return f"is not for {model_id}: its engine, {entry['engine']}, serves it as published"


def _guess(model_id: str, precision: str) -> dict[str, Any]:
    """Safe defaults for a model that the catalogue does not have: a card that holds the size its name states.

    A name without a size gets one 80 GB card. A mixture of experts named like `8x7B` counts all of them. One that is
    quantised as published gets a larger card than it needs.
    """
    size = re.search(r"(?:(\d+)x)?(\d+(?:\.\d+)?)[bB](?![a-zA-Z])", model_id.split("/")[-1])
    parameters = float(size[2]) * int(size[1] or 1) if size else None
    card, count = (CARDS_GB[-1], 1) if parameters is None else _cards(parameters * BYTES_PER_PARAMETER[precision])
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
        "memory": f"{card}GB.." if card == CARDS_GB[-1] else f"{card}GB..{2 * card}GB",
        "count": count,
        "compute_capability": CAPABILITY[precision],
        "disk_gb": _disk_gb((parameters or 30.0) * 2),  # the hub holds bf16 weights whatever they are served in
        "config": None,
        "weights_gib": None,
    }


def _disk_gb(weights_gb: float) -> int:
    """Disk for image, weights and room to move; a repository may hold its weights in two forms."""
    return max(100, 10 * round((IMAGE_GB + weights_gb * 1.3) / 10))


def _cards(weights_gb: float) -> tuple[int, int]:
    """The smallest card (GB) and how many of it hold the weights and a fifth on top, for KV cache worth having.

    Eight is what one machine has; weights that need more get eight all the same, and no offer or an honest failure.
    """
    weights_gib = weights_gb * 1e9 / 2**30
    choices = [(card, 1) for card in CARDS_GB] + [(CARDS_GB[-1], count) for count in (2, 4, 8)]
    usable = GIB_PER_GB_CARD * 0.92  # what `vllm serve` may take of a card, see service.dstack.yml
    fitting = (
        (card, count) for card, count in choices if card * count * usable >= weights_gib * 1.2 + OVERHEAD_GIB * count
    )
    return next(fitting, choices[-1])


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
