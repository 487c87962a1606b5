"""Shows what runs or is left, and what it costs, when a command ends early."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from deploy.api import Api
from deploy.dstack.answers import Run
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.existing import existing_resources
from deploy.gateway_choice import gateways_of

LAST_SECONDS = 10.0  # how long a server that answers badly is asked again


def bill(name: str, run: Run | None, gateways: Mapping[str, Gateway]) -> str:
    """Return in one line what is billed: GPUs in USD per hour, and the gateway's instances."""
    machines = [job for job in run.replicas if job.latest.machine] if run and run.active else []
    if run and run.active and machines:
        plural = "s" if len(machines) > 1 else ""
        line = f"{name} is {run.status} on {len(machines)} machine{plural}, ${run.price:.2f} an hour"
    elif run and run.active and run.asleep:
        line = f"{name} is asleep: no GPU is billed"
    elif run and run.active:
        line = f"{name} is {run.status} without a machine: no GPU is billed until a cloud provides one"
    else:
        line = f"{name} does not run: no GPU is billed"
    releasing = [job for job in run.jobs if job.latest.status == "terminating" and job.latest.machine] if run else []
    if releasing:
        line += f"; {len(releasing)} more being released, and billed until the cloud has released it"
    for called, gateway in gateways.items():
        kind = gateway.configuration.get("instance_type") or "instance"
        line += f"; gateway {called} is billed by {gateway.configuration.get('backend')}: {gateway.wanted} x {kind}"
    return line


@contextmanager
def billed(api: Api, environment: Environment, notify: Notify) -> Iterator[None]:
    """Show what runs and what it costs when anything ends the block early, also Ctrl-C or a fault of these tasks."""
    try:
        yield
    except BaseException:
        notify(_bill_of(api.patient(notify, LAST_SECONDS), environment))
        raise


@contextmanager
def remaining(api: Api, environment: Environment, notify: Notify) -> Iterator[None]:
    """Show what is left of the service, and billed, when anything ends its removal early."""
    try:
        yield
    except BaseException:
        notify(_rest_of(api.patient(notify, LAST_SECONDS), environment))
        raise


def _rest_of(api: Api, environment: Environment) -> str:
    """Return in one line what still exists, under any name of the service, and what it costs."""
    name, again = environment.run_name, f"inv destroy --env {environment.name}"
    try:
        left = existing_resources(api, environment)
    except Exception as failure:  # whatever it is, it must not hide what ended the removal
        return f"not known what is left of {name} and billed: {failure}; run `{again}` again"
    if not left:
        return f"nothing of {name} is left in dstack; if a machine was not released, its cloud's console shows it"
    return f"still there, and billed as it says: {', '.join(map(str, left))}; run `{again}` again"


def _bill_of(api: Api, environment: Environment) -> str:
    name = environment.run_name
    try:
        return (
            f"{bill(name, api.run(name), gateways_of(api, environment))}; inv destroy --env {environment.name} ends it"
        )
    except Exception as failure:  # whatever it is, it must not hide what ended the deploy
        remedy = f"run `inv status --env {environment.name}` to see it"
        return f"not known what runs of {name} and is billed: {failure}; {remedy}"
