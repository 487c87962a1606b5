"""What a person sees of a service that runs: findings, replicas, logs, answers, numbers of a load test."""

from collections.abc import Iterable
from io import StringIO
from json import dumps
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from capacity.offers import HOURS_A_MONTH
from console import views
from console.errors import ExitCode, Failure
from console.terminal import console, progress
from deploy.documents.files import Document
from deploy.dstack.answers import Submission
from operate.bench import table


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
            views.data(seen)


def status(now: Document, *, json: bool = False) -> None:
    if json:
        return views.data(now)
    console.print(f"{now['run']}: [bold]{now['status']}[/], deployment {now['deployment']}, {now['url']}")
    shown = views.table("", "replica", "deployment", "status", "probes", "cloud", "region", "GPU", "$/h")
    for *words, price in (replica.values() for replica in now["replicas"]):
        shown.add_row(*map(str, words), f"{price:.2f}")
    console.table(shown)
    price = now["price_per_hour"]
    console.print(f"${price:.2f} an hour (${price * HOURS_A_MONTH:,.0f} a month), ${now['cost']:.2f} so far")


def logs(replica: int, attempt: Submission, lines: list[str]) -> None:
    ended = f", {attempt.termination_reason}".replace("_", " ") if attempt.termination_reason else ""
    progress.print(f"[dim]replica {replica} of deployment {attempt.deployment_num}, {attempt.status}{ended}:[/]")
    for line in lines:
        console.out(line, highlight=False)


def smoke(report: Document, *, json: bool = False) -> None:
    if json:
        return views.data(report)
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
        return views.data(report)
    console.print(f"[bold]{escape(title)}[/]")
    console.table(table(report))
    console.print(escape(f"{folder}/report.json, {folder}/report.svg"))
