"""The parts that are secrets. Their values can't be read: an existing secret is right."""

import shlex

from account.github.answers import SecretValues
from account.github.parts import Calls, Part, Verdict
from account.github.state import State


def secret(
    calls: Calls, state: State, place: str, name: str, values: SecretValues, *, asked_as: str, text: str
) -> Part:
    """Return a secret of a GitHub environment. `asked_as` is its name where somebody types or pipes the value."""
    subject = f"secret {name} of {place}"
    present, repository = state.has_secret(place, name), calls.repository.full_name
    command = shlex.join(["gh", "secret", "set", name, "--env", place, "--repo", repository])
    if present:
        return Part(subject, Verdict.RIGHT, "is set; its value can't be read", (command,))

    def carry_out() -> None:
        calls.gh.set_secret(repository, place, name, values.value(asked_as, command))

    return Part(subject, Verdict.MISSING, text, (command,), carry_out, readable=present is not None)
