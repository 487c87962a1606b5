"""What a person sees: tables on standard output, progress on standard error; JSON for machines instead of tables."""

import html
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from getpass import getpass
from io import StringIO, TextIOBase
from json import dumps
from pathlib import Path
from typing import Any, TextIO

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
from deploy.offers import HOURS_A_MONTH, Offer, assess, rows, shared
from deploy.plans import Plan

console = Console(highlight=False, soft_wrap=True)
progress = Console(stderr=True, highlight=False, soft_wrap=True)
COLOURS = {Change.UNCHANGED: "dim", Change.RESTART: "bold red"}
OFFERS_SHOWN = 5


def failure(error: Failure) -> None:
    progress.print(f"[bold red]error:[/] {escape(str(error))}")


def ask_secret(name: str) -> str:
    """A value typed without echo, or piped in. Fails with SETTINGS_INVALID when it is empty."""
    value = (getpass(f"{name}: ") if sys.stdin.isatty() else sys.stdin.read()).strip()
    if not value:
        message = f"no value for {name}; type it, or pipe it in: inv secrets.set {name} < file"
        raise Failure(ExitCode.SETTINGS_INVALID, message)
    return value


class _Tee(TextIOBase):
    """Writes to a stream, and as HTML to a page."""

    def __init__(self, stream: TextIO, page: TextIO) -> None:
        self.stream, self.page = stream, page

    def write(self, text: str) -> int:
        self.page.write(html.escape(text, quote=False))
        return self.stream.write(text)


@contextmanager
def on_the_runs_page(*, json: bool) -> Iterator[None]:
    """In a GitHub workflow, show on the run's page too what is shown inside the block, unless it is JSON."""
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    if json or not path:
        yield
        return
    with open(path, "a", encoding="utf-8") as page:
        page.write(f"`{shlex.join(['inv', *sys.argv[1:]])}`\n<pre>")
        with redirect_stdout(_Tee(sys.stdout, page)), redirect_stderr(_Tee(sys.stderr, page)):
            try:
                yield
            finally:
                page.write("</pre>\n\n")


@contextmanager
def watching(title: str) -> Iterator[Callable[[str], None]]:
    """A function that shows a line of progress with the time since the start; a spinner too, on a terminal.

    The line that was shown last is not shown again, so a loop may say at each look what it sees.
    """
    started, said = time.monotonic(), ""

    def say(line: str) -> None:
        nonlocal said
        if line == said:
            return
        said = line
        progress.print(f"[dim]{time.monotonic() - started:5.0f} s[/]  {escape(line)}")
        spinner.update(f"{title}: {escape(line)}")

    with progress.status(title) as spinner:
        yield say


def confirm(question: str, *, yes: bool) -> None:
    """Return when it may go on. Fails with DECLINED when the answer is no, or when nobody is there to ask."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Failure(ExitCode.DECLINED, "nobody to ask; add --yes if you mean it")
    progress.print(f"{question} [bold]\\[y/N][/] ", end="")
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Failure(ExitCode.DECLINED, "declined; nothing was changed")


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
    console.print(table if found else "[bold red]No offer: no cloud has what service.resources asks for.[/]")
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
    console.print(table)
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
    (folder / "report.json").write_text(dumps(report, indent=2) + "\n", encoding="utf-8")
    title = f"{report['model']} on {', '.join(report['gpus'])}: {report['requests']} requests"
#% if cookiecutter.__pictures
    title += f", {report['concurrency']} at a time"
#% else
    title += f", {report['concurrency']} at a time, {report['input_tokens']} tokens in, {report['output_tokens']} out"
#% endif
    picture = Console(record=True, width=100, file=StringIO(), force_terminal=True)
    picture.print(table(report))
    picture.save_svg(str(folder / "report.svg"), title=title)
    if json:
        return _json(report)
    console.print(f"[bold]{escape(title)}[/]", table(report), f"{folder}/report.json, {folder}/report.svg", sep="\n")


def findings(found: Iterable[Document], *, json: bool = False) -> None:
    """Show each finding as it comes; JSON at the end, also when a Failure is that end."""
    seen = []
    try:
        for finding in found:
            seen.append(finding)
            if not json:
                good = f"[green]✓[/] {finding['check']}: {escape(finding['text'])}"
                console.print(good if finding["ok"] else f"[bold red]✗[/] {finding['check']}")
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
