"""Describes a model in a few lines, for the end of a generation: `model | summary(model_id, cards)`.

template_extensions.py runs this file and takes `FILTERS` from it. It imports nothing of the template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

HOURS_A_MONTH = 730
CONTEXTS = {"auto": "what fits beside the weights, at most the model's own"}


def summary(model: Mapping[str, Any], model_id: str, cards: Iterable[Mapping[str, Any]]) -> str:
    """Return what serving the model takes and costs. `model`: of `known_model`; `cards`: of models/machines.yml."""
    lines = [_title(model, model_id), *(f"  {name + ':':<9}{text}" for name, text in _facts(model, model_id, cards))]
    return "\n".join(lines)


def _title(model: Mapping[str, Any], model_id: str) -> str:
    size = f"{model['parameters']:g} billion parameters" if model["parameters"] else ""
    if model["known"]:
        return f"{model_id} is in the template's catalogue: {size}, served in {model['numbers']}:"
    if not size:
        return f"{model_id} is NOT in the template's catalogue, and its name has no size. All of this is GUESSED:"
    return f"{model_id} is NOT in the template's catalogue. This is GUESSED from the size in its name, {size}:"


def _facts(model: Mapping[str, Any], model_id: str, cards: Iterable[Mapping[str, Any]]) -> Iterable[tuple[str, str]]:
    """Return the names and texts of the lines."""
    yield "GPU", _gpus(model, cards)
    if model["known"] or model["parameters"]:  # without a size, a price would be invented
        price = model["expensive_price"]
        month = f"{price * HOURS_A_MONTH:,.0f}"
        yield "price", f"${price:.2f} an hour, ${month} a month, at the expensive end; `inv offers` shows today's"
    if model["context"]:
        yield "context", CONTEXTS.get(model["context"], f"{model['context']} tokens")
    yield "licence", f"{model['licence'] or 'unknown'}; {_gate(model, model_id)}"
    if not model["known"]:
        yield "check", f"`inv size --config {model_id}` computes the memory from the model's files"


def _gpus(model: Mapping[str, Any], cards: Iterable[Mapping[str, Any]]) -> str:
    memory = int(model["memory"].split("GB")[0])
    able = (card for card in cards if card["capability"] >= model["compute_capability"])
    names = sorted({str(card["name"]) for card in able if card["memory"] == memory})
    number = f"{model['count']} cards, each with" if model["count"] > 1 else "1 card with"
    return f"{number} {memory} GB or more, such as {' or '.join(names)}"


def _gate(model: Mapping[str, Any], model_id: str) -> str:
    page, secret = f"https://huggingface.co/{model_id}", "store a token of that account: inv secrets.set hf_token"
    if not model["gated"]:
        return "not gated: no Hugging Face token is needed"
    if model["known"]:
        return f"gated: accept the terms at {page}, then {secret}"
    return f"see {page}. If it is gated, accept the terms there. Then {secret}"


FILTERS: dict[str, Callable[..., Any]] = {"summary": summary}
