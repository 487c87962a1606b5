"""Shows offers and sizes."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from rich.markup import escape

from capacity.offers import Evaluation, Offer
from capacity.sizing import Size
from console import views
from console.terminal import console

Column: TypeAlias = tuple[str, Callable[[Offer], str]]


def offers(found: Evaluation, *, concurrent: int = 0, json: bool = False) -> None:
    """Show offers, with their prices for so many concurrent requests, see `Offer.price_for`."""
    if json:
        return views.data([offer.as_json() for offer in found.offers])
    offer_table("", found, concurrent)


def offer_table(title: str, found: Evaluation, concurrent: int = 0) -> None:
    """Show offers as a table, and below it what their warnings mean."""
    columns = _columns(found, concurrent)
    shown = views.table(title, *(name for name, _ in columns))
    for offer in found.offers:
        shown.add_row(*(text(offer) for _, text in columns))
    if found.offers:
        console.table(shown)
    else:
        console.print("[bold red]No offer: no cloud has what service.resources asks for.[/]")
    for subject, problem in sorted({problem for offer in found.offers for problem in offer.problems.items()}):
        everywhere = " (every offer)" if subject in found.shared_problems else ""
        console.print(f"[yellow]{subject}{everywhere}[/]: {problem}")
    if found.not_sized:
        console.print(f"[yellow]not sized[/]: {escape(found.not_sized)}")


def sizes(found: Sequence[Size], *, json: bool, single: bool = False) -> None:
    """Show a line for each card. JSON is a list, or with `single` one object."""
    if json:
        lines = [size.as_json() for size in found]
        return views.data(lines[0] if single else lines)
    titles = ("GPU", "GiB", "weights", "overhead", "KV cache", "tokens", "request", "concurrent", "needs")
    shown = views.table("", *titles)
    for size in found:
        shown.add_row(*_cells(size), style="" if size.fit.fits else "dim")
    console.table(shown)
    for size in found:
        if problem := size.fit.sequences_problem:
            console.print(f"[yellow]{_gpu(size)}[/]: {problem}: give --max-num-seqs {size.fit.kv_cache_blocks} or less")


def _gpu(size: Size) -> str:
    return f"{size.card.count}x {size.card.name or 'GPU'}"


def _columns(found: Evaluation, concurrent: int) -> list[Column]:
    """Return the columns, without those that are the same for all offers."""
    columns: list[Column] = [
        ("cloud", lambda offer: offer.machine.backend),
        ("region", lambda offer: offer.machine.region),
        ("GPU", lambda offer: offer.machine.gpu),
        ("$/h", lambda offer: f"{offer.machine.price:.2f}"),
        ("$/month", lambda offer: f"{offer.price_per_month:,.0f}"),
    ]
    if found.sized:
        price = f"$/h for {concurrent}" if concurrent else "$/h each"
        columns.append(("concurrent", lambda offer: "?" if offer.requests is None else str(offer.requests)))
        columns.append((price, lambda offer: f"{offer.price_for(concurrent):.3f}" if offer.requests else "-"))
    if found.differing:
        columns.append(("warnings", lambda offer: " ".join(found.warnings_of(offer))))
    return columns


def _cells(size: Size) -> list[str]:
    fit, card = size.fit, size.card
    gib = (card.gib, fit.weights_gib, fit.overhead_gib, fit.kv_cache_gib)
    counts = (fit.kv_cache_tokens, fit.max_model_len, fit.requests)
    needs = "more than 8" if size.gpus_needed is None else str(size.gpus_needed)
    return [_gpu(size), *(f"{number:.2f}" for number in gib), *(f"{number:,}" for number in counts), needs]
