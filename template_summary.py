"""Describes a model in a few lines, for the end of a generation: `model | summary(model_id, cards)`.

template_extensions.py runs this file and takes `FILTERS` from it. It imports nothing of the template.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

HOURS_A_MONTH = 730
ABILITIES = {  # of other kinds than chats
    "embeddings": "compute embeddings",
    "reranking": "put documents in an order",
    "transcription": "turn speech into text",
}
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
    if model["id"] != model_id:
        yield "weights", f"{model['id']}; callers ask for this name, too"
    yield "GPU", _gpus(model, cards)
    if model["known"] or model["parameters"]:  # without a size, a price would be invented
        yield "price", _price(model)
    if model["context"] and model["kind"] != "transcription":  # there it is of the words that are written
        yield "context", CONTEXTS.get(model["context"], f"{model['context']} tokens")
    if model["known"] and model["engine"] == "vllm":
        yield "able to", _abilities(model)
    yield "licence", f"{model['licence'] or 'unknown'}; {_gate(model)}"
    yield "check", _first_check(model)


def _price(model: Mapping[str, Any]) -> str:
    price = model["expensive_price"]
    month = f"{price * HOURS_A_MONTH:,.0f}"
    source = f"at the expensive end of price lists of {model['price_lists']}"
    return f"${price:.2f} an hour, ${month} a month, {source}; `inv offers` shows today's"


def _gpus(model: Mapping[str, Any], cards: Iterable[Mapping[str, Any]]) -> str:
    memory = int(model["memory"].split("GB")[0])
    able = (card for card in cards if card["capability"] >= model["compute_capability"])
    names = sorted({str(card["name"]) for card in able if card["memory"] == memory})
    number = f"{model['count']} cards, each with" if model["count"] > 1 else "1 card with"
    return f"{number} {memory} GB or more, such as {' or '.join(names)}"


def _abilities(model: Mapping[str, Any]) -> str:
    if model["kind"] in ABILITIES:
        return ABILITIES[model["kind"]]
    calls = ["call tools"] if model["tool_parser"] else []
    thoughts = ["think before it answers"] if model["reasoning_parser"] else []
    pictures = ["read pictures"] if model["sees"] else []
    return ", ".join(["chat", *calls, *thoughts, *pictures])


def _gate(model: Mapping[str, Any]) -> str:
    page, secret = f"https://huggingface.co/{model['id']}", "store a token of that account: inv secrets.set hf_token"
    if not model["gated"]:
        return "not gated: no Hugging Face token is needed"
    if model["known"]:
        return f"gated: accept the terms at {page}, then {secret}"
    return f"see {page}. If it is gated, accept the terms there. Then {secret}"


def _first_check(model: Mapping[str, Any]) -> str:
    """Return what to type first, before anything is rented."""
    if not model["known"]:
        return f"before `inv deploy`, `inv size --config {model['id']}` computes the memory from the model's files"
    if model["engine"] != "vllm":
        return "`inv offers` says on which machines a picture fits, before anything is rented"
    return "`inv size` shows how the model fits each card, before anything is rented"


FILTERS: dict[str, Callable[..., Any]] = {"summary": summary}
