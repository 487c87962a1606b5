"""Checks the merged documents with dstack's own models, from the installed package, before a server is asked.

dstack refuses some of this only when it makes a replica, and then it ends the whole run. Importing its models takes a
second, so nothing here is imported by `inv --list`, `status`, `logs` or `destroy`.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from console.errors import ExitCode, Failure
from deploy.documents import checks, references
from deploy.documents.combined import conflict, narrowing, offered
from deploy.documents.references import Path, spelled

if TYPE_CHECKING:
    from deploy.documents.files import Document
    from deploy.environments import Environment

__all__ = ["check", "narrowing", "offered"]


def check(environment: Environment) -> None:
    """Fail with SETTINGS_INVALID, file and key, when dstack would refuse a document now or when it makes a replica."""
    documents = {"service": environment.service, "fleet": environment.fleet}
    if environment.gateway is not None:
        documents["gateway"] = environment.gateway
    for kind, document in documents.items():
        if problem := _problem(kind, document):
            raise _invalid(environment, [kind], problem)
    if problem := checks.undeployable(environment.service, environment.fleet, environment.gateway):
        raise _invalid(environment, ["service"] if problem.startswith("service.") else ["service", "fleet"], problem)
    if problem := conflict(environment.service, environment.fleet):
        raise _invalid(environment, ["service", "fleet"], problem)


def _invalid(environment: Environment, kinds: list[str], problem: str) -> Failure:
    """Return the Failure that names the files which were merged."""
    files = " and ".join(f"dstack/{kind}.dstack.yml" for kind in kinds)
    line = " ".join(problem.split())
    return Failure(ExitCode.SETTINGS_INVALID, f"environments/{environment.name}.yml over {files}: {line}")


def _problem(kind: str, document: Document) -> str | None:
    """Return what is wrong with one document, with its key; None if all is well."""
    if problem := _not_json(kind, document):
        return problem
    if kind == "service" and (problem := _not_env(document.get("env")) or _of_the_client(document)):
        return problem
    if problem := references.first_wrong(kind, document):
        return problem
    from deploy.documents import models, server_rules  # they import dstack

    return models.first_problem(kind, document) or server_rules.first_problem(kind, document)


def _not_json(kind: str, value: Any, path: Path = ()) -> str | None:
    """Return the first value that JSON can't hold, which is how documents are sent."""
    where = f"{kind}.{spelled(path)}" if path else kind
    match value:
        case str():
            return None if _is_text(value) else f"{where}: has a character that can't be sent; remove it"
        case None | bool() | int():
            return None
        case float():
            return None if math.isfinite(value) else f"{where}: {value} can't be sent to dstack; write it in quotes"
        case list():
            found = (_not_json(kind, one, (*path, index)) for index, one in enumerate(value))
        case dict():
            if wrong := next((key for key in value if not isinstance(key, str)), None):
                return f"{where}: the key {wrong!r} is no text; write it in quotes"
            found = (_not_json(kind, one, (*path, key)) for key, one in value.items())
        case _:
            return f"{where}: a {type(value).__name__} can't be sent to dstack; write text, a number or a list"
    return next((problem for problem in found if problem), None)


def _is_text(value: str) -> bool:
    """Whether a text can be sent and kept: YAML's escapes write halves of characters, and the one that ends texts."""
    try:
        return b"\0" not in value.encode()
    except UnicodeEncodeError:
        return False


def _not_env(env: Any) -> str | None:
    """Return the first variable that has no value: dstack takes texts and numbers."""
    if not isinstance(env, dict | None):
        return f"service.env: must be a mapping, is {env!r:.80}"
    for name, value in (env or {}).items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            mend = f'write it in quotes, e.g. {name}: "{json.dumps(value) if isinstance(value, bool) else ""}"'
            return f"service.env.{name}: is {json.dumps(value):.80}, and a variable is text; {mend}"
        if not name or "=" in name:
            return f"service.env: {name!r} is no name of a variable; write NAME: value"
    return None


def _of_the_client(service: Document) -> str | None:
    """Return the first key that only `dstack apply` acts on, on its own machine, before it sends anything."""
    if service.get("files"):
        why = "only `dstack apply` uploads files, and they would be missing in the container"
        return f"service.files: {why}; put them into the image, or write them with `cat` in commands"
    if service.get("repos"):
        why = "only `dstack apply` sends a repository, and it would be missing in the container"
        return f"service.repos: {why}; clone it in commands, or put it into the image"
    folder = service.get("working_dir")
    if isinstance(folder, str) and not folder.startswith("/"):
        return f"service.working_dir: must be absolute, is {folder!r}; write e.g. /workspace"
    return None
