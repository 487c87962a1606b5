"""Checks everything that a deploy needs, and reports all that is missing, each with its remedy. It only reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from importlib.metadata import version

from account import checks, files, github, gpu_clouds
from account.aws import checks as aws_checks
from account.checks import Check
from account.findings import Finding
from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.documents import schema
from deploy.dstack.client import Notify
from deploy.environments import Environment, referred
from deploy.offers import machines


def examine(environment: Environment, notify: Notify = lambda line: None) -> Iterator[Finding]:
    """Yield the finding of each check. At the end, raise the Failure of the first check that failed."""
    found = []
    for finding in _findings(environment, notify):
        found.append(finding)
        yield finding
    failed = [(finding.check, finding.failure) for finding in found if finding.failure]
    if failed:
        _, first = failed[0]
        names = ", ".join(name for name, _ in failed)
        others = f"{len(failed)} checks failed ({names}); the first: " if len(failed) > 1 else ""
        raise Failure(first.code, others + first.problem, first.remedy)


def _findings(environment: Environment, notify: Notify) -> Iterator[Finding]:
    api = Api(environment)
    here = [
        Check("settings", lambda: _check_settings(environment)),
        Check("placeholders", lambda: _check_placeholders(environment)),
        Check("server", lambda: _check_server(api, environment)),
        Check("token", lambda: _check_token(api, environment), ("server",)),
        Check("clouds", lambda: _check_clouds(api, environment), ("token",)),
        Check("secrets", lambda: check_secrets(api, environment), ("token",)),
    ]
    yield from checks.findings(
        [*here, *gpu_clouds.checks(environment, lambda: _price(api, environment)), *aws_checks.checks(environment)]
    )
    yield from github.findings(environment, notify)


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


def _check_settings(environment: Environment) -> str:
    schema.check(environment)
    return f"dstack takes {environment.file} with dstack/*.dstack.yml"


def _check_placeholders(environment: Environment) -> str:
    """Fail with SETTINGS_INVALID for a value that the template left for a person to fill in."""
    if found := files.placeholders(environment.name):
        remedy = f"run `inv setup.aws --env {environment.name}`, which asks which VPC it is"
        raise Failure(ExitCode.SETTINGS_INVALID, f"{environment.file} still has {', '.join(found)}", remedy)
    return f"{environment.file} has none left"


def _check_server(api: Api, environment: Environment) -> str:
    running, own = api.server_version(), version("dstack")
    text = f"{environment.server_url} runs dstack {running}, this repository uses {own}"
    server, ours = _numbers(running), _numbers(own)
    if server < ours:
        remedy = 'upgrade the server first, see "Upgrading dstack" in the template\'s CHANGELOG.md'
        raise Failure(ExitCode.SERVER_REFUSED, f"{text}, which is newer", remedy)
    return text if server == ours else f"{text}; warning: take the template's update, which has a newer dstack"


def _price(api: Api, environment: Environment) -> float | None:
    """Return USD an hour for one replica: the cheapest offer's price; None when dstack does not say."""
    with suppress(Failure):
        return min((machine.price for machine in machines(api, environment)), default=environment.max_price_per_hour)
    return environment.max_price_per_hour


def _numbers(written: str) -> tuple[int, ...]:
    """Return a version as numbers, to compare: (0, 22, 5) for 0.22.5 and 0.22.5rc1."""
    return tuple(int(number) for number in re.findall(r"\d+", written)[:3])


def _check_token(api: Api, environment: Environment) -> str:
    api.clouds()
    return f"the server knows the token, and project {environment.project}"


def _check_clouds(api: Api, environment: Environment) -> str:
    gateway = [environment.gateway["backend"]] if environment.gateway else []
    wanted, configured = [*environment.service.get("backends", []), *gateway], api.clouds()
    if absent := [cloud for cloud in wanted if cloud not in configured]:
        where = "in .env, then start `inv server` again" if environment.name == "dev" else "to the server's config.yml"
        problem = f"project {environment.project} has no keys for {', '.join(absent)}"
        raise Failure(ExitCode.CLOUD_MISSING, problem, f"add them {where}")
    return f"project {environment.project} has keys for {', '.join(wanted) or 'its clouds'}"
