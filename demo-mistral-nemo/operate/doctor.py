"""Checks that everything a deploy needs is in place: settings, server, token, clouds, secrets."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.documents import schema
from deploy.documents.files import Document
from deploy.environments import Environment, referred


@dataclass(frozen=True)
class Finding:
    """The result of one check."""

    check: str
    ok: bool
    text: str

    def as_json(self) -> Document:
        """Return the finding as `inv doctor --json` prints it."""
        return asdict(self)


def examine(environment: Environment) -> Iterator[Finding]:
    """Yield the finding of each check. Raise the Failure of the first check that fails: later ones depend on it."""
    api = Api(environment)
    checks: dict[str, Callable[[Api, Environment], str]] = {
        "settings": _check_settings,
        "server": _check_server,
        "token and clouds": _check_clouds,
        "secrets": check_secrets,
    }
    for name, check in checks.items():
        try:
            yield Finding(name, True, check(api, environment))
        except Failure as failure:
            yield Finding(name, False, str(failure))
            raise


def check_secrets(api: Api, environment: Environment) -> str:
    """Return what is known about the service's secrets. Fails with SECRET_MISSING before anything is rented.

    When the user may not list secrets, it accepts those that the running service has, and refuses new ones: dstack ends
    a whole service, with all its replicas, when a single replica refers to a missing secret.
    """
    wanted = set(environment.secrets)
    if not wanted:
        return "none needed"
    try:
        present = api.secret_names()
    except Failure as failure:
        if failure.code != ExitCode.TOKEN_REFUSED:
            raise
        return _check_unlisted_secrets(api, environment, wanted)
    if absent := sorted(wanted - present):
        commands = " and ".join(f"`inv secrets.set {name} --env {environment.name}`" for name in absent)
        problem = f"dstack project {environment.project} has no secret {', '.join(absent)}"
        raise Failure(ExitCode.SECRET_MISSING, problem, f"run {commands}")
    return f"{', '.join(sorted(wanted))} set"


def _check_unlisted_secrets(api: Api, environment: Environment, wanted: set[str]) -> str:
    """Return what is known about secrets that the user may not list. Fails with SECRET_MISSING for a new one."""
    run = api.run(environment.run_name)
    names = ", ".join(sorted(wanted))
    if not run or not run.active:
        return f"{names} not checked, because your role may not list secrets"
    if unknown := sorted(wanted - set(referred(run.run_spec))):
        secrets = ", ".join(unknown)
        problem = f"the secret {secrets} is new to {environment.run_name}, and your role may not list secrets"
        problem += ": if it is missing, dstack ends the service"
        raise Failure(ExitCode.SECRET_MISSING, problem, "let a manager of the project deploy this once")
    return f"{names}: the running service has the same"


def _check_settings(api: Api, environment: Environment) -> str:
    schema.check(environment)
    return f"dstack takes {environment.file} with dstack/*.dstack.yml"


def _check_server(api: Api, environment: Environment) -> str:
    return f"{environment.server_url} runs dstack {api.server_version()}, this repository uses {version('dstack')}"


def _check_clouds(api: Api, environment: Environment) -> str:
    gateway = [environment.gateway["backend"]] if environment.gateway else []
    wanted, configured = [*environment.service.get("backends", []), *gateway], api.clouds()
    if absent := [cloud for cloud in wanted if cloud not in configured]:
        where = "in .env, then start `inv server` again" if environment.name == "dev" else "to the server's config.yml"
        problem = f"project {environment.project} has no keys for {', '.join(absent)}"
        raise Failure(ExitCode.CLOUD_MISSING, problem, f"add them {where}")
    return f"project {environment.project} has keys for {', '.join(wanted) or 'its clouds'}"
