"""An environment: where to deploy, and what differs there from dstack/*.dstack.yml.

`load("prod")` reads environments/prod.yml, merges it over the dstack files and checks the result, so that what can be
known to fail is refused here, with file and key, before a server or a cloud is asked.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from console.variables import read_variables
from deploy.documents.checks import first_problem
from deploy.documents.files import Document, invalid, read
from deploy.documents.references import referred as referred

ROOT = Path(__file__).parent.parent
DSTACK_NAME = re.compile(r"[a-z][a-z0-9-]{1,40}")  # dstack's rule for names of runs, fleets and gateways


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Server(_Strict):
    """The dstack server; its token is DSTACK_TOKEN, from the shell or .env."""

    url: str | None = None  # None: DSTACK_SERVER_URL
    project: str


class Timeouts(_Strict):
    """How long a deploy waits, in seconds."""

    capacity: int = Field(default=900, ge=1)  # for a cloud to hand out a machine
    gateway: int = Field(default=600, ge=1)  # for the gateway's instance to be set up
    ready: int = Field(default=2700, ge=1)  # from then until probes pass: image, weights, start of the engine
    stop: int = Field(default=600, ge=1)  # for a run to end, and for the clouds to take machines back


class Dns(_Strict):
    """Where the service's record goes: the zone called as the gateway's `domain`."""

    vpc_id: str | None = None  # the VPC of the private zone; None: the public zone of that name


class EnvironmentFile(_Strict):
    """One file of environments/; README.md shows one with every key."""

    server: Server
    protected: bool = False
    max_price_per_hour: Annotated[float, Field(gt=0)] | None = None  # USD, of one replica's machine
    timeouts: Timeouts = Timeouts()
    gateway: dict[str, Any] | None = None  # None: requests pass through the dstack server
    dns: Dns | None = None  # None: records are somebody else's business
    fleet: dict[str, Any] = {}
    service: dict[str, Any] = {}


@dataclass(frozen=True)
class Environment:
    """A checked environment: what is sent to which server."""

    name: str
    run_name: str
    server_url: str
    project: str
    token: str = field(repr=False)
    protected: bool
    timeouts: Timeouts
    fleet: Document
    service: Document
    gateway: Document | None = None
    max_price_per_hour: float | None = None
    dns: Dns | None = None
    service_id: str = ""  # what this repository calls its service, whatever the service is named in dstack

    def marked(self, path: str) -> str:
        """`path` as it is stored with fleet and run, with the mark of this environment of this repository behind it.

        dstack keeps it, updates it in place and shows it to nobody, so an earlier name of the service is found by it.
        """
        return f"{path}#{self.service_id}/{self.name}" if self.service_id else path

    def owns(self, path: str | None) -> bool:
        """Whether a stored path has this environment's mark."""
        mark = (path or "").partition("#")[2].split(" ")[0]
        return bool(self.service_id) and mark == f"{self.service_id}/{self.name}"

    @property
    def host(self) -> str:
        """The service's host name behind its gateway, `<run>.<zone>`."""
        return f"{self.run_name}.{self.gateway['domain']}" if self.gateway else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the dstack secrets that the service refers to, sorted."""
        return referred(self.service)


def load(name: str, root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> Environment:
    """The environment of that name, checked. Fails with SETTINGS_INVALID, naming file and key."""
    path = root / "environments" / f"{name}.yml"
    settings = read_file(path)
    variables = variables_of(name, root, variables)
    service, fleet = (read(root / "dstack" / f"{kind}.dstack.yml") for kind in ("service", "fleet"))
    run_name = f"{service.get('name', '')}" + ("" if name == "prod" else f"-{name}")
    if not DSTACK_NAME.fullmatch(run_name):
        raise invalid(path, f"the run's name would be {run_name!r}; dstack takes {DSTACK_NAME.pattern}")
    named = {"name": run_name, "fleets": [run_name]}
    gateway = None
    if settings.gateway is not None:
        named |= {"gateway": run_name, "https": "auto"}
        gateway = merge(read(root / "dstack" / "gateway.dstack.yml") | {"name": run_name}, settings.gateway)
    service = merge(service | named, settings.service)
    fleet = merge(fleet | {"name": run_name}, settings.fleet)
    if (limit := settings.max_price_per_hour) is not None:
        own = fleet.get("max_price")
        fleet["max_price"] = min(limit, own) if isinstance(own, int | float) else limit  # so that dstack keeps it too
    names = [service.get("name"), service.get("fleets"), fleet.get("name"), (gateway or fleet).get("name")]
    if names != [run_name, [run_name], run_name, run_name]:
        why = f"is derived, {run_name}: another name would be another service beside this one; remove it"
        raise invalid(path, f"the name of service, fleet and gateway {why}")
    if problem := first_problem(service, fleet, gateway, settings.dns):
        raise invalid(path, f"merged over dstack/*.dstack.yml: {problem}")
    server_url = _one_of(settings.server.url, variables, "DSTACK_SERVER_URL", "server.url", path).rstrip("/")
    if not re.fullmatch(r"https?://[^/\s]+", server_url):
        raise invalid(path, f"server.url, or DSTACK_SERVER_URL, is {server_url!r}; write https://dstack.example.com")
    if not (token := variables.get("DSTACK_TOKEN", "")).isascii() or not token.isprintable():
        raise invalid(path, "DSTACK_TOKEN, in .env or the shell, has a character that no token has; set it again")
    return Environment(
        name=name,
        run_name=run_name,
        server_url=server_url,
        project=_one_of(settings.server.project, variables, "DSTACK_PROJECT", "server.project", path),
        token=token,
        protected=settings.protected,
        timeouts=settings.timeouts,
        fleet=fleet,
        service=service,
        gateway=gateway,
        max_price_per_hour=settings.max_price_per_hour,
        dns=settings.dns,
        service_id=_service_id(root),
    )


def _service_id(root: Path) -> str:
    """The project's name in pyproject.toml, which stays when the service is renamed; "" without one."""
    path = root / "pyproject.toml"
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"])
    except (OSError, KeyError, TypeError, ValueError):
        return ""


