"""How much weights and KV cache each machine of models/machines.yml holds, by the code behind `inv size`.

The template's guess for an unknown model compares with it: `inv record --tables` writes `room_gib` into that file. The
guess itself can't run the code, because it needs packages that don't come with cookiecutter.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any

from template_catalogue import catalogue, kind_of, machines
from template_docs import ROOT, put
from template_guess import MACHINES, MAX_NUM_SEQS

CAPACITY = ROOT / "<<cookiecutter.project_slug>>"
MARKS = ("# written by: inv record --tables\n", "# end of what is written\n")


def rooms() -> str:
    """Return the machines with the room on each, as lines of YAML."""
    lines = [
        f"  - {{memory: {machine['memory']}, count: {machine['count']}, room_gib: {room_gib(machine):.1f}}}\n"
        for machine in machines("machines")
    ]
    return "".join(lines)


def room_gib(machine: dict[str, Any]) -> float:
    """Return the GiB for weights and KV cache on all cards of a machine, whichever model of the catalogue is served.

    It is the least of all models: their overheads differ, and an unknown model may have the largest.
    """
    cards = (card for card in machines("cards") if card["memory"] == machine["memory"])
    smallest = min(cards, key=lambda card: float(card["gib"]))
    chats = (entry for entry in catalogue().values() if kind_of(entry) == "chat")
    overheads = (_overhead_gib(entry, smallest, machine["count"]) for entry in chats)
    most = max(overhead for overhead in overheads if overhead is not None)
    return float(machine["count"] * (_capacity("flags").Flags().utilization * smallest["gib"] - most))


def _overhead_gib(entry: dict[str, Any], card: dict[str, Any], count: int) -> float | None:
    """Return what vLLM needs beside weights and KV cache on each GPU; None for a model that can't be spread so."""
    try:
        model = _capacity("model").Model.from_config(entry["config"], entry["weights_gib"])
        flags = _capacity("flags").Flags(max_num_seqs=MAX_NUM_SEQS, tensor_parallel=count)
        fit = _capacity("memory").size(model, flags, card["gib"], count, card["name"])
    except _capacity("errors").SizingError:
        return None
    return float(fit.overhead_gib)


def _capacity(module: str) -> Any:
    """Return a module of the room `capacity` of a generated repository."""
    if str(CAPACITY) not in sys.path:
        sys.path.insert(0, str(CAPACITY))
    return importlib.import_module(f"capacity.{module}")


def put_rooms() -> None:
    """Write the machines into their file."""
    put(MACHINES, MARKS, rooms())
