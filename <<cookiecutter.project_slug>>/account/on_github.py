"""The one place where checks and setup in AWS meet those on GitHub."""

from __future__ import annotations

from collections.abc import Iterator

from account.findings import Finding
from account.steps import Step
from deploy.dstack.client import Notify
from deploy.environments import Environment


def findings(environment: Environment, notify: Notify) -> Iterator[Finding]:
    """Yield the findings about GitHub."""
    yield from ()


def repository() -> str:
    """Return this repository as GitHub's subject names it, `ORG@ID/REPO@ID`; "" when that can't be found out."""
    return ""


def removal(environment: Environment) -> list[Step]:
    """Return the steps that remove from GitHub what belongs to this environment."""
    return []
