"""Removes resources of a service, and stops its run. existing.py finds them."""

from __future__ import annotations

from collections.abc import Iterable

from console.errors import Failure
from deploy.api import Api
from deploy.dstack.client import Notify
from deploy.environments import Environment
from deploy.existing import Resource


def remove(api: Api, environment: Environment, resources: Iterable[Resource], notify: Notify) -> None:
    """Remove the resources in their order. Raise the first Failure at the end, with a note for each other one."""
    failures: list[tuple[Failure, str]] = []
    for resource in resources:
        try:
            _remove(api, environment, resource, notify)
        except Failure as failure:
            line = f"{resource.kind} {resource.name}: not removed: {failure}"
            notify(line)
            failures.append((failure, line))
    if failures:
        (first, _), *others = failures
        for _, line in others:
            first.add_note(line)
        raise first


def _remove(api: Api, environment: Environment, resource: Resource, notify: Notify) -> None:
    if resource.kind == "run":
        stop(api, resource.name, notify)
    elif resource.kind == "records":
        from deploy import route53

        route53.delete(resource.zone or route53.zone_of(environment), notify)
    elif resource.kind == "alarms":
        from deploy import cloudwatch

        cloudwatch.delete(resource.store or cloudwatch.store_of(environment), notify)
    else:
        api.delete(resource.kind, resource.name, notify)


def stop(api: Api, name: str, notify: Notify) -> None:
    """Stop the run and wait until it has ended; streams in flight have the 10 seconds that dstack's runner gives."""
    run = api.run(name)
    if run and run.active and run.status != "terminating":
        api.stop_run(name)
    api.wait_gone(f"run {name}", lambda: not ((run := api.run(name)) and run.active))
    notify(f"{name}: stopped")
