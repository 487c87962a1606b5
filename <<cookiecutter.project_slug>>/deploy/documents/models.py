"""dstack's own models of service, fleet and gateway, from the installed package: what they refuse, with the key."""

from __future__ import annotations

from copy import deepcopy
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from deploy.documents.references import Path, spelled

if TYPE_CHECKING:
    from deploy.documents.files import Document

PROFILE = {"name": "default"}  # as deploy/api.py sends it


def parse(kind: str, document: Document) -> Any:
    """Return the specification that dstack's server makes of a document: RunSpec, FleetSpec or GatewaySpec.

    Raises pydantic's ValidationError. Some of dstack's validators raise something else over a value of another type.
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


def first_problem(kind: str, document: Document) -> str | None:
    """Return what dstack's model refuses, with the key and dstack's own words; None if it takes the document."""
    from pydantic import ValidationError

    try:
        parse(kind, document)
    except ValidationError as error:
        return _worded(kind, document, error.errors(include_url=False))
    except Exception as error:
        key = next((key for key in document if key != "type" and _readable(kind, document, key)), None)
        where, value = (f"{kind}.{key}", f"{document[key]!r:.80}") if key else (kind, f"it ({error!r})")
        return f"{where}: dstack can't read {value}; its reference of {kind}s has the forms"
    return None


def _readable(kind: str, document: Document, key: str) -> bool:
    """Whether dstack's validators no longer stumble when `key` is left out."""
    from pydantic import ValidationError

    try:
        parse(kind, {name: value for name, value in document.items() if name != key})
    except ValidationError:
        return True
    except Exception:
        return False
    return True


def _worded(kind: str, document: Document, errors: list[Any]) -> str:
    """Return the error that points deepest into the document: its key, its reason and the value."""
    located = [(*_locate(document, error), error) for error in errors]
    path, value, error = max(located, key=lambda one: len(one[0]))
    where = f"{kind}.{spelled(path)}" if path else kind
    if error["type"] == "extra_forbidden":
        near = get_close_matches(str(path[-1]), _fields(kind), n=1, cutoff=0.7)
        return f"{where}: dstack has no such key; " + (f"did you mean {near[0]}?" if near else "remove it")
    if error["type"] == "missing":
        return f"{where}: is missing"
    said = error["msg"].removeprefix("Value error, ").rstrip(".")
    return f"{where}: {said}" + (f", is {value!r:.80}" if path and not isinstance(value, dict | list) else "")


def _locate(document: Document, error: Any) -> tuple[Path, Any]:
    """Return the path that an error's location has in the document, and the value there.

    pydantic's locations name branches of unions too, which are no keys of the document.
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
    """Return every key that dstack's model of `kind` has, at any depth."""
    from dstack._internal.core.models.configurations import ServiceConfiguration
    from dstack._internal.core.models.fleets import FleetConfiguration
    from dstack._internal.core.models.gateways import GatewayConfiguration

    model = {"service": ServiceConfiguration, "fleet": FleetConfiguration, "gateway": GatewayConfiguration}[kind]
    schema = model.model_json_schema()
    parts = [schema, *schema.get("$defs", {}).values()]
    return sorted({name for part in parts for name in part.get("properties", {})})
