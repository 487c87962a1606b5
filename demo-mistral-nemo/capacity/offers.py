"""Evaluates the machines on offer: what they cost, how the model fits them, what can go wrong."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

from capacity import cards, memory, sources
from capacity.errors import SizingError, errors_at
from capacity.flags import Flags, service_flags
from capacity.machines import Machine
from capacity.model import Model
from capacity.problems import problems
from capacity.served import served_model
from capacity.weights import weights_gib as counted_gib

HOURS_A_MONTH = 730


@dataclass(frozen=True)
class Offer:
    """A machine, how the model fits it (None: not known), and warnings by subject."""

    machine: Machine
    fit: memory.Fit | None
    problems: dict[str, str]

    @property
    def price_per_month(self) -> float:
        """The price in USD per month."""
        return self.machine.price * HOURS_A_MONTH

    @property
    def requests(self) -> int | None:
        """The number of concurrent requests of full length; None when it is not known."""
        return self.fit.requests if self.fit else None

    def price_for(self, concurrent: int) -> float:
        """Return USD per hour for the machines that answer so many concurrent requests of full length.

        For 0, return the share of one request on a full machine. Infinite when not even one request fits.
        """
        requests = 1 if self.requests is None else self.requests
        if not requests:
            return float("inf")
        return self.machine.price * (ceil(concurrent / requests) if concurrent else 1 / requests)

    def as_json(self) -> dict[str, Any]:
        """Return the offer as `--json` prints it; prices are in USD."""
        fits = {"fits": self.fit.fits, "requests_at_once": self.fit.requests} if self.fit else {}
        each = {"price_per_request": round(self.price_for(0), 4)} if self.requests else {}
        month = {"price_per_month": round(self.price_per_month, 2)}
        return self.machine.as_json() | month | fits | each | {"problems": self.problems}


@dataclass(frozen=True)
class Evaluation:
    """Offers, and the reason why they are not sized ("" when they are)."""

    offers: tuple[Offer, ...] = ()
    not_sized: str = ""

    @property
    def sized(self) -> bool:
        """Whether it is known for any offer how the model fits it."""
        return any(offer.fit for offer in self.offers)

    @property
    def shared_problems(self) -> frozenset[str]:
        """The subjects of warnings that every offer has."""
        subjects = [frozenset(offer.problems) for offer in self.offers]
        return frozenset.intersection(*subjects) if subjects else frozenset()

    @property
    def most_sequences(self) -> int | None:
        """The --max-num-seqs with which vLLM starts on every offer; None when it starts on one as it is."""
        blocks = [offer.fit.kv_cache_blocks for offer in self.offers if offer.fit and offer.fit.too_many_seqs]
        return min(blocks) if blocks and len(blocks) == len(self.offers) else None

    def warnings_of(self, offer: Offer) -> tuple[str, ...]:
        """Return the subjects of an offer's warnings that not every offer has."""
        return tuple(subject for subject in offer.problems if subject not in self.shared_problems)

    @property
    def differing(self) -> bool:
        """Whether some offers have warnings that others do not have."""
        return any(self.warnings_of(offer) for offer in self.offers)

    def first(self, count: int) -> "Evaluation":
        """Return the evaluation with only the first `count` offers."""
        return replace(self, offers=self.offers[:count])

    def sorted_for(self, concurrent: int) -> "Evaluation":
        """Return the evaluation sorted by the price for so many concurrent requests, see `Offer.price_for`."""
        offers = sorted(self.offers, key=lambda offer: (offer.price_for(concurrent), offer.machine.price))
        return replace(self, offers=tuple(offers))


def evaluate(service: dict[str, Any], machines: Sequence[Machine], price_limit: float | None = None) -> Evaluation:
    """Return the machines as offers, in their order, with fit and warnings. `price_limit` is in USD per hour.

    Does not raise: when the model's numbers can't be read, the offers are not sized, and `not_sized` says why.
    """
    fits: list[memory.Fit | None] = [None] * len(machines)
    weights_gib, picture_gib, not_sized = None, None, ""
    try:
        served = served_model()
        weights_gib, picture_gib = served.weights_gib, served.picture_gib
        if served.kind != "pictures":
            model = sources.read_model()
            weights_gib = weights_gib or counted_gib(model)
            fits = _fits(service, model, machines)
    except SizingError as error:
        not_sized = str(error)
    known = {"weights_gib": weights_gib, "picture_gib": picture_gib, "price_limit": price_limit}
    pairs = zip(machines, fits, strict=True)
    offers = tuple(Offer(machine, fit, problems(service, machine, **known) | _problems(fit)) for machine, fit in pairs)
    return Evaluation(offers, not_sized)


def _problems(fit: memory.Fit | None) -> dict[str, str]:
    return {"sequences": fit.sequences_problem} if fit and fit.sequences_problem else {}


def _fits(service: dict[str, Any], model: Model, machines: Sequence[Machine]) -> list[memory.Fit | None]:
    """Return how the model fits each machine with the service's flags; None for a machine without a GPU."""
    with errors_at("dstack/service.dstack.yml"):
        flags = Flags.model_validate(service_flags(service))
        return [_fit(model, flags, machine) for machine in machines]


def _fit(model: Model, flags: Flags, machine: Machine) -> memory.Fit | None:
    if not machine.gpus:
        return None
    card = cards.listed_card(machine.gpus[0].name, machine.gpus[0].memory_mib, len(machine.gpus))
    return memory.size(model, flags, card.gib, card.count, card.name)
