"""Lists what happened to the service: dstack's events of its run, its gateways and its fleet."""

from console.errors import ExitCode, Failure
from deploy import observing
from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.observations import Event
from deploy.environments import Environment
from deploy.gateway_choice import gateways_of


def listed(api: Api, environment: Environment) -> list[Event]:
    """Return the events of the service, the newest last. Fails with NOT_DEPLOYED when nothing ever happened.

    dstack keeps them for 30 days, and names only fields that changed, not their values.
    """
    name = environment.run_name
    run, fleet = api.run(name), api.fleet(name)
    resources = [("run", run.id if run else ""), ("fleet", fleet.id if fleet else "")]
    resources += [("gateway", gateway.id) for gateway in gateways_of(api, environment).values()]
    found = {
        event.id: event
        for kind, identifier in resources
        if identifier
        for event in observing.events(api, kind, identifier)
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
