"""What a person sees: tables on standard output, progress on standard error; JSON for machines instead of tables."""

from collections.abc import Iterable
from io import StringIO
from json import dumps
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from deploy.answers import Gateway, Run, Submission
from deploy.bench import table
from deploy.changes import Change
from deploy.checks import replica_bounds
from deploy.environments import Document, Environment
from deploy.errors import ExitCode, Failure
from deploy.existing import Resource
from deploy.guards import no_offer
from deploy.offers import HOURS_A_MONTH, Offer, assess, rows, shared
from deploy.plans import Plan
from deploy.prompts import ask_code, ask_secret, confirm
from deploy.terminal import console, on_the_runs_page, print_anything, progress, watching

__all__ = ["ask_code", "ask_secret", "confirm", "console", "on_the_runs_page", "print_anything", "progress", "watching"]
COLOURS = {Change.UNCHANGED: "dim", Change.RESTART: "bold red"}
OFFERS_SHOWN = 5


def failure(error: Failure) -> None:
    """Show what is wrong and what to type, then the notes that were added on the way."""
    progress.print(f"[bold red]error:[/] {escape(str(error))}")
    for note in getattr(error, "__notes__", ()):
        progress.print(escape(note))


def plan(planned: Plan, *, json: bool = False) -> None:
    if json:
        return _json(planned.as_json())
    for kind, part in planned.parts.items():
        colour = COLOURS.get(part.change, "bold")
        console.print(f"{kind} {planned.environment.run_name}: [{colour}]{part.change.value}[/]")
        for difference in part.differences:
            console.print(f"  {difference.key}: {_value(difference.before)} -> {_value(difference.after)}")
    for resource in planned.removals:
        console.print(f"[bold red]remove[/] {escape(str(resource))}")
    if planned.restarts:
        console.print("[bold red]This interrupts the service: it is stopped, and started again with the change.[/]")
    elif any(part.change == Change.RESTART for part in planned.parts.values()):
        console.print("[bold red]This interrupts the service: its gateway is deleted, and recreated.[/]")
    if (change := planned.price_change) is not None:
        console.print(f"GPUs: ${planned.price:.2f} an hour -> ${planned.price + change:.2f} ({change:+.2f})")
    if not planned.needs_machine:
        return
    if not planned.offers:
        console.print(f"[bold red]No offer:[/] {escape(no_offer(planned))}")
        return
    _offers("Offers for a new replica, first tried first", *assess(planned.environment, planned.offers[:OFFERS_SHOWN]))
    if len(planned.offers) > OFFERS_SHOWN:
        console.print(f"[dim]and {len(planned.offers) - OFFERS_SHOWN} more (--json lists them)[/]")


def offers(found: list[Offer], unsized: Failure | None, *, at_once: int = 0, json: bool = False) -> None:
    if json:
        return _json([offer.as_json() for offer in found])
    _offers("", found, unsized, at_once)


def _offers(title: str, found: list[Offer], unsized: Failure | None, at_once: int = 0) -> None:
    lines, everywhere = rows(found, at_once), shared(found)
    table = _table(title, *(lines[0] if lines else ()))
    for line in lines:
        table.add_row(*line.values())
    if found:
        console.table(table)
    else:
        console.print("[bold red]No offer: no cloud has what service.resources asks for.[/]")
    for subject, problem in sorted({problem for offer in found for problem in offer.problems.items()}):
        console.print(f"[yellow]{subject}{' (every offer)' if subject in everywhere else ''}[/]: {problem}")
    if unsized:
        console.print(f"[yellow]not sized[/]: {escape(str(unsized))}")


def status(now: Document, *, json: bool = False) -> None:
    if json:
        return _json(now)
    console.print(f"{now['run']}: [bold]{now['status']}[/], deployment {now['deployment']}, {now['url']}")
    table = _table("", "replica", "deployment", "status", "probes", "cloud", "region", "GPU", "$/h")
    for *words, price in (replica.values() for replica in now["replicas"]):
        table.add_row(*map(str, words), f"{price:.2f}")
    console.table(table)
    price = now["price_per_hour"]
    console.print(f"${price:.2f} an hour (${price * HOURS_A_MONTH:,.0f} a month), ${now['cost']:.2f} so far")


