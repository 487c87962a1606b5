"""Runs the checks of `inv doctor`: each one says what it needs, and one that fails stops only those that need it."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from account.findings import Finding, bad, good, not_checked
from console.errors import Failure


class Unpermitted(Failure):
    """A refusal that may be for lack of rights. `permission`: the one that is missing, "" for another reason."""

    permission = ""


class NotCheckedError(Exception):
    """Ends a check that can't be made here. The text says why. It is no failure."""


@dataclass(frozen=True)
class Check:
    """One check. `look` returns what it found, or raises Failure or NotCheckedError. `needs`: names of other checks."""

    name: str
    look: Callable[[], str]
    needs: tuple[str, ...] = ()


def findings(checks: Iterable[Check]) -> Iterator[Finding]:
    """Yield the finding of each check, in order. A check whose needs did not pass is not made."""
    passed: dict[str, bool] = {}
    for check in checks:
        lacking = [name for name in check.needs if not passed.get(name, True)]
        found = not_checked(check.name, f"not checked: needs {', '.join(lacking)}") if lacking else _look(check)
        passed[check.name] = bool(found.ok)
        yield found


def _look(check: Check) -> Finding:
    try:
        return good(check.name, check.look())
    except NotCheckedError as reason:
        return not_checked(check.name, f"not checked: {reason}")
    except Unpermitted as refused:
        if refused.permission:
            why = f"your AWS user or role lacks {refused.permission}; policies/doctor.json has it"
            return not_checked(check.name, f"not checked: {why}")
        return bad(check.name, refused)
    except Failure as failure:
        return bad(check.name, failure)
