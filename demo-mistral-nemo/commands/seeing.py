"""Every day: what runs, what it writes, what happened."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count
from time import sleep
from typing import TYPE_CHECKING

import console
import deploy
import operate
from commands.command import command

if TYPE_CHECKING:
    from deploy.environments import Environment

WATCH_SECONDS = 10  # dstack and the monitor measure so often


@command
def status(environment: Environment, json: bool = False) -> None:
    """Show the replicas, where they run, and what they cost.

    Ends with 46 while nothing serves, and says what happened, since when, and what to type.
    """
    api = deploy.api.Api(environment)
    run = api.run(environment.run_name)
    now = operate.status.summarize(environment, run)
    if now.incident and run:
        now = operate.status.summarize(environment, run, deploy.observing.events(api, "run", run.id))
    gateway, records = operate.surroundings.gateway_replicas(api, environment, now.url)
    alarms = operate.surroundings.alarms_gone_off(environment, console.terminal.progress.print)
    now = replace(now, gateway=gateway, records=records, alarms=alarms)
    operate.views.status(environment, now, json=json)
    if now.incident:
        raise now.incident.failure(now.run, datetime.now(UTC))


@command
def history(environment: Environment, json: bool = False) -> None:
    """Show what was deployed, when and by whom, and what became of it.

    The newest deployment is first, and the last 20 are known.
    """
    api = deploy.api.Api(environment)
    run = api.run(environment.run_name)
    operate.views.history(environment, operate.history.of(api, run), json=json)


@command
def logs(environment: Environment, replica: int = -1, lines: int = 200, since: str = "", follow: bool = False) -> None:
    """Show the end of the logs of all replicas, in the order of time.

    With them comes the newest container that wrote anything, also if it has crashed.
    """
    began = datetime.now(UTC)
    after = began - operate.times.parse_span(since, "--since") if since else None
    api, which = deploy.api.Api(environment), None if replica < 0 else replica
    run = api.run(environment.run_name)
    found = operate.logs.read(api, environment, run, which, lines, after)
    several = which is None and (follow or len(found) > 1)
    operate.views.sources(found)
    operate.views.lines(operate.logs.merged(source.lines for source in found), prefixed=several)
    if follow and run:
        patient = api.patient(console.terminal.progress.print)
        for written in operate.logs.follow(patient, environment, run, which, found):
            operate.views.lines(written, prefixed=several)


@command
def metrics(environment: Environment, watch: bool = False, json: bool = False) -> None:
    """Show how busy each replica is: its machine and its engine, now and in the last hour.

    The engine's numbers come from the lines that engine/monitor.py writes into the log.
    """
    api = deploy.api.Api(environment)
    for shown in count():
        run, _ = operate.status.deployed(environment, api.run(environment.run_name))
        found = operate.metrics.measured(api, environment, run)
        if shown and not json:
            console.terminal.console.clear()
        operate.metrics_view.show(found, json=json)
        if not watch:
            return
        sleep(WATCH_SECONDS)


@command
def events(environment: Environment, json: bool = False) -> None:
    """Show what happened to run, gateway and fleet, the newest last."""
    operate.views.happened(operate.events.listed(deploy.api.Api(environment), environment), json=json)


@command
def ui(environment: Environment, print: bool = False) -> None:
    """Open dstack's page of this service in a browser.

    Prints its address where there is no browser.
    """
    url = operate.pages.address(environment, deploy.api.Api(environment).run(environment.run_name))
    if print or not operate.pages.opened(url):
        console.terminal.console.out(url, highlight=False)
