"""What the template knows about a model, and what it guesses about a model that is not in the catalogue.

The filters are `model_id | known_model(precision)`, `model_id | refused_model`,
`model_id | refused_precision(precision)` and `part | machines`. template_extensions.py runs this file and takes
`FILTERS` from it. This file runs template_guess.py and template_names.py in the same way. It imports nothing of the
template, and only packages that come with cookiecutter.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

HERE = Path(__file__).parent
MODELS = HERE / "models"  # models/README.md explains the keys
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is five times as fast, but may be absent
names = SimpleNamespace(**runpy.run_path(str(HERE / "template_names.py")))
guesses = SimpleNamespace(**runpy.run_path(str(HERE / "template_guess.py")))
machines = guesses.machines
CHAT = "mistralai/Mistral-Nemo-Instruct-2407"  # an example of a model that can be served


def model_files() -> list[Path]:
    """Return the catalogue's files, in the order of their names."""
    return sorted(set(MODELS.glob("*.yml")) - {guesses.MACHINES})


@cache
def _parsed(file: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.load(file.read_text("utf-8"), LOADER)
    return document


def catalogue() -> dict[str, dict[str, Any]]:
    """Return the entries of models/ by Hugging Face id, in the order of the files and of their blocks."""
    return {model: entry for file in model_files() for model, entry in _parsed(file).items()}


def checkpoints(entries: dict[str, dict[str, Any]] | None = None) -> dict[str, dict[str, Any]]:
    """Return the quantised checkpoints of these entries by Hugging Face id, each as an entry of its own.

    Default: of the whole catalogue.
    """
    return {
        gpu["checkpoint"]: _of_checkpoint(entry, precision)
        for entry in (catalogue() if entries is None else entries).values()
        for precision, gpu in entry["gpu"].items()
        if "checkpoint" in gpu
    }


def _of_checkpoint(entry: dict[str, Any], precision: str) -> dict[str, Any]:
    """Return the entry of the checkpoint that serves a model in `precision`."""
    gpu = entry["gpu"][precision]
    own = {"published": _numbers(gpu, precision), "weights_gib": gpu["weights_gib"], "config": _config(entry, gpu)}
    served = {key: value for key, value in gpu.items() if key not in ("checkpoint", "numbers", "weights_gib")}
    return entry | own | {"gpu": {"published": served}}


def kind_of(entry: dict[str, Any]) -> str:
    """Return what a model is for: `chat`, `pictures`, `embeddings`, `reranking` or `transcription`."""
    return str(entry.get("kind", "pictures" if entry["engine"] == "vllm-omni" else "chat"))


def _numbers(gpu: dict[str, Any], precision: str) -> str:
    return str(gpu.get("numbers", precision))


def _config(entry: dict[str, Any], gpu: dict[str, Any]) -> dict[str, Any] | None:
    """Return the config.json of the checkpoint that is served."""
    config: dict[str, Any] | None = entry.get("config")
    if config and "quantization_config" in gpu:
        return config | {"quantization_config": gpu["quantization_config"]}
    return config


def _entry(model_id: str) -> dict[str, Any] | None:
    """Return the catalogue's entry of a model or a checkpoint, or None. Parse only the file that names it."""
    block = re.compile(rf"^(?:{re.escape(model_id)}:| +checkpoint: {re.escape(model_id)}$)", re.MULTILINE)
    entries = next((_parsed(file) for file in model_files() if block.search(file.read_text("utf-8"))), None)
    return None if entries is None else entries.get(model_id) or checkpoints(entries)[model_id]


def known_model(model_id: str, precision: str) -> dict[str, Any]:
    """Return what `model_id` needs in `precision`: the catalogue's entry, or a guess from the size in the name.

    Keys: `id` (of the checkpoint that is served), `known` (bool), `kind` (see `kind_of`), `engine`, `numbers` (number
    format of the weights, None if unknown), `parameters` (billions or None), `context` (tokens, as vLLM takes it; None
    for pictures),
    `max_num_seqs`, `gated` (bool), `licence` (or None), `tool_parser`, `reasoning_parser` (or None), `sees` (bool),
    `flags` (lines of `vllm serve`), `memory` (dstack's range), `count` (GPUs), `compute_capability`, `cpus`, `host_gb`
    (the host's memory), `expensive_price` (USD an hour, at the expensive end), `price_lists` (their date), `disk_gb`,
    `config` (of config.json, or None), `weights_gib` (as published, or None), `picture_gib` (or None).
    """
    entry = _entry(model_id)
    if entry is None:
        guess: dict[str, Any] = guesses.guess(model_id, precision)
        return guess
    gpu = entry["gpu"].get(precision, entry["gpu"]["published"])  # the hook has already refused a missing precision
    reasoning = [f"--reasoning-parser {entry['reasoning_parser']}"] if "reasoning_parser" in entry else []
    quantised = [guesses.QUANTISED] if precision == "fp8" and "checkpoint" not in gpu else []
    weights_gib = gpu.get("weights_gib", entry["weights_gib"])
    return {
        "id": gpu.get("checkpoint", model_id),
        "known": True,
        "kind": kind_of(entry),
        "engine": entry["engine"],
        "numbers": entry["published"] if precision == "published" else _numbers(gpu, precision),
        "parameters": entry["parameters"],
        "context": gpu.get("context"),
        "max_num_seqs": gpu.get("max_num_seqs", guesses.MAX_NUM_SEQS),
        "gated": entry["gated"],
        "licence": entry["licence"],
        "tool_parser": entry.get("tool_parser"),
        "reasoning_parser": entry.get("reasoning_parser"),
        "sees": entry.get("sees", False),
        "flags": entry.get("flags", []) + reasoning + quantised + gpu.get("flags", []),
        "memory": gpu["memory"],
        "count": gpu.get("count", 1),
        "compute_capability": gpu["compute_capability"],
        **guesses.host(int(gpu["memory"].split("GB")[0]), gpu.get("count", 1)),
        "disk_gb": guesses.disk_gb(weights_gib * 2**30 / 1e9),
        "config": _config(entry, gpu),
        "weights_gib": weights_gib,
        "picture_gib": entry.get("picture_gib"),
    }


def refused_model(model_id: str) -> tuple[str, str] | None:
    """Return why `model_id` can't be served in any precision, and an example that can; None when it can be served."""
    if _entry(model_id) is not None:
        return None
    for known in (*catalogue(), *checkpoints()):
        if known.lower() == model_id.lower():
            return "is spelt differently on Hugging Face", known
    if found := names.not_served(model_id):
        served = [known for known, entry in catalogue().items() if kind_of(entry) == found.served]
        return found.why, ", ".join(served) or CHAT
    return (guesses.too_large(model_id), CHAT) if guesses.holds_in_no_precision(model_id) else None


def refused_precision(model_id: str, precision: str) -> str | None:
    """Return why `model_id` can't be served in `precision`, but in another one; None when it can."""
    entry = _entry(model_id)
    why = guesses.not_in(model_id, precision) if entry is None else _not_in(entry, precision)
    return f"is not possible for {model_id}: {why}" if why else None


def _not_in(entry: dict[str, Any], precision: str) -> str | None:
    if precision in entry["gpu"]:
        return None
    if (kind := kind_of(entry)) not in ("chat", "pictures"):
        return f"a model for {kind} is served only as published"
    if entry["published"] != "bf16":
        return f"its weights are published in {entry['published']} already"
    if entry["engine"] != "vllm":
        return f"its engine, {entry['engine']}, serves it only as published"
    return str(guesses.NO_4_BITS)


FILTERS: dict[str, Callable[..., Any]] = {
    "known_model": known_model,
    "refused_model": refused_model,
    "refused_precision": refused_precision,
    "machines": machines,
}
