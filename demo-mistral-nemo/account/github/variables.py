"""The parts that are variables."""

import json
import re
from collections.abc import Collection
from math import ceil
from typing import Any
from urllib.parse import urlsplit

from account.github.parts import Calls, Part, Verdict
from account.github.state import State, json_of
from deploy.environments import Environment

LOCAL = re.compile(r"localhost|127\.[\d.]+|\[?::1\]?|0\.0\.0\.0")
HOUR = 3600
SPARE_MINUTES = 30  # of `service`, for everything but the two timeouts


def variable(calls: Calls, state: State, place: str, name: str, wanted: str | None, text: str) -> Part:
    """Return a variable of a GitHub environment, or of the repository when `place` is "".

    `wanted` None takes any value. An existing variable with another value is kept.
    """
    subject = _subject(place, name)
    current = state.variable(place, name)
    if current is not None and wanted in (None, current):
        return Part(subject, Verdict.RIGHT, current)
    own = state.variables_of(place)
    path = calls.path("environments", place, "variables") if place else calls.path("actions", "variables")
    method, path = ("PATCH", f"{path}/{name}") if name in (own or {}) else ("POST", path)
    body = {"name": name, "value": wanted or "VALUE"}
    command = calls.command(method, path, body)
    if current is not None:
        return Part(subject, Verdict.DIFFERENT, f"is {current}, not {wanted}; you can run {command}", (command,))
    send = calls.sender(method, path, body) if wanted is not None else None
    return Part(subject, Verdict.MISSING, wanted or text, (command,), send, readable=own is not None)


def environments(calls: Calls, state: State, name: str, files: Collection[str]) -> Part:
    """Return `ENVIRONMENTS`, the list that the workflows plan and drift check: `name` is added to it."""
    subject, current = _subject("", "ENVIRONMENTS"), state.variable("", "ENVIRONMENTS")
    if wrong := _wrong_list(current, name, files):
        return Part(subject, Verdict.DIFFERENT, wrong)
    listed = json_of(current) or []
    for one in listed:
        if state.environments is not None and one != name and f"{one}-plan" not in state.environments:
            text = f"names {one}, and there is no GitHub environment {one}-plan; run `inv setup.github --env {one}`"
            return Part(subject, Verdict.DIFFERENT, text)
    return _extended(calls, state, "ENVIRONMENTS", current, [*listed, *([] if name in listed else [name])])


def gateways(calls: Calls, state: State, name: str, files: Collection[str], *, chosen: bool) -> Part:
    """Return `GATEWAYS`, the list that `recover` looks after: `name` is added to it only when somebody chose that.

    The reason: GitHub bills each scheduled start of a workflow in a private repository.
    """
    subject, current = _subject("", "GATEWAYS"), state.variable("", "GATEWAYS")
    if wrong := _wrong_list(current, name, files):
        return Part(subject, Verdict.DIFFERENT, wrong)
    listed = json_of(current) or []
    if chosen and name not in listed:
        return _extended(calls, state, "GATEWAYS", current, [*listed, name])
    text = current if name in listed else f"the workflow `recover` does not look after the gateway of {name}"
    return Part(subject, Verdict.RIGHT, str(text), readable=state.own_variables is not None or current is not None)


def runners(calls: Calls, state: State, name: str, runner: tuple[str, ...]) -> Part:
    """Return `RUNNERS`, the mapping of environments to labels: `name` is added to it."""
    subject, current = _subject("", "RUNNERS"), state.variable("", "RUNNERS")
    mapped = json_of(current) if current is not None else {}
    if not isinstance(mapped, dict):
        return Part(subject, Verdict.DIFFERENT, f'is {current}, and should be such as {{"{name}": ["self-hosted"]}}')
    if name in mapped:
        if runner and _labels(mapped[name]) != runner:
            text = f"names {', '.join(_labels(mapped[name]))} for {name}, not {', '.join(runner)}"
            return Part(subject, Verdict.DIFFERENT, text)
        return Part(subject, Verdict.RIGHT, f"{name}: {', '.join(_labels(mapped[name]))}")
    if not runner:
        text = f"names no runner for {name}, whose endpoint answers only inside the VPC"
        return Part(subject, Verdict.INCOMPLETE, text, readable=state.own_variables is not None)
    value = runner[0] if len(runner) == 1 else list(runner)
    return _extended(calls, state, "RUNNERS", current, mapped | {name: value})


