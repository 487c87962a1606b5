"""dstack's own routes: what each call asks and answers, by the models that its server checks them with."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, TypeAlias

from dstack._internal.server.routers import events, fleets, gateways, logs, metrics, projects, runs, secrets, server
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

Route: TypeAlias = tuple[TypeAdapter[Any], TypeAdapter[Any]]
ROUTERS = (
    runs.root_router,
    runs.project_router,
    fleets.project_router,
    gateways.router,
    secrets.router,
    projects.router,
    server.router,
    logs.router,
    events.root_router,
    metrics.router,
)


def route(path: str) -> Route:
    """Return the models of question and answer. Raises KeyError for a call that dstack does not have."""
    project = of_project(path)
    path = re.sub(r"/metrics/job/[^/]+$", "/metrics/job/{run_name}", path.partition("?")[0])
    return _routes()[path.replace(f"/{project}/", "/{project_name}/", 1) if project else path]


def of_project(path: str) -> str | None:
    """Return the project that a call names in its path."""
    match path.split("/"):
        case ["", "api", "project", name, *_] | ["", "api", "projects", name, "get"]:
            return name
    return None


@cache
def _routes() -> dict[str, Route]:
    found = {}
    for route in (route for router in ROUTERS for route in router.routes if isinstance(route, APIRoute)):
        asked: list[Any] = [parameter.field_info.annotation for parameter in route.dependant.body_params]
        found[route.path] = TypeAdapter(asked[0] if asked else Any), TypeAdapter(route.response_model or Any)
    return found
