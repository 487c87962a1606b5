"""Reads an environment: where to deploy, and what differs there from dstack/*.dstack.yml.

`load("prod")` reads environments/prod.yml, merges it over the dstack files and checks the result. What is known to fail
is refused here, with its file and its key, before a server or a cloud is asked.
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from console.errors import ExitCode, Failure
from console.variables import read_variables
from deploy.deployments import Deployment
from deploy.documents.checks import first_problem
from deploy.documents.files import Document, invalid, read
from deploy.documents.monitor import with_monitor
from deploy.documents.references import referred as referred
from deploy.settings import Alarms, Dns, Timeouts, read_settings

ROOT = Path(__file__).parent.parent
DSTACK_NAME = re.compile(r"[a-z][a-z0-9-]{1,40}")  # dstack's rule for names of runs, fleets and gateways
OTHER = "-gw-b"  # ends the name of a gateway that replaces one; no instance has such a name


@dataclass(frozen=True)
class Environment:
    """A checked environment: the documents, and the server that they are sent to."""

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
    alarms: Alarms | None = None
    recovery: str = "manual"  # or "automatic"
    service_id: str = ""  # this repository's name for its service, whatever the service is called in dstack
    deployment: Deployment | None = None  # what a deploy writes down about itself; None: this command is no deploy

    @property
    def file(self) -> str:
        """The environment's file, such as `environments/prod.yml`."""
        return f"environments/{self.name}.yml"

    def marked(self, path: str) -> str:
        """Return `path` with the mark of this repository and environment behind it.

        dstack stores it with fleet and run, updates it in place and does not show it. So a service is found even after
        its name has changed.
        """
        return f"{path}#{self.service_id}/{self.name}" if self.service_id else path

    def owns(self, path: str | None) -> bool:
        """Return whether a stored path has this environment's mark."""
        mark = (path or "").partition("#")[2].split(" ")[0]
        return bool(self.service_id) and mark == f"{self.service_id}/{self.name}"

    @property
    def host(self) -> str:
        """The service's host name behind its gateway, `<run>.<zone>`."""
        return f"{self.run_name}.{self.gateway['domain']}" if self.gateway else ""

    @property
    def gateway_names(self) -> tuple[str, str]:
        """The two names that this environment's gateway may have, see gateway_choice.py."""
        return self.run_name, f"{self.run_name}{OTHER}"

    @property
    def gateway_name(self) -> str:
        """The name of the gateway in the documents that are sent."""
        return str((self.gateway or {}).get("name", self.run_name))

    def behind(self, name: str | None) -> "Environment":
        """Return the environment with documents that name this gateway; without a gateway, the environment as it is."""
        if self.gateway is None or name is None:
            return self
        return replace(self, gateway=self.gateway | {"name": name}, service=self.service | {"gateway": name})

    @property
    def secrets(self) -> tuple[str, ...]:
        """Names of the dstack secrets that the service refers to, sorted."""
        return referred(self.service)


def load(
    name: str, root: Path = ROOT, variables: Mapping[str, str] = os.environ, files: Path | None = None
) -> Environment:
    """Return the checked environment. Fails with SETTINGS_INVALID and names the file and the key.

    `files`: a folder with dstack/ and environments/ of an earlier commit. Everything else comes from `root`.
    """
    files = files or root
    path = files / "environments" / f"{name}.yml"
    settings = read_settings(path)
    variables = variables_of(name, root, variables)
    service, fleet = (read(files / "dstack" / f"{kind}.dstack.yml") for kind in ("service", "fleet"))
    run_name = f"{service.get('name', '')}" + ("" if name == "prod" else f"-{name}")
    if not DSTACK_NAME.fullmatch(run_name):
        why = f"the name of the run would be {run_name!r}, and dstack takes {DSTACK_NAME.pattern}"
        raise invalid(path, why, "change the file's name, or the name in dstack/service.dstack.yml")
    _refuse_other_gateways_name(path, run_name, behind_gateway=settings.gateway is not None)
    names: Document = {"name": run_name, "fleets": [run_name]}
    gateway = None
    if settings.gateway is not None:
        names |= {"gateway": run_name, "https": "auto"}
        gateway = merge(read(files / "dstack" / "gateway.dstack.yml") | {"name": run_name}, settings.gateway)
    service = with_monitor(merge(service | names, settings.service), root)
    fleet = merge(fleet | {"name": run_name}, settings.fleet)
    _limit_price(fleet, settings.max_price_per_hour)
    _refuse_other_names(path, run_name, service, fleet, gateway)
    if settings.recovery == "automatic" and (gateway or {}).get("backend") != "aws":
        why = "recovery: automatic needs a gateway on AWS, because only EC2's state starts a recovery"
        raise invalid(path, why, "add the gateway, or remove the line")
    if problem := first_problem(service, fleet, gateway, settings.dns, settings.alarms):
        raise invalid(path, f"merged over dstack/*.dstack.yml: {problem.place_and_text}", problem.remedy)
    return Environment(
        name=name,
        run_name=run_name,
        server_url=_server_url(settings.server.url, variables, path),
        project=_one_of(settings.server.project, variables, "DSTACK_PROJECT", "server.project", path),
        token=_token(variables),
        protected=settings.protected,
        recovery=settings.recovery,
        timeouts=settings.timeouts,
        fleet=fleet,
        service=service,
        gateway=gateway,
        max_price_per_hour=settings.max_price_per_hour,
        dns=settings.dns,
        alarms=settings.alarms,
        service_id=_service_id(root),
    )