def variables_of(name: str, root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """.env, over it .env.<name>, over both what is set in the shell; empty values count as absent.

    Fails with SETTINGS_INVALID, naming the file, when one of them can't be read.
    """
    files = (root / ".env", root / f".env.{name}")
    merged = {key: value for file in files for key, value in read_variables(file).items() if value}
    return {**merged, **{key: value for key, value in variables.items() if value}}


def read_file(path: Path) -> EnvironmentFile:
    """The environment file as written. Fails with SETTINGS_INVALID."""
    if not path.is_file():
        known = ", ".join(sorted(p.stem for p in path.parent.glob("*.yml"))) or "none"
        raise invalid(path, f"does not exist; there are: {known} (--env NAME)")
    try:
        return EnvironmentFile.model_validate(read(path))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = ".".join(map(str, first["loc"]))
        wrong = "is not a key that an environment has" if first["type"] == "extra_forbidden" else first["msg"]
        raise invalid(path, f"{key}: {wrong}; README.md, Environments, shows every key") from None


def merge(base: Document, overlay: Document) -> Document:
    """`overlay` over `base`: mappings merge, scalars and lists replace, null deletes. Neither is changed."""
    merged = dict(base)
    for key, value in overlay.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            below = merged.get(key)
            merged[key] = merge(below if isinstance(below, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def _one_of(written: str | None, variables: Mapping[str, str], variable: str, key: str, path: Path) -> str:
    """The value from the file or the variable. Both, and different, is refused: one of them is a leftover."""
    given = variables.get(variable)
    if written and given and written.rstrip("/") != given.rstrip("/"):
        raise invalid(path, f"{key} is {written}, but {variable} is {given}; unset the wrong one")
    if not written and not given:
        raise invalid(path, f"{key} is missing; write it there, or set the variable {variable}")
    return written or given or ""
