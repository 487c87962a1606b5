"""What a person sees of plans, documents, gateways, records, alarms and resources; for machines, JSON."""

from collections.abc import Iterable
from json import dumps
from typing import Any

import yaml
from rich.markup import escape

from capacity.views import offer_table
from console import views
from console.remedies import for_environment
from console.terminal import console
from deploy.changes import Change, Difference
from deploy.documents.checks import replica_bounds
from deploy.documents.files import Document
from deploy.documents.monitor import FILE, shortened
from deploy.dstack.answers import Run
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.existing import Resource
from deploy.gateway_choice import GatewayPlan, replacement_interrupts
from deploy.guards import no_offer
from deploy.plans import Plan

COLOURS = {Change.UNCHANGED: "dim", Change.RESTART: "bold red"}
OFFERS_SHOWN = 5


def plan(planned: Plan, *, json: bool = False) -> None:
    """Show what a deploy would change, what that does to running replicas, and the offers it would take."""
    if json:
        return views.data(planned.as_json())
    _parts(planned)
    if (change := planned.price_change) is not None:
        console.print(f"GPUs: ${planned.price:.2f} an hour -> ${planned.price + change:.2f} ({change:+.2f})")
    if planned.needs_machine:
        _offers(planned)


def _parts(planned: Plan) -> None:
    for kind, part in planned.parts.items():
        colour = COLOURS.get(part.change, "bold")
        name = planned.environment.gateway_name if kind == "gateway" else planned.environment.run_name
        console.print(f"{kind} {name}: [{colour}]{part.change.value}[/]")
        for difference in part.differences:
            console.print(f"  {difference_line(difference)}")
    for resource in planned.removals:
        console.print(f"[bold red]remove[/] {escape(str(resource))}")
    if planned.restarts:
        console.print("[bold red]This interrupts the service: it is stopped, and started again with the change.[/]")
    if planned.gateway_plan and planned.gateway_plan.part.change == Change.REPLACE:
        _replacement(planned.gateway_plan)


def _replacement(planned: GatewayPlan) -> None:
    """Say how a gateway is replaced, and what callers notice."""
    old = planned.leaving.name if planned.leaving else "the old one"
    interruption = replacement_interrupts(planned.environment)
    console.print(f"A second gateway is billed for some minutes: the service moves to it, then {old} is deleted.")
    if interruption:
        console.print(f"[bold red]This interrupts the service: {interruption}.[/]")


def difference_line(difference: Difference) -> str:
    """Return a changed value as a line of the plan; of the monitor, that it changed."""
    if difference.key == FILE:
        verb = "changed" if difference.before and difference.after else "added" if difference.after else "removed"
        return f"{FILE} {verb}"
    return f"{difference.key}: {_value(difference.before)} -> {_value(difference.after)}"


def _offers(planned: Plan) -> None:
    if not planned.offers:
        reason = str(no_offer(planned))
        console.print(f"[bold red]{escape(reason[:1].upper() + reason[1:])}[/]")
        return
    offer_table("Offers for a new replica, first tried first", planned.evaluation.first(OFFERS_SHOWN))
    if len(planned.offers) > OFFERS_SHOWN:
        console.print(f"[dim]and {len(planned.offers) - OFFERS_SHOWN} more (--json lists them)[/]")


def secrets(environment: Environment, present: set[str], *, json: bool = False) -> None:
    """Show which secrets the service needs, and which the project has."""
    needed = set(environment.secrets)
    if json:
        return views.data([{"name": n, "needed": n in needed, "set": n in present} for n in sorted(needed | present)])
    for name in sorted(needed | present):
        command = for_environment(f"`inv secrets.set {name}`", environment.name)
        state = "set" if name in present else f"[bold red]missing[/], run {command}"
        console.print(f"{name}: {state}{'' if name in needed else ', not used here'}")


def documents(*merged: Document | None, json: bool = False) -> None:
    configurations = [configuration for configuration in merged if configuration]
    if json:
        return views.data({configuration["type"]: configuration for configuration in configurations})
    text = yaml.safe_dump_all(map(shortened, configurations), sort_keys=False, allow_unicode=True, width=120)
    console.out(text.rstrip(), highlight=False)


def gateway(
    environment: Environment, found: Gateway | None, others: Iterable[Gateway] = (), *, json: bool = False
) -> None:
    """Show the gateway in use, and others that are billed: one that replaces it, or one that it replaced."""
    name, others = found.name if found else environment.run_name, list(others)
    if json:
        absent = {"status": "absent", "targets": []}
        shown = {"status": found.status, "targets": found.targets, "replicas": found.replicas} if found else absent
        return views.data({"name": name} | shown | {"others": [other.name for other in others]})
    console.print(f"gateway {name}: {found.summary if found else 'none'}")
    for other in others:
        console.print(f"gateway {other.name}: {other.summary}, not in use")


def records(host: str, found: list[Document], *, json: bool = False) -> None:
    if json:
        return views.data(found)
    for record in found:
        console.print(f"{record['name']} {record['ttl']} {record['type']} {' '.join(record['values'])}")
    if not found:
        console.print(f"{host}: no records")


def alarms(run_name: str, found: list[Document], *, json: bool = False) -> None:
    if json:
        return views.data(found)
    for alarm in found:
        colour = {"OK": "green", "ALARM": "bold red"}.get(alarm["state"], "dim")
        state = f"[{colour}]{alarm['state']}[/] since {alarm['since']}"
        console.print(f"{alarm['name']}: {state} ({escape(alarm['alarm'])})")
    if not found:
        console.print(f"{run_name}: no alarms")


def existing(run_name: str, found: list[Resource]) -> None:
    """Show what a destroy would remove."""
    if found:
        console.print(f"{run_name}: {escape(', '.join(map(str, found)))}")
    else:
        console.print(f"{run_name}: nothing to destroy, and dstack knows of nothing that is billed for it")


def destroyed(run_name: str) -> None:
    """Say what is billed after a destroy that removed everything."""
    console.print(f"{run_name}: nothing of it is left, and nothing is billed any more")


def asleep(environment: Environment, run: Run) -> None:
    """Say that a deployment has no replica, and how it is tried."""
    name, most = environment.run_name, replica_bounds(environment.service)[1]
    console.print(f"{name}: deployment {run.deployment_num} is [bold]asleep[/]: nothing answers, and no GPU is billed")
    wake = "the first request to its endpoint starts a replica: send one" if most else "set service.replicas to 1"
    console.print(f"Nobody has tried it yet. To try it, {wake}, then run inv smoke --env {environment.name}")


def _value(value: Any) -> str:
    if value is None:
        return "(none)"
    return escape(value if isinstance(value, str) else dumps(value, default=str))