def _limit_price(fleet: Document, limit: float | None) -> None:
    """Write the limit into the fleet, where dstack applies it to all that it rents. USD per hour."""
    if limit is not None:
        written = fleet.get("max_price")
        fleet["max_price"] = min(limit, written) if isinstance(written, int | float) else limit


def _refuse_other_names(
    path: Path, run_name: str, service: Document, fleet: Document, gateway: Document | None
) -> None:
    """Fail with SETTINGS_INVALID when a document has a name of its own."""
    names = [service.get("name"), service.get("fleets"), fleet.get("name"), (gateway or fleet).get("name")]
    if names != [run_name, [run_name], run_name, run_name]:
        problem = f"service, fleet and gateway must be named {run_name}: another name would be another service"
        raise invalid(path, problem, "remove the name")


def _refuse_other_gateways_name(path: Path, run_name: str, *, behind_gateway: bool) -> None:
    """Fail with SETTINGS_INVALID when the gateway could not be replaced under another name, or is another one's."""
    if run_name.endswith(OTHER):
        problem = f"the run would be named {run_name}, and {OTHER} ends the name of a gateway that replaces another one"
        raise invalid(path, problem, "change the file's name, or the name in dstack/service.dstack.yml")
    if behind_gateway and not DSTACK_NAME.fullmatch(run_name + OTHER):
        most = 41 - len(OTHER)
        problem = f"the run would be named {run_name}, and a service behind a gateway may have {most} characters"
        raise invalid(path, problem, "shorten the file's name, or the name in dstack/service.dstack.yml")


def _server_url(written: str | None, variables: Mapping[str, str], path: Path) -> str:
    url = _one_of(written, variables, "DSTACK_SERVER_URL", "server.url", path).rstrip("/")
    if not re.fullmatch(r"https?://[^/\s]+", url):
        problem = f"server.url, or DSTACK_SERVER_URL, is {url!r}, which is not the address of a server"
        raise invalid(path, problem, "write e.g. https://dstack.example.com")
    return url


def _token(variables: Mapping[str, str]) -> str:
    token = variables.get("DSTACK_TOKEN", "")
    if not token.isascii() or not token.isprintable():
        problem = "DSTACK_TOKEN, in .env or the shell, has a character that no token has"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "copy the token again, and nothing but the token")
    return token


def _service_id(root: Path) -> str:
    """Return the project's name in pyproject.toml, which stays when the service is renamed; "" without one."""
    path = root / "pyproject.toml"
    try:
        return str(tomllib.loads(path.read_text(encoding="utf-8"))["project"]["name"])
    except (OSError, KeyError, TypeError, ValueError):
        return ""


def variables_of(name: str, root: Path = ROOT, variables: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables of .env, then of .env.<name>, then of the shell. Later ones win, empty ones do not count.

    Fails with SETTINGS_INVALID and names the file that can't be read.
    """
    files = (root / ".env", root / f".env.{name}")
    merged = {key: value for file in files for key, value in read_variables(file).items() if value}
    return {**merged, **{key: value for key, value in variables.items() if value}}


def merge(base: Document, overlay: Document) -> Document:
    """Return `overlay` over `base`: mappings merge, scalars and lists replace, null deletes. Neither is changed."""
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
    """Return the value of the file or of the variable. Fails when both exist and differ: one of them is wrong."""
    given = variables.get(variable)
    if written and given and written.rstrip("/") != given.rstrip("/"):
        raise invalid(path, f"{key} is {written}, but {variable} is {given}", "unset or correct the wrong one")
    if not written and not given:
        raise invalid(path, f"{key} is missing", f"write it there, or set {variable}, e.g. in .env.{path.stem}")
    return written or given or ""
