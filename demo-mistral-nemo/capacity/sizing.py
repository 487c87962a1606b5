"""Sizes a model on a card, as `inv size` shows it. Sizes are in GiB and for one GPU."""

from dataclasses import asdict, dataclass
from typing import Any

from capacity import memory
from capacity.cards import Card
from capacity.errors import errors_at
from capacity.flags import Flags
from capacity.model import Model


@dataclass(frozen=True)
class Size:
    """A card, how the model fits it, and how many GPUs the model takes (None: more than a machine has)."""

    card: Card
    fit: memory.Fit
    gpus_needed: int | None

    def as_json(self) -> dict[str, Any]:
        """Return the size as `inv size --json` prints it."""
        numbers = {name: _rounded(value) for name, value in asdict(self.fit).items()}
        machine = {"gpu": self.card.name, "gpus": self.card.count, "gpu_memory_gib": self.card.gib}
        needed = {"requests_at_once": self.fit.requests, "tensor_parallel_size_needed": self.gpus_needed}
        return machine | numbers | needed


def size_on(card: Card, model: Model, flags: Flags) -> Size:
    """Return how `model` with vLLM's `flags` fits `card`. Raises SizingError."""
    with errors_at("the model"):
        fit = memory.size(model, flags, card.gib, card.count, card.name)
        return Size(card, fit, memory.smallest_parallel(model, flags, card.gib, card.name))


def _rounded(value: Any) -> Any:
    return round(value, 2) if isinstance(value, float) else value
