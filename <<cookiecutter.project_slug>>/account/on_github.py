"""The one place where checks and setup in AWS meet those on GitHub."""

from __future__ import annotations

from collections.abc import Iterator

from account import github
from account.findings import Finding
from account.steps import Step
from console.errors import Failure
from deploy.dstack.client import Notify
from deploy.environments import Environment


def findings(environment: Environment, notify: Notify) -> Iterator[Finding]:
    """Yield the findings about GitHub."""
    yield from github.findings(environment, notify)


def repository() -> str:
    """Return this repository as GitHub's subject names it, `ORG@ID/REPO@ID`; "" when that can't be found out."""
    try:
        return github.repository().name_in_subjects
    except Failure:
        return ""


def removal(environment: Environment, notify: Notify) -> list[Step]:
    """Return the steps that remove from GitHub what belongs to this environment."""
    return github.removal_steps(environment, notify)
