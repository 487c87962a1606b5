"""What only a person knows: who approves, which runner, which roles in AWS, the values of secrets."""

import re
import sys
from dataclasses import dataclass
from io import StringIO

from dotenv import dotenv_values

from account.steps import StepRefused
from console import prompts
from console.errors import ExitCode, Failure
from console.variables import decode

NOBODY = "none"
ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]+")


@dataclass(frozen=True)
class Answers:
    """The flags of `inv setup.github`, as they were typed. "" stands for a flag that was not given."""

    reviewers: str = ""  # "alice,acme/platform", or "none"
    runner: str = ""  # labels: "self-hosted,vpc"
    main: bool = False  # whether a push to main deploys this environment
    watch_gateway: bool = False  # whether the workflow `recover` looks after the environment's gateway
    server_url: str = ""  # of the dstack server, as the runners reach it
    deploy_role: str = ""
    plan_role: str = ""

    def check(self) -> None:
        """Fail with SETTINGS_INVALID for a role that AWS would not know."""
        for flag, role in {"--deploy-role": self.deploy_role, "--plan-role": self.plan_role}.items():
            if role and not ROLE.fullmatch(role):
                remedy = "write e.g. arn:aws:iam::123456789012:role/name"
                raise Failure(ExitCode.SETTINGS_INVALID, f"{flag} is {role!r}, which is no role of AWS", remedy)


def words_of(text: str) -> tuple[str, ...]:
    """Return the parts between commas: () for "none"."""
    words = tuple(word.strip() for word in text.split(",") if word.strip())
    return () if words == (NOBODY,) else words


class SecretValues:
    """The values of secrets: each is typed without echo, or all come through a pipe as lines NAME=value."""

    def __init__(self) -> None:
        self._piped: dict[str, str | None] | None = None

    def value(self, asked_as: str, command: str) -> str:
        """Return a value. Raises StepRefused when there is none: the other steps can go on without it."""
        typed = prompts.ask_hidden(asked_as)
        found = self._from_pipe(asked_as) if typed is None else typed
        if not found:
            remedy = f"run `{command}`, or pipe in a line {asked_as}=value"
            raise StepRefused(ExitCode.ACCOUNT_INCOMPLETE, f"no value for {asked_as}", remedy)
        return found

    def _from_pipe(self, name: str) -> str:
        if self._piped is None:
            text = decode(sys.stdin.buffer.read(), "what was piped in") if sys.stdin else ""
            self._piped = dotenv_values(stream=StringIO(text), interpolate=False)
        return self._piped.get(name) or ""
