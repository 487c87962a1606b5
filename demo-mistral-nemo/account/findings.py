"""The result of one check of `inv doctor`."""

from dataclasses import dataclass

from console.errors import Failure
from deploy.documents.files import Document


@dataclass(frozen=True)
class Finding:
    """The result of one check: good, failed, or not checked because something that it needs is not there."""

    check: str
    text: str
    failure: Failure | None = None
    checked: bool = True

    @property
    def ok(self) -> bool | None:
        """Return whether the check passed; None when nothing was checked."""
        return self.failure is None if self.checked else None

    def as_json(self) -> Document:
        """Return the finding as `inv doctor --json` prints it."""
        remedy = self.failure.remedy if self.failure else ""
        return {"check": self.check, "ok": self.ok, "text": self.text, "remedy": remedy}


def good(check: str, text: str) -> Finding:
    """Return the finding of a check that passed."""
    return Finding(check, text)


def bad(check: str, failure: Failure) -> Finding:
    """Return the finding of a check that failed."""
    return Finding(check, failure.problem, failure)


def not_checked(check: str, why: str) -> Finding:
    """Return the finding of a check that could not be made here. It is no failure."""
    return Finding(check, why, checked=False)
