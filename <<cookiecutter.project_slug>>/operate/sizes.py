"""Sizes a model on a GPU, or on the machines on offer for this service."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.markup import escape

from capacity import cards, sources
from capacity.errors import SizingError, errors_at
from capacity.flags import Flags, service_flags
from capacity.sizing import Size, size_on
from console.errors import ExitCode, Failure
from console.terminal import progress
from deploy.api import Api
from deploy.environments import Environment


def sizes(
    environment: Environment,
    overrides: Mapping[str, str],
    *,
    config: str = "",
    weights: str = "",
    gpu_memory: str = "",
) -> list[Size]:
    """Return how the model fits a GPU of `gpu_memory` GiB, or without it each kind of machine on offer.

    `overrides` are vLLM's flags by name. They go over this service's flags, or over vLLM's defaults for the model of
    `config`. Fails with SETTINGS_INVALID.
    """
    with _sizing_errors_as_failures():
        gib = sources.size_in_gib("--gpu-memory", gpu_memory)
        model = sources.read_model(config, sources.size_in_gib("--weights", weights))
        written = {} if config else service_flags(environment.service)
        with errors_at("vLLM's flags"):
            flags = Flags.model_validate(written | {name: value for name, value in overrides.items() if value})
        if gib:
            return [size_on(cards.card_with(gib, flags.tensor_parallel), model, flags)]
        return [size_on(card, model, flags) for card in _offered_cards(environment)]


def _offered_cards(environment: Environment) -> list[cards.Card]:
    """Return each kind of machine on offer. When no server answers, show that and return common cards."""
    try:
        offers = Api(environment).plan_run(environment.service, None, any_fleet=True).offers
    except Failure as failure:
        progress.print(f"[yellow]These are common GPUs, not those on offer:[/] {escape(str(failure))}")
        return cards.COMMON
    gpus = (offer.gpus for offer in offers if offer.gpus)
    return sorted({cards.listed_card(found[0].name, found[0].memory_mib, len(found)) for found in gpus})


@contextmanager
def _sizing_errors_as_failures() -> Iterator[None]:
    try:
        yield
    except SizingError as error:
        raise Failure(ExitCode.SETTINGS_INVALID, error.problem, error.remedy) from None
