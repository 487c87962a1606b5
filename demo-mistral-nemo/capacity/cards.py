"""The memory of GPUs as torch sees it: less than the nominal size, and less than the driver shows."""

import json
from dataclasses import dataclass
from pathlib import Path

SMALLEST_SHARE = 0.915  # of what a card is sold with: an L4 has 22.03 GiB of 24, an L40S 44.40 of 48
DRIVER_GIB = 0.75  # between nvidia-smi's total and torch's: 0.46 on an L4 to 0.75 on an H100 (81559 MiB)


@dataclass(frozen=True, order=True)
class Card:
    """GPUs of one kind in one machine. `gib`: the memory of one GPU, as torch sees it."""

    gib: float
    name: str = ""
    count: int = 1


# Totals in vLLM's and torch's own messages. ECC takes its part of GDDR cards (L4, L40S), the driver takes the rest.
COMMON = [Card(**card) for card in json.loads(Path(__file__).with_name("cards.json").read_text("utf-8"))]


def listed_card(name: str, memory_mib: int, count: int) -> Card:
    """Return the card of GPUs as dstack lists them. For a card that is not known, the memory is a low estimate.

    dstack lists the nominal size for RunPod (L40S: 49152 MiB) and the driver's number for Vast.ai (46068).
    """
    gib = memory_mib / 1024
    known = [card.gib for card in COMMON if card.name == name and card.gib <= gib]
    unknown = gib * SMALLEST_SHARE if memory_mib % 1024 == 0 else gib - DRIVER_GIB
    return Card(max(known, default=round(unknown, 2)), name, count)


def card_with(gib: float, count: int) -> Card:
    """Return the card that has exactly so much memory. It has no name when no known card has it."""
    return Card(gib, next((card.name for card in COMMON if abs(card.gib - gib) < 0.005), ""), count)
