"""Is everything in place for a deploy? Each check says what it found; the first failure ends it."""

from collections.abc import Iterator
from importlib.metadata import version

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.documents import schema
from deploy.documents.files import Document
from deploy.environments import Environment, referred


def examine(environment: Environment) -> Iterator[Document]:
    """What each check found, up to the first that fails, with its Failure: the later ones would only repeat it."""
    api, checks = Api(environment), {"settings": _settings, "server": _server}
    checks |= {"token and clouds": _clouds, "secrets": secrets}
    for name, check in checks.items():
        try:
            yield {"check": name, "ok": True, "text": check(api, environment)}
        except Failure as failure:
            yield {"check": name, "ok": False, "text": str(failure)}
            raise


def secrets(api: Api, environment: Environment) -> str:
    """What is known of the service's secrets. Fails with SECRET_MISSING, before anything is rented.

    Who may not list them is believed as far as the service that runs has them: dstack ends a whole service, with all
    that serves, for one replica that refers to a secret that is not there.
    """
    wanted, command = set(environment.secrets), "inv secrets.set {} --env " + environment.name
    if not wanted:
        return "none needed"
    try:
        present = api.secret_names()
    except Failure as failure:
        if failure.code != ExitCode.TOKEN_REFUSED:
            raise
        run = api.run(environment.run_name)
        if not run or not run.active:
            return f"{', '.join(sorted(wanted))} not checked, your role may not list secrets"
        if unseen := sorted(wanted - set(referred(run.run_spec))):
            why = f"your role may not look whether there is a secret {', '.join(unseen)}, new to {environment.run_name}"
            mend = "one that is missing ends the service, so let a manager of the project deploy this once"
            raise Failure(ExitCode.SECRET_MISSING, f"{why}; {mend}") from None
        return f"{', '.join(sorted(wanted))}: what runs has them too"
    if absent := sorted(wanted - present):
        commands = " and ".join(f"`{command.format(name)}`" for name in absent)
        message = f"dstack project {environment.project} has no secret {', '.join(absent)}; run {commands}"
        raise Failure(ExitCode.SECRET_MISSING, message)
    return f"{', '.join(sorted(wanted))} set"


def _settings(api: Api, environment: Environment) -> str:
    schema.check(environment)
    return f"environments/{environment.name}.yml and dstack/*.dstack.yml fit together, and dstack takes them"


def _server(api: Api, environment: Environment) -> str:
    return f"{environment.server_url} runs dstack {api.server_version()}, this repository {version('dstack')}"


def _clouds(api: Api, environment: Environment) -> str:
    gateway = [environment.gateway["backend"]] if environment.gateway else []
    wanted, configured = [*environment.service.get("backends", []), *gateway], api.clouds()
    if absent := [cloud for cloud in wanted if cloud not in configured]:
        where = "in .env, then start `inv server` again" if environment.name == "dev" else "to the server's config.yml"
        message = f"project {environment.project} has no keys for {', '.join(absent)}; add them {where}"
        raise Failure(ExitCode.CLOUD_MISSING, message)
    return f"project {environment.project} has {', '.join(wanted) or 'its clouds'}"
