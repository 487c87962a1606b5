"""Shows a service that runs: findings, replicas, logs, answers, numbers of a load test."""

import sys
from collections.abc import Iterable, Mapping
from io import StringIO
from pathlib import Path

from rich.bar import Bar
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from account.findings import Finding
from capacity.offers import HOURS_A_MONTH
from console import views
from console.terminal import console, progress
from deploy.dstack.observations import Event
from deploy.environments import Environment
from deploy.reaching import LIVING
from operate import calling, events
from operate.endpoint import Answer
from operate.history import Row
from operate.logs import Line, Source
from operate.measurements import Report
from operate.status import Status
from operate.times import span

COLOURS = ("cyan", "green", "magenta", "yellow", "blue")  # of replicas, in turn


def findings(found: Iterable[Finding], *, json: bool = False) -> None:
    """Show each finding as it comes. Print JSON at the end, also when a Failure ends the checks."""
    seen: list[Finding] = []
    try:
        for finding in found:
            seen.append(finding)
            if not json:
                _finding(finding)
    finally:
        if json:
            views.data([finding.as_json() for finding in seen])


def _finding(finding: Finding) -> None:
    """Show one finding: good, failed with its remedy, or not checked."""
    if finding.failure:
        console.print(f"[bold red]{console.sign('✗', 'no')}[/] {finding.check}: {escape(finding.text)}")
        if finding.failure.remedy:
            console.print(f"  fix: {escape(finding.failure.remedy)}")
    elif finding.ok:
        colour = "yellow" if "warning: " in finding.text else "green"
        console.print(f"[{colour}]{console.sign('✓', 'ok')}[/] {finding.check}: {escape(finding.text)}")
    else:
        console.print(f"[dim]? {finding.check}: {escape(finding.text)}[/]")


def history(environment: Environment, found: list[Row], *, json: bool = False) -> None:
    """Show the deployments, the newest first."""
    if json:
        return views.data([row.as_json() for row in found])
    if not found:
        console.print(f"{environment.run_name}: no deployment is known")
        return
    shown = views.table("", "number", "when (UTC)", "who", "commit", "subject", "changed", "result")
    for row in found:
        one = row.deployment
        commit = (one.commit[:7] or "no commit") + (" and uncommitted changes" if one.dirty else "")
        back = f" (back to {one.back_to})" if one.back_to else ""
        who = f"{one.by}, inv deploy itself" if one.automatic else one.by
        words = str(one.number), one.at[:16].replace("T", " "), who, f"{commit}{back}", one.subject, row.changed
        shown.add_row(*map(escape, words), row.result)
    console.table(shown)


def going_back(environment: Environment) -> None:
    """Say which commit is deployed, and what brings the newer one back."""
    if one := environment.deployment:
        console.print(f"back to commit [bold]{one.commit[:7]}[/] {escape(one.subject)}")
        console.print(
            "[dim]The branch stays as it is: revert the newer commits there, or the next deploy repeats them.[/]"
        )


def status(environment: Environment, now: Status, *, json: bool = False) -> None:
    """Show the run, its replicas and their prices."""
    if json:
        return views.data(now.as_json())
    commit = f", commit {now.commit[:12]}" if now.commit else ""
    console.print(f"{now.run}: [bold]{now.status}[/], deployment {now.deployment}{commit}, {now.url}")
    shown = views.table("", "replica", "deployment", "status", "probes", "age", "cloud", "region", "GPU", "$/h")
    for one in now.replicas:
        words = str(one.number), str(one.deployment), one.status, one.probes, span(one.age), one.cloud, one.region
        shown.add_row(*words, one.gpu, f"{one.price_per_hour:.2f}")
    console.table(shown)
    for reached in now.gateway:
        lives = reached.verdict in LIVING
        see = "" if lives else f"; see `inv gateway.check --env {environment.name}`"
        console.print(f"gateway replica [{'default' if lives else 'bold red'}]{escape(str(reached))}[/]{see}")
    if now.records:
        console.print(f"records: {escape(now.records)}")
    for alarm in now.alarms or ():
        said = f"{alarm['meaning']} since {alarm['since']}: {alarm['remedy']}"
        console.print(f"alarm [bold red]{escape(alarm['name'])}[/]: {escape(said)}")
    price = now.price_per_hour
    console.print(f"${price:.2f} an hour (${price * HOURS_A_MONTH:,.0f} a month), ${now.cost:.2f} so far")
    console.print(f"started {span(now.age)} ago")


