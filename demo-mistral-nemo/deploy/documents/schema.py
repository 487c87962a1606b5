"""Checks the merged documents with all rules, before anything is sent to a server.

dstack refuses some mistakes only when it makes a replica, and then it ends the whole run. Importing dstack's models
takes a second, so `inv --list`, `status`, `logs` and `destroy` do not import this module.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from console.errors import ExitCode, Failure
from deploy.documents import checks, references
from deploy.documents.combined import conflict, narrowing, offered
from deploy.documents.problems import Problem
from deploy.documents.references import Path, spelled

if TYPE_CHECKING:
    from deploy.documents.files import Document
    from deploy.environments import Environment

__all__ = ["check", "narrowing", "offered"]


def check(environment: Environment) -> None:
    """Fail with SETTINGS_INVALID when dstack would refuse a document, now or later. Names the file and the key."""
    documents = {"service": environment.service, "fleet": environment.fleet}
    if environment.gateway is not None:
        documents["gateway"] = environment.gateway
    for kind, document in documents.items():
        if problem := _first_problem(kind, document):
            raise _invalid(environment, [kind], problem)
    if problem := checks.first_undeployable(environment.service, environment.fleet, environment.gateway):
        kinds = ["service"] if problem.key.startswith("service.") else ["service", "fleet"]
        raise _invalid(environment, kinds, problem)
    if problem := conflict(environment.service, environment.fleet):
        raise _invalid(environment, ["service", "fleet"], problem)


def _invalid(environment: Environment, kinds: list[str], problem: Problem) -> Failure:
    """Return the Failure that names the files which were merged."""
    files = " and ".join(f"dstack/{kind}.dstack.yml" for kind in kinds)
    where = f"{environment.file} over {files}: {problem.place_and_text}"
    return Failure(ExitCode.SETTINGS_INVALID, where, problem.remedy)


def _first_problem(kind: str, document: Document) -> Problem | None:
    """Return what is wrong with one document; None if nothing is wrong."""
    if problem := _not_json(kind, document):
        return problem
    if kind == "service" and (problem := _not_env(document.get("env")) or _client_only(document)):
        return problem
    if problem := references.first_wrong(kind, document):
        return problem
    from deploy.documents import models, server_rules  # they import dstack

    return models.first_problem(kind, document) or server_rules.first_problem(kind, document)


def _not_json(kind: str, value: Any, path: Path = ()) -> Problem | None:
    """Return the first value that JSON can't hold. Documents are sent as JSON."""
    where = f"{kind}.{spelled(path)}" if path else kind
    match value:
        case str():
            return None if _is_text(value) else Problem(where, "has a character that can't be sent", "remove it")
        case None | bool() | int():
            return None
        case float():
            remedy = "write it in quotes"
            return None if math.isfinite(value) else Problem(where, f"{value} can't be sent to dstack", remedy)
        case list():
            found = (_not_json(kind, one, (*path, index)) for index, one in enumerate(value))
        case dict():
            if wrong := next((key for key in value if not isinstance(key, str)), None):
                return Problem(where, f"the key {wrong!r} is not text", "write it in quotes")
            found = (_not_json(kind, one, (*path, key)) for key, one in value.items())
        case _:
            remedy = "write text, a number or a list"
            return Problem(where, f"a value of type {type(value).__name__} can't be sent to dstack", remedy)
    return next((problem for problem in found if problem), None)


def _is_text(value: str) -> bool:
    """Return whether a text can be sent and stored. YAML's escapes can write half a character, and a zero byte."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _not_env(env: Any) -> Problem | None:
    """Return the first variable whose value is neither text nor a number."""
    if not isinstance(env, dict | None):
        return Problem("service.env", f"must be a mapping, is {env!r:.80}")
    for name, value in (env or {}).items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            quoted = f'{name}: "{json.dumps(value) if isinstance(value, bool) else ""}"'
            why = f"is {json.dumps(value):.80}, and a variable is text"
            return Problem(f"service.env.{name}", why, f"write it in quotes, e.g. {quoted}")
        if not name or "=" in name:
            return Problem("service.env", f"{name!r} is not a name of a variable", "write NAME: value")
    return None


def _client_only(service: Document) -> Problem | None:
    """Return the first key that only `dstack apply` handles, on its own machine, before it sends anything."""
    if service.get("files"):
        why = "only `dstack apply` uploads files, so they would be missing in the container"
        return Problem("service.files", why, "put them into the image, or write them with `cat` in commands")
    if service.get("repos"):
        why = "only `dstack apply` sends a repository, so it would be missing in the container"
        return Problem("service.repos", why, "clone it in commands, or put it into the image")
    folder = service.get("working_dir")
    if isinstance(folder, str) and not folder.startswith("/"):
        return Problem("service.working_dir", f"must be absolute, is {folder!r}", "write e.g. /workspace")
    return None
