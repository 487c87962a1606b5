"""What the dstack server's refusals mean, as a table of its words.

Callers tell three kinds of Failure apart. `Missing`: the server says that the thing does not exist. `Passing`: the
answer says nothing about the question, and asking again may help. Every other Failure is the server's decision.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass

from console.errors import ExitCode, Failure

BUSY = {408, 425, 429}  # statuses below 500 that pass


class Missing(Failure):
    """The run, fleet or gateway that was asked for does not exist."""


class Passing(Failure):
    """The answer says nothing about the question: the server restarts or is busy, or its answer was lost."""


class Foreign(Passing):
    """The answer does not come from a dstack server. A page may hide one that answered before, for a while."""


@dataclass(frozen=True)
class Asked:
    """What was asked, and of whom. Every message needs some of it."""

    url: str
    path: str
    project: str
    file: str  # of the environment
    hint: str  # what to try when the server is not reached
    known: bool  # the server has answered as a dstack server does

    @property
    def documents(self) -> str:
        """The files that a plan sends, such as `environments/prod.yml over dstack/service.dstack.yml`."""
        kind = re.search(r"(\w+)s/get_plan$", self.path)
        return f"{self.file} over dstack/{kind[1].replace('run', 'service') if kind else '*'}.dstack.yml"


@dataclass(frozen=True)
class Refusal:
    """One of dstack's refusals: how to recognise it, and what it means.

    It fits an answer whose status is one of `statuses`, whose message has one of `words`, whose error code is `error`,
    and whose question was a plan if `of_plan`. An empty field fits everything. `problem` and `remedy` may have
    `{reason}`, dstack's message, `{status}`, `{url}`, `{project}`, `{file}` and `{documents}`.
    """

    meaning: ExitCode
    problem: str
    remedy: str = ""
    statuses: Collection[int] = ()
    words: tuple[str, ...] = ()
    error: str = ""
    of_plan: bool = False
    kind: type[Failure] = Failure

    def fits(self, asked: Asked, status: int, reason: str, error: str | None) -> bool:
        """Return whether an answer is this refusal."""
        return (
            (not self.statuses or status in self.statuses)
            and (not self.words or any(word in reason for word in self.words))
            and (not self.error or error == self.error)
            and (not self.of_plan or asked.path.endswith("/get_plan"))
        )

    def failure(self, asked: Asked, status: int, reason: str) -> Failure:
        """Return the Failure with the words of one answer in it."""
        values = {"reason": reason.rstrip("."), "status": status, "url": asked.url, "project": asked.project}
        values |= {"file": asked.file, "documents": asked.documents}
        return self.kind(self.meaning, self.problem.format_map(values), self.remedy.format_map(values))


# The first that fits counts.
REFUSALS = (
    Refusal(
        ExitCode.SERVER_REFUSED,
        "the dstack server answers {status}: {reason}",
        "try again in a minute",
        statuses={*range(500, 600), *BUSY},
        kind=Passing,
    ),
    Refusal(
        ExitCode.PROJECT_MISSING,
        "{url} has no project '{project}'",
        "correct server.project in {file}, or DSTACK_PROJECT",
        statuses={404},
    ),
    Refusal(
        ExitCode.TOKEN_REFUSED,
        "{url} refuses the token: {reason}",
        "set DSTACK_TOKEN, in .env or the shell",
        statuses={401, 403},
        words=("Invalid token", "Not authenticated"),
    ),
    Refusal(
        ExitCode.TOKEN_REFUSED,
        "{url} refuses this to your user: {reason}",
        "ask for a role in project {project}",
        statuses={401, 403},
    ),
    Refusal(ExitCode.SETTINGS_INVALID, "dstack does not take {documents}: {reason}", statuses={422}, of_plan=True),
    Refusal(ExitCode.SERVER_REFUSED, "{reason}", error="resource_not_exists", kind=Missing),
    Refusal(
        ExitCode.SERVER_REFUSED,
        "the dstack server is busy: {reason}",
        "try again in a minute",
        words=("is being processed currently",),
        kind=Passing,
    ),
    Refusal(
        ExitCode.SERVER_REFUSED,
        "{reason}",
        'upgrade the server first: "Upgrading dstack" in the CHANGELOG.md of the template',
        words=("is incompatible with the server version",),
    ),
    Refusal(ExitCode.STILL_THERE, "{reason}", "run it again in a minute", words=("is being deleted",)),
    Refusal(
        ExitCode.GATEWAY_FAILED,
        "an earlier deploy could not start the gateway",
        "see the reason with `inv gateway.status`, then run `inv gateway.destroy --allow-outage` and `inv deploy`",
        words=("is in FAILED status",),
    ),
    Refusal(
        ExitCode.PLAN_OUTDATED,
        "somebody changed it meanwhile ({reason})",
        "run `inv plan` again",
        words=("Resource has been changed", "Cannot override active run"),
    ),
    Refusal(ExitCode.SERVER_REFUSED, "the dstack server refused ({status}): {reason}"),
)
