"""What a person sees of offers."""

from rich.markup import escape

from capacity.offers import Offer, rows, shared
from console import views
from console.errors import Failure
from console.terminal import console


def offers(found: list[Offer], unsized: Failure | None, *, at_once: int = 0, json: bool = False) -> None:
    if json:
        return views.data([offer.as_json() for offer in found])
    offer_table("", found, unsized, at_once)


def offer_table(title: str, found: list[Offer], unsized: Failure | None, at_once: int = 0) -> None:
    lines, everywhere = rows(found, at_once), shared(found)
    shown = views.table(title, *(lines[0] if lines else ()))
    for line in lines:
        shown.add_row(*line.values())
    if found:
        console.table(shown)
    else:
        console.print("[bold red]No offer: no cloud has what service.resources asks for.[/]")
    for subject, problem in sorted({problem for offer in found for problem in offer.problems.items()}):
        console.print(f"[yellow]{subject}{' (every offer)' if subject in everywhere else ''}[/]: {problem}")
    if unsized:
        console.print(f"[yellow]not sized[/]: {escape(str(unsized))}")
