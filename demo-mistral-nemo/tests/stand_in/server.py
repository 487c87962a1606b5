"""The server: calls over HTTP, checked by the models of dstack's own routes, and the proxy in front of the model."""

from __future__ import annotations

import base64
import json
from datetime import datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import urlsplit

from answering import PROJECT_PATH, Fault, Server
from dstack._internal.core.errors import ResourceNotExistsError, ServerClientError
from dstack._internal.server.utils.routers import get_server_client_error_details
from pydantic import ValidationError

from stand_in import endpoint, resources, runs
from stand_in.machines import CHEAP, EXPENSIVE, offer
from stand_in.routes import of_project, route

Json = dict[str, Any]
PROJECT = "main"
TOKEN = "t0ken"


class Dstack(Server):
    """A dstack server with one project. What `bodies` has for a path is answered in place of the usual.

    `crashing`: containers that start from now on exit with an error. `model`: what the service serves.
    """

    def __init__(self) -> None:
        super().__init__()
        self.runs: dict[str, runs.Run] = {}
        self.fleets: dict[str, resources.Fleet] = {}
        self.gateways: dict[str, resources.Gateway] = {}
        self.secrets: dict[str, str] = {}
        self.clouds = ["runpod", "vastai", "aws"]
        self.offers = [offer(*CHEAP), offer(*EXPENSIVE)]
        self.written = "ValueError: no such flag\n"  # by every container of which `logs` has nothing
        self.logs: dict[str, list[tuple[str, str]]] = {}  # time and text of each piece, by attempt
        self.events: dict[str, list[Json]] = {}  # by the id of what they are within
        self.measured: list[Json] = []  # on every machine
        self.crashing, self.model = False, ""
        self._addresses = 10

    @property
    def changes(self) -> list[str]:
        """What was asked that changes something, in order."""
        writes = ("apply", "stop", "delete", "create_or_update", "create", "update")
        return [path for path in self.paths if path.rsplit("/", 1)[-1] in writes]

    @property
    def replicas(self) -> dict[str, str]:
        """The addresses of the gateways' replicas, by the names of their instances."""
        found = ((name, gateway, number) for name, gateway in self.gateways.items() for number in gateway.numbers)
        return {f"{name}-{number}": gateway.address(number) for name, gateway, number in found}

    def answer(self, path: str, body: Any) -> Fault:
        if path.removeprefix(PROJECT_PATH) in self.bodies:
            return super().answer(path, body)
        if not path.startswith("/api/"):
            return self._proxied(path, body)
        if self.asked[-1][2] != f"Bearer {TOKEN}":
            return _answer({"detail": {"msg": "Invalid token", "code": None}}, 403)
        if of_project(path) not in (None, PROJECT):
            return _answer({"detail": {"msg": "Not found", "code": None}}, 404)
        asked, answered = route(path)
        try:
            question = asked.validate_python(body)
        except ValidationError as error:
            return _answer({"detail": error.errors(include_url=False, include_context=False)}, 422)
        try:
            found = self._found(path.partition("?")[0].removeprefix(PROJECT_PATH).removeprefix("/api/"), question)
            return Fault(body=answered.dump_json(answered.validate_python(found)))
        except ServerClientError as error:
            return _answer({"detail": get_server_client_error_details(error)}, 400)
        except Exception as error:  # a mistake in here: a task that gets no answer would ask again for minutes
            return _answer({"detail": [{"msg": f"the stand-in failed: {error!r}", "code": "error"}]}, 400)

    def _proxied(self, path: str, body: Any) -> Fault:
        """Return the model's answer, where a replica is ready to give it."""
        ready = [run for run in self.runs.values() if any(attempt.ready for attempt in run.active)]
        if not any(path.startswith((f"{urlsplit(run.url).path}v1/", "/v1/")) for run in ready):
            return _answer({"detail": "Service not found"}, 404)
        return endpoint.answer(body, self.model)

    def _found(self, path: str, asked: Any) -> Any:
        kind, verb = path.split("/", 1)
        match kind:
            case "runs":
                return self._of_runs(verb, asked)
            case "fleets":
                return self._of_fleets(verb, asked)
            case "gateways":
                return self._of_gateways(verb, asked)
            case "secrets":
                if verb == "create_or_update":
                    self.secrets[asked.name] = asked.value
                listed = [{"id": next(runs.identifiers), "name": name} for name in self.secrets]
                return listed if verb == "list" else listed[-1]
            case "logs":
                return {"logs": self._log(asked)}
            case "events":
                within = _within(asked)
                happened = [event for run in self.runs.values() if run.id == within for event in run.happened()]
                return self.events.get(within, happened)
            case "metrics":
                return {"metrics": self.measured}
            case "projects":
                return _project(self.clouds)
        return {"server_version": version("dstack")}

    def _log(self, asked: Any) -> list[Json]:
        """Return the pieces of a log as dstack does: after the start, in the order that was asked for."""
        known = self.logs.get(str(asked.job_submission_id), [("2026-11-01T00:00:00Z", self.written)])
        after = [piece for piece in known if not asked.start_time or _time(piece[0]) > asked.start_time]
        first = sorted(after, reverse=asked.descending)[: asked.limit]
        return [
            {"timestamp": at, "log_source": "stdout", "message": base64.b64encode(text.encode()).decode()}
            for at, text in first
        ]

    def _of_runs(self, verb: str, asked: Any) -> Any:
        if verb == "list":
            listed = [run for run in self.runs.values() if run.status not in runs.FINISHED]
            return [run.as_json(PROJECT) | {"jobs": []} for run in listed]
        if verb == "stop":
            for name in asked.runs_names:
                runs.found(self.runs, name).status = "terminating"
            return None
        if verb == "get_plan":
            named = {getattr(fleet, "name", fleet) for fleet in asked.run_spec.configuration.fleets or []}
            offers = self.offers if self.fleets.keys() & named or asked.for_offers_only else []
            return runs.plan(self.runs.get(asked.run_spec.run_name), asked, offers, PROJECT)
        if verb == "apply":
            name = asked.plan.run_spec.run_name
            url = self._url(name, asked.plan.run_spec.configuration.gateway)
            self.runs[name] = runs.apply(self.runs.get(name), asked, url, self.offers[0])
            return self.runs[name].as_json(PROJECT)
        run = runs.found(self.runs, asked.run_name)
        run.step(crashing=self.crashing)
        return run.as_json(PROJECT)

    def _url(self, name: str, gateway: Any) -> str:
        """Return where a service answers. Raises ServerClientError for a gateway that does not run."""
        if not gateway:
            return f"/proxy/services/{PROJECT}/{name}/"
        found = self.gateways.get(getattr(gateway, "name", gateway))
        if found is None or found.status != "running":
            raise ServerClientError("Gateway status is not running")
        return f"http://{name}.{found.configuration.domain}"

    def _of_fleets(self, verb: str, asked: Any) -> Any:
        if verb == "list":
            return [fleet.as_json(PROJECT) for fleet in self.fleets.values()]
        if verb == "get_plan":
            return resources.plan_fleet(self.fleets.get(asked.spec.configuration.name), asked, PROJECT)
        if verb == "apply":
            name = asked.plan.spec.configuration.name
            self.fleets[name] = resources.apply_fleet(self.fleets.get(name), asked)
            return self.fleets[name].as_json(PROJECT)
        if verb == "delete":
            for name in asked.names:
                if name in self.runs and self.runs[name].status not in runs.FINISHED:
                    raise ServerClientError(f"Failed to delete fleet {name}. Fleet is in use.")
                del self.fleets[name]
            return None
        return _existing(self.fleets, asked.name).as_json(PROJECT)

    def _of_gateways(self, verb: str, asked: Any) -> Any:
        if verb == "get_plan":
            return resources.plan_gateway(self.gateways.get(asked.spec.configuration.name), asked, PROJECT)
        if verb == "apply":
            name = asked.plan.spec.configuration.name
            self.gateways[name] = resources.apply_gateway(self.gateways.get(name), asked, self._addresses)
            self._addresses += 10
            return self.gateways[name].as_json(PROJECT)
        if verb == "delete":
            for name in asked.names:
                del self.gateways[name]
            return None
        gateway = _existing(self.gateways, asked.name)
        gateway.step()
        return gateway.as_json(PROJECT)


def _within(asked: Any) -> str:
    """Return the id of the run, gateway, fleet or project whose events are asked for."""
    return str((asked.within_runs or asked.within_gateways or asked.within_fleets or asked.within_projects)[0])


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _existing(found: dict[str, Any], name: str | None) -> Any:
    """Return the fleet or gateway of that name. Raises ResourceNotExistsError."""
    if name not in found:
        raise ResourceNotExistsError()
    return found[name]


def _project(clouds: list[str]) -> Json:
    return {
        "project_id": "00000000-0000-4000-8000-000000000000",
        "project_name": PROJECT,
        "owner": {
            "id": "00000000-0000-4000-8000-000000000001",
            "username": "person",
            "global_role": "admin",
            "email": None,
            "active": True,
            "permissions": {"can_create_projects": True},
        },
        "backends": [{"name": cloud, "config": {"type": cloud}} for cloud in clouds],
        "members": [],
        "is_public": False,
    }


def _answer(body: Any, status: int) -> Fault:
    return Fault(status, json.dumps(body, default=str).encode())