def logs(replica: int, attempt: Submission, lines: list[str]) -> None:
    ended = f", {attempt.termination_reason}".replace("_", " ") if attempt.termination_reason else ""
    progress.print(f"[dim]replica {replica} of deployment {attempt.deployment_num}, {attempt.status}{ended}:[/]")
    for line in lines:
        console.out(line, highlight=False)


def smoke(report: Document, *, json: bool = False) -> None:
    if json:
        return _json(report)
    console.print(f"{report['url']} answers as [bold]{report['model']}[/]: {escape(repr(report['text']))}")
    times = (f"{name.removesuffix('_ms').replace('_', ' ')} {ms} ms" for name, ms in report.items() if "_ms" in name)
    console.print(", ".join(times))


def bench(report: Document, folder: Path, *, json: bool = False) -> None:
    """Show it, and leave it in `folder`: report.json for machines, report.svg for people."""
    written = folder / "report.json"
    try:
        written.write_text(dumps(report, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise Failure(ExitCode.BENCH_FAILED, f"{written} can't be written: {error.strerror or error}") from None
    title = f"{report['model']} on {', '.join(report['gpus'])}: {report['requests']} requests"
    title += f", {report['concurrency']} at a time, {report['input_tokens']} tokens in, {report['output_tokens']} out"
    picture = Console(record=True, width=100, file=StringIO(), force_terminal=True)
    picture.print(table(report))
    picture.save_svg(str(folder / "report.svg"), title=title)
    if json:
        return _json(report)
    console.print(f"[bold]{escape(title)}[/]")
    console.table(table(report))
    console.print(escape(f"{folder}/report.json, {folder}/report.svg"))


def findings(found: Iterable[Document], *, json: bool = False) -> None:
    """Show each finding as it comes; JSON at the end, also when a Failure is that end."""
    seen = []
    try:
        for finding in found:
            seen.append(finding)
            if not json:
                good = f"[green]{console.sign('✓', 'ok')}[/] {finding['check']}: {escape(finding['text'])}"
                console.print(good if finding["ok"] else f"[bold red]{console.sign('✗', 'no')}[/] {finding['check']}")
    finally:
        if json:
            _json(seen)


def secrets(needed: Iterable[str], present: set[str], *, json: bool = False) -> None:
    needed = set(needed)
    if json:
        return _json([{"name": n, "needed": n in needed, "set": n in present} for n in sorted(needed | present)])
    for name in sorted(needed | present):
        state = "set" if name in present else f"[bold red]missing[/], run inv secrets.set {name}"
        console.print(f"{name}: {state}{'' if name in needed else ', not used here'}")


def documents(*merged: Document | None, json: bool = False) -> None:
    configurations = [configuration for configuration in merged if configuration]
    if json:
        return _json({configuration["type"]: configuration for configuration in configurations})
    text = yaml.safe_dump_all(configurations, sort_keys=False, allow_unicode=True, width=120)
    console.out(text.rstrip(), highlight=False)


def gateway(name: str, found: Gateway | None, *, json: bool = False) -> None:
    if json:
        absent = {"status": "absent", "targets": []}
        told = {"status": found.status, "targets": found.targets, "replicas": found.replicas} if found else absent
        return _json({"name": name} | told)
    console.print(f"gateway {name}: {found.summary if found else 'none'}")


def records(host: str, found: list[Document], *, json: bool = False) -> None:
    if json:
        return _json(found)
    for record in found:
        console.print(f"{record['name']} {record['ttl']} {record['type']} {' '.join(record['values'])}")
    if not found:
        console.print(f"{host}: no records")


def existing(run_name: str, found: list[Resource]) -> None:
    """What a destroy would remove."""
    console.print(f"{run_name}: {escape(', '.join(map(str, found))) if found else 'nothing to destroy'}")


def asleep(environment: Environment, run: Run) -> None:
    """Say that a deployment has no replica, and how it is tried."""
    name, most = environment.run_name, replica_bounds(environment.service)[1]
    console.print(f"{name}: deployment {run.deployment_num} is [bold]asleep[/]: nothing answers, and no GPU is billed")
    wake = "the first request to its endpoint starts a replica: send one" if most else "set service.replicas to 1"
    console.print(f"Nobody has tried it yet. To try it, {wake}, then run inv smoke --env {environment.name}")


def _json(data: Any) -> None:
    console.out(dumps(data, indent=2, default=str), highlight=False)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right" if column.startswith("$/h") else "left")
    return table


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    return escape(value if isinstance(value, str) else dumps(value, default=str))