def sources(found: list[Source]) -> None:
    """Say on standard error which containers the lines come from."""
    for source in found:
        attempt = source.attempt
        ended = f", {attempt.termination_reason}".replace("_", " ") if attempt.termination_reason else ""
        where = f"replica {source.replica} of deployment {attempt.deployment_num}, {attempt.status}{ended}"
        progress.print(f"[dim]{escape(where)}:[/]")


def lines(found: Iterable[Line], *, prefixed: bool) -> None:
    """Print lines of containers as they are, behind the number of their replica if they are of several."""
    for line in found:
        if prefixed:
            console.out(f"{line.replica} | ", end="", style=COLOURS[line.replica % len(COLOURS)], highlight=False)
        console.out(line.text, highlight=False)


def happened(found: list[Event], *, json: bool = False) -> None:
    """Show events, the newest last."""
    if json:
        return views.data([events.as_json(event) for event in found])
    shown = views.table("", "time (UTC)", "actor", "about", "what happened")
    for event in found:
        words = f"{event.recorded_at:%Y-%m-%d %H:%M:%S}", event.actor_user or "dstack", events.subject(event)
        shown.add_row(*map(escape, (*words, event.message)))
    console.table(shown)


def smoke(answer: Answer, *, json: bool = False) -> None:
    """Show what the endpoint answered, and how fast."""
    if json:
        return views.data(answer.as_json())
    console.print(f"{answer.url} answers as [bold]{answer.model}[/]: {escape(repr(answer.text))}")
    times = (f"{name.removesuffix('_ms').replace('_', ' ')} {ms} ms" for name, ms in answer.times.items())
    console.print(", ".join(times))


def deployed(environment_name: str, answer: Answer) -> None:
    """Show what the endpoint answered after a deploy, and a request that can be pasted."""
    smoke(answer)
    console.print("\nTo send a request, paste these lines:")
    for line in (calling.evaluation(environment_name), calling.request(answer)):
        console.out(f"  {line}", highlight=False)


def variables(environment_name: str, values: Mapping[str, str]) -> None:
    """Print lines for `eval`. A terminal gets the values that are not secret, and what to type."""
    if sys.stdout.isatty():
        for line in calling.shown(values):
            console.out(line, highlight=False)
        console.print(f"To set them in this shell: {calling.evaluation(environment_name)}")
    else:
        for line in calling.exports(values):
            console.out(line, highlight=False)


def bench(report: Report, folder: Path, *, json: bool = False) -> None:
    """Show the numbers of a load test, and where they were left."""
    if json:
        return views.data(report.as_json())
    console.print(f"[bold]{escape(_bench_title(report))}[/]")
    console.table(_bench_table(report))
    console.print(escape(f"{folder}/report.json, {folder}/report.svg"))


def bench_picture(report: Report) -> str:
    """Return the numbers of a load test as an SVG."""
    page = Console(record=True, width=100, file=StringIO(), force_terminal=True)
    page.print(_bench_table(report))
    return page.export_svg(title=_bench_title(report))


def _bench_title(report: Report) -> str:
    load = report.load
    title = f"{report.model} on {', '.join(report.gpus)}: {load.requests} requests, {load.concurrency} at a time"
    if report.output_tokens is None:
        return title
    return f"{title}, {report.input_tokens} tokens in, {report.output_tokens} out"


def _bench_table(report: Report) -> Table:
    """Return the numbers, with a bar for each percentile of a latency."""
    shown = Table(box=None, show_header=False, pad_edge=False)
    for latency in report.latencies:
        longest = max(latency.percentiles.values()) or 1
        title = latency.metric.title
        for percentile, value in latency.percentiles.items():
            shown.add_row(title, percentile, f"{value:,.1f} ms", Bar(longest, 0, value, width=30, color="cyan"))
            title = ""
    for rate in report.rates:
        dollars = f"${rate.dollars_per_million:,.3f} a million, at ${report.price_per_hour:.2f}/h"
        shown.add_row(rate.metric.title, "", f"{rate.per_second:,} a second", dollars)
    return shown
