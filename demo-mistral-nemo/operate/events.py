"""Lists what happened to the service: dstack's events of its run, its gateway and its fleet."""

from console.errors import ExitCode, Failure
from deploy import observing
from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.observations import Event
from deploy.environments import Environment


def listed(api: Api, environment: Environment) -> list[Event]:
    """Return the events of the service, the newest last. Fails with NOT_DEPLOYED when nothing ever happened.

    dstack keeps them for 30 days, and names only fields that changed, not their values.
    """
    name = environment.run_name
    resources = {"run": api.run(name), "gateway": api.gateway(name), "fleet": api.fleet(name)}
    found = {
        event.id: event
        for kind, resource in resources.items()
        if resource and resource.id
        for event in observing.events(api, kind, resource.id)
    }
    if not found:
        problem = f"dstack knows of no event of {name}"
        raise Failure(ExitCode.NOT_DEPLOYED, problem, f"run `inv deploy --env {environment.name}`")
    return sorted(found.values(), key=lambda event: event.recorded_at)


def subject(event: Event) -> str:
    """Return what an event is about, e.g. `run nemo`."""
    return ", ".join(f"{target.type} {target.name}" for target in event.targets)


def as_json(event: Event) -> Document:
    """Return an event as `inv events --json` prints it."""
    return {
        "at": event.recorded_at.isoformat(),
        "actor": event.actor_user or "dstack",
        "message": event.message,
        "targets": [target.model_dump() for target in event.targets],
    }
