"""One part of the setup: how it compares with what exists, as a finding and as a step."""

import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from account.findings import Finding, bad, good, not_checked
from account.github.client import Gh
from account.github.repository import PUBLIC_HOST, Repository
from account.steps import Action, Step
from console.errors import ExitCode, Failure
from deploy.documents.files import Document


class Verdict(Enum):
    """How a part compares with what exists. The value is what setup does about it."""

    RIGHT = Action.UNCHANGED
    MISSING = Action.CREATE
    INCOMPLETE = Action.CHANGE  # something is added to it, and nothing is taken away
    DIFFERENT = Action.KEEP  # somebody chose otherwise


@dataclass(frozen=True)
class Part:
    """One part: a GitHub environment, a variable, a secret, the ruleset for tags.

    `readable` is False where you may not see whether it exists. `optional` parts are no failure when they are missing.
    """

    subject: str
    verdict: Verdict
    text: str = ""
    commands: tuple[str, ...] = ()
    carry_out: Callable[[], None] | None = None
    readable: bool = True
    optional: bool = False

    def finding(self, environment: str) -> Finding:
        """Return the part as `inv doctor` shows it."""
        check = f"GitHub: {self.subject}"
        if not self.readable:
            return not_checked(check, "only people with more rights may see it")
        if self.verdict is Verdict.RIGHT or self.optional:
            return good(check, self.text)
        remedy = self.commands[0] if self.verdict is Verdict.DIFFERENT and self.commands else ""
        remedy = f"run {remedy}" if remedy else f"run `inv setup.github --env {environment}`"
        state = "is missing on GitHub" if self.verdict is Verdict.MISSING else self.text
        problem = f"{self.subject} {state}" if self.verdict is Verdict.MISSING else f"{self.subject}: {state}"
        return bad(check, Failure(ExitCode.ACCOUNT_INCOMPLETE, problem, remedy))

    def step(self) -> Step:
        """Return the part as `inv setup.github` shows and makes it."""
        action = self.verdict.value
        detail = self.text if self.readable else f"{self.text} (you may not see whether it exists)"
        if self.carry_out is None and action is not Action.UNCHANGED:
            action = Action.KEEP
        todo = self.carry_out if action in (Action.CREATE, Action.CHANGE) else None
        return Step(self.subject, action, detail, self.commands if todo else (), todo)


@dataclass(frozen=True)
class Calls:
    """Calls to one repository, as functions to run and as commands to paste."""

    gh: Gh
    repository: Repository

    def path(self, *words: str) -> str:
        """Return a path below the repository in GitHub's API."""
        return "/".join((self.repository.path, *words))

    def sender(self, method: str, path: str, body: Document | None = None) -> Callable[[], None]:
        """Return the function that sends this."""
        return lambda: self.gh.send(method, path, body)

    def command(self, method: str, path: str, body: Document | None = None) -> str:
        """Return the command that sends this. It works in any folder."""
        host = () if self.repository.host == PUBLIC_HOST else ("--hostname", self.repository.host)
        words = ["gh", "api", "--silent", *host, "--method", method, path]
        if body is None:
            return shlex.join(words)
        return f"echo {shlex.quote(json.dumps(body))} | {shlex.join([*words, '--input', '-'])}"
