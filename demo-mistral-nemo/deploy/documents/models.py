"""Checks documents with dstack's own models of service, fleet and gateway, from the installed package."""

from __future__ import annotations

from copy import deepcopy
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from deploy.documents.problems import Problem
from deploy.documents.references import Path, spelled

if TYPE_CHECKING:
    from deploy.documents.files import Document

PROFILE = {"name": "default"}  # the profile that deploy/api.py sends


def parse(kind: str, document: Document) -> Any:
    """Return the specification that dstack's server makes of a document: RunSpec, FleetSpec or GatewaySpec.

    Raises pydantic's ValidationError. Some of dstack's validators raise another error for a value of the wrong type.
    """
    from dstack._internal.core.models.fleets import FleetSpec
    from dstack._internal.core.models.gateways import GatewaySpec
    from dstack._internal.core.models.runs import RunSpec

    document = deepcopy(document)  # some of dstack's validators write into it
    if kind == "service":
        spec = {"run_name": document.get("name"), "configuration": document, "profile": PROFILE}
        return RunSpec.model_validate(spec)
    if kind == "fleet":
        return FleetSpec.model_validate({"configuration": document, "profile": PROFILE})
    return GatewaySpec.model_validate({"configuration": document})


def first_problem(kind: str, document: Document) -> Problem | None:
    """Return what dstack's model refuses, in dstack's own words; None if it takes the document."""
    from pydantic import ValidationError

    try:
        parse(kind, document)
    except ValidationError as error:
        return _deepest(kind, document, error.errors(include_url=False))
    except Exception as error:
        key = next((key for key in document if key != "type" and _readable(kind, document, key)), None)
        where, value = (f"{kind}.{key}", f"{document[key]!r:.80}") if key else (kind, f"it ({error!r})")
        return Problem(where, f"dstack can't read {value}", f"see https://dstack.ai/docs/reference/dstack.yml/{kind}")
    return None


def _readable(kind: str, document: Document, key: str) -> bool:
    """Return whether dstack's validators can read the document without `key`."""
    from pydantic import ValidationError

    try:
        parse(kind, {name: value for name, value in document.items() if name != key})
    except ValidationError:
        return True
    except Exception:
        return False
    return True


def _deepest(kind: str, document: Document, errors: list[Any]) -> Problem:
    """Return the error that points deepest into the document, with its key, its reason and the value."""
    located = [(*_locate(document, error), error) for error in errors]
    path, value, error = max(located, key=lambda one: len(one[0]))
    where = f"{kind}.{spelled(path)}" if path else kind
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(path[-1]), _fields(kind), n=1, cutoff=0.7)
        return Problem(where, "dstack has no such key", f"did you mean {near[0]}?" if near else "remove it")
    if error["type"] == "missing":
        return Problem(where, "is missing", "add it")
    reason = error["msg"].removeprefix("Value error, ").rstrip(".")
    return Problem(where, reason + (f", is {value!r:.80}" if path and not isinstance(value, dict | list) else ""))


def _locate(document: Document, error: Any) -> tuple[Path, Any]:
    """Return the path of an error in the document, and the value there.

    pydantic's locations also name branches of unions, which are not keys of the document.
    """
    path: Path = ()
    value: Any = document
    for location in error["loc"]:
        formerly = location == "groups" and value is document and "groups" not in document
        part = "replicas" if formerly else location  # where groups were written before dstack 0.20
        found = isinstance(value, dict) and part in value
        if found or (isinstance(value, list) and isinstance(part, int) and part < len(value)):
            path, value = (*path, part), value[part]
    return ((*path, error["loc"][-1]) if error["type"] == "missing" else path), value


def _fields(kind: str) -> list[str]:
    """Return every key of dstack's model of `kind`, at any depth."""
    from dstack._internal.core.models.configurations import ServiceConfiguration
    from dstack._internal.core.models.fleets import FleetConfiguration
    from dstack._internal.core.models.gateways import GatewayConfiguration

    model = {"service": ServiceConfiguration, "fleet": FleetConfiguration, "gateway": GatewayConfiguration}[kind]
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return sorted({name for part in parts for name in part.get("properties", {})})
