"""The steps that delete what belongs to one environment. The ruleset for tags stays: other environments need it."""

import json
from typing import Any

from account.github.client import Gh, Unavailable
from account.github.parts import Calls
from account.github.repository import repository
from account.github.setup import Notify, names_of
from account.github.state import State, json_of, read_state
from account.steps import Action, Step
from deploy.environments import Environment


def removal_steps(environment: Environment, notify: Notify, gh: Gh | None = None) -> list[Step]:
    """Return the steps that take an environment out of the workflows, then delete its GitHub environments."""
    gh = gh or Gh()
    try:
        found = repository(gh)
    except Unavailable as failure:
        return [Step("GitHub", Action.KEEP, f"not looked at: {failure}")]
    notify(f"reading {found.full_name}")
    calls, state = Calls(gh, found), read_state(gh, found, names_of(environment))
    name, steps = environment.name, []
    if (state.own_variables or {}).get("MAIN_ENVIRONMENT") == name:
        steps.append(_variable(calls, "MAIN_ENVIRONMENT", None))
    for variable in ("ENVIRONMENTS", "GATEWAYS"):
        listed = json_of((state.own_variables or {}).get(variable))
        if isinstance(listed, list) and name in listed:
            steps.append(_variable(calls, variable, [one for one in listed if one != name]))
    mapped = json_of((state.own_variables or {}).get("RUNNERS"))
    if isinstance(mapped, dict) and name in mapped:
        steps.append(_variable(calls, "RUNNERS", {key: value for key, value in mapped.items() if key != name}))
    return [*steps, *_environments(calls, state, environment)]


def _environments(calls: Calls, state: State, environment: Environment) -> list[Step]:
    steps = []
    for name in names_of(environment):
        if found := state.environment(name):
            inside = ", ".join(sorted({*(found.variables or ()), *(found.secrets or ())}))
            path = calls.path("environments", name)
            detail = f"with {inside}" if inside else ""
            command = calls.command("DELETE", path)
            steps.append(Step(f"environment {name}", Action.DELETE, detail, (command,), calls.sender("DELETE", path)))
    return steps


def _variable(calls: Calls, name: str, value: Any) -> Step:
    """Return the step that writes what is left of a variable, or deletes it when nothing is left."""
    path = calls.path("actions", "variables", name)
    if not value:
        command, send = calls.command("DELETE", path), calls.sender("DELETE", path)
        return Step(f"variable {name}", Action.DELETE, "", (command,), send)
    body, text = {"name": name, "value": json.dumps(value)}, json.dumps(value)
    command, send = calls.command("PATCH", path, body), calls.sender("PATCH", path, body)
    return Step(f"variable {name}", Action.CHANGE, text, (command,), send)
