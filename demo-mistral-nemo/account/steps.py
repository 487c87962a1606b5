"""One thing that `inv setup.…` creates, changes or deletes in AWS, on GitHub or in a file of this repository."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from console.errors import Failure
from deploy.documents.files import Document


class Action(StrEnum):
    """What a step does to its subject."""

    UNCHANGED = "unchanged"  # it is as it should be
    CREATE = "create"
    CHANGE = "change"
    DELETE = "delete"
    KEEP = "keep"  # somebody else made it, and it differs: it is shown, and stays as it is


@dataclass(frozen=True)
class Step:
    """One thing that setup makes, changes or deletes.

    `subject` names it ("role mistral-nemo-dns"). `detail` says what is made of it, or why it is kept. `commands` are
    what a person with more rights can type instead. `carry_out` does it; None when there is nothing to do.
    """

    subject: str
    action: Action
    detail: str = ""
    commands: tuple[str, ...] = ()
    carry_out: Callable[[], None] | None = None

    def as_json(self) -> Document:
        """Return the step as `inv setup.… --json` prints it."""
        shown = {"subject": self.subject, "action": str(self.action), "detail": self.detail}
        return {**shown, "commands": list(self.commands)}


class StepRefused(Failure):
    """One step was refused. The other steps can still be carried out."""