def main_environment(calls: Calls, state: State, name: str, files: Collection[str], *, chosen: bool) -> Part:
    """Return `MAIN_ENVIRONMENT`, which a push to main deploys. It is made only when somebody chose it."""
    current = state.variable("", "MAIN_ENVIRONMENT")
    if chosen:
        return variable(calls, state, "", "MAIN_ENVIRONMENT", name, "")
    subject = _subject("", "MAIN_ENVIRONMENT")
    if current and current not in files:
        return Part(subject, Verdict.DIFFERENT, f"is {current}, and there is no file environments/{current}.yml")
    readable = state.own_variables is not None
    text = f"a push to main deploys {current or 'nothing'}"
    return Part(subject, Verdict.RIGHT, text, readable=readable or current is not None)


def service_minutes(calls: Calls, state: State, environment: Environment) -> Part | None:
    """Return `SERVICE_MINUTES`, which an environment needs whose timeouts add up to more than an hour; else None."""
    seconds = environment.timeouts.capacity + environment.timeouts.ready
    if seconds <= HOUR:
        return None
    least, current = ceil(seconds / 60) + SPARE_MINUTES, state.variable("", "SERVICE_MINUTES")
    if current and current.isdecimal() and int(current) >= least:
        return Part(_subject("", "SERVICE_MINUTES"), Verdict.RIGHT, current)
    return variable(calls, state, "", "SERVICE_MINUTES", str(least), "")


def server(calls: Calls, state: State, environment: Environment, place: str, url: str, *, in_file: bool) -> Part:
    """Return `DSTACK_SERVER_URL` of a GitHub environment, or the address in the environment's file.

    `url` is what somebody chose; "" takes the environment's own, unless that is an address of this machine alone.
    """
    name, subject = "DSTACK_SERVER_URL", _subject(place, "DSTACK_SERVER_URL")
    local = LOCAL.fullmatch(urlsplit(environment.server_url).hostname or "")
    if in_file and local:
        text = f"{environment.file} names {environment.server_url}, which no runner of GitHub reaches"
        return Part(subject, Verdict.DIFFERENT, text)
    if in_file:
        return Part(subject, Verdict.RIGHT, f"{environment.file} names the server")
    if not url and (local or state.variable(place, name) is not None):
        return variable(calls, state, place, name, None, "--server-url says how the runners reach the server")
    return variable(calls, state, place, name, url or environment.server_url, "")


def role(calls: Calls, state: State, place: str, arn: str, *, own_runner: bool) -> Part:
    """Return `AWS_ROLE_ARN` of a GitHub environment. A runner of your own may have a role of its own."""
    name = "AWS_ROLE_ARN"
    if not arn and own_runner and state.variable(place, name) is None:
        return Part(_subject(place, name), Verdict.RIGHT, "not set: jobs use the role of your own runner")
    flag = "--plan-role" if place.endswith("-plan") else "--deploy-role"
    return variable(calls, state, place, name, arn or None, f"{flag} says which role, `inv setup.aws` makes it")


def has_own_runner(state: State, name: str) -> bool:
    """Return whether `RUNNERS` names a runner of your own for this environment."""
    mapped = json_of(state.variable("", "RUNNERS"))
    return isinstance(mapped, dict) and "self-hosted" in _labels(mapped.get(name))


def _extended(calls: Calls, state: State, name: str, current: str | None, wanted: Any) -> Part:
    """Return a variable whose JSON is extended, and never replaced."""
    if json_of(current) == wanted:
        return Part(_subject("", name), Verdict.RIGHT, str(current))
    own = state.own_variables
    path = calls.path("actions", "variables")
    method, path = ("PATCH", f"{path}/{name}") if name in (own or {}) else ("POST", path)
    body = {"name": name, "value": json.dumps(wanted)}
    verdict = Verdict.MISSING if current is None else Verdict.INCOMPLETE
    text = json.dumps(wanted) if current is None else f"{json.dumps(wanted)}, now {current}"
    command, send = calls.command(method, path, body), calls.sender(method, path, body)
    return Part(_subject("", name), verdict, text, (command,), send, readable=own is not None)


def _wrong_list(current: str | None, name: str, files: Collection[str]) -> str:
    """Return what is wrong with a variable that lists environments, "" if nothing is."""
    listed = json_of(current)
    if current is not None and not (isinstance(listed, list) and all(isinstance(one, str) for one in listed)):
        return f'is {current}, and should be a list such as ["{name}"]'
    missing = next((one for one in listed or () if one not in files), None)
    return f"names {missing}, and there is no file environments/{missing}.yml" if missing else ""


def _labels(value: Any) -> tuple[str, ...]:
    return tuple(map(str, value)) if isinstance(value, list) else (str(value),)


def _subject(place: str, name: str) -> str:
    return f"variable {name} of {place}" if place else f"variable {name}"
