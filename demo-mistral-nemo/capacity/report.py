"""What `inv size` prints: a line for each machine; sizes in GiB and for one GPU."""

from collections.abc import Mapping
from dataclasses import asdict
from json import dumps
from typing import Any, TypeAlias

from rich.markup import escape
from rich.table import Table

from capacity import cards, memory, sources
from capacity.flags import Flags, of_service
from capacity.model import Model
from console.errors import Failure
from console.terminal import console, progress
from deploy.api import Api
from deploy.environments import Environment

Line: TypeAlias = dict[str, Any]
TITLES = ["GPU", "GiB", "weights", "overhead", "KV cache", "tokens", "request", "at once", "needs"]


def lines(
    environment: Environment, told: Mapping[str, str], *, config: str = "", weights: str = "", gpu_memory: str = ""
) -> Line | list[Line]:
    """How the model fits a GPU of `gpu_memory` GiB, or each kind of machine on offer for this service.

    This service's flags hold for its own model, vLLM's defaults for that of `config`; those `told` go over both.
    """
    model = sources.read_model(config, sources.gib("--weights", weights) if weights else None)
    own = {} if config else of_service(environment.service)
    with sources.refusing("vLLM's flags"):
        flags = Flags.model_validate(own | {name: value for name, value in told.items() if value})
    if not gpu_memory:
        return [line(model, flags, card) for card in offered(environment)]
    return line(model, flags, cards.of_size(sources.gib("--gpu-memory", gpu_memory), flags.tensor_parallel))


def line(model: Model, flags: Flags, card: cards.Card) -> Line:
    with sources.refusing("the model"):
        fit = memory.size(model, flags, card.gib, card.count, card.name)
        needed = memory.smallest_parallel(model, flags, card.gib, card.name)
    numbers = {name: round(value, 2) if isinstance(value, float) else value for name, value in asdict(fit).items()}
    machine = {"gpu": card.name, "gpus": card.count, "gpu_memory_gib": card.gib}
    return machine | numbers | {"requests_at_once": fit.requests, "tensor_parallel_size_needed": needed}


def offered(environment: Environment) -> list[cards.Card]:
    """Every kind of machine among this service's offers; common cards, and a word about it, where no server answers."""
    try:
        offers = Api(environment).plan_run(environment.service, None, any_fleet=True).offers
    except Failure as failure:
        progress.print(f"[yellow]These are common GPUs, not those on offer:[/] {escape(str(failure))}")
        return cards.COMMON
    gpus = (offer.gpus for offer in offers if offer.gpus)
    return sorted({cards.listed(found[0].name, found[0].memory_mib, len(found)) for found in gpus})


def show(found: Line | list[Line], *, json: bool) -> None:
    if json:
        return console.out(dumps(found, indent=2), highlight=False)
    table = Table(*TITLES, box=None, header_style="bold", pad_edge=False)
    for each in found if isinstance(found, list) else [found]:
        sizes = [f"{each[size]:.2f}" for size in ("gpu_memory_gib", "weights_gib", "overhead_gib", "kv_cache_gib")]
        counts = [f"{each[count]:,}" for count in ("kv_cache_tokens", "max_model_len", "requests_at_once")]
        needs = each["tensor_parallel_size_needed"] or "more than 8"
        style = "" if each["fits"] else "dim"
        table.add_row(f"{each['gpus']}x {each['gpu'] or 'GPU'}", *sizes, *counts, str(needs), style=style)
    console.table(table)
