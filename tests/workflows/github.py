"""GitHub's side of the stand-in for gh: a repository's issues, pull requests and comments, and who may what."""

from __future__ import annotations

import os
from typing import Any

Entry = dict[str, Any]  # an issue or a pull request, its keys as gh's --json names them
KINDS = {"issue": "issues", "pr": "pulls"}


class Refused(Exception):  # noqa: N818
    """What gh prints before it ends with `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Github:
    """The repository, as the token's user sees it."""

    def __init__(self, state: Entry) -> None:
        self.token = os.environ.get("GH_TOKEN") or os.environ.get("GITHUB_TOKEN") or ""
        if not self.token:
            message = "To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable."
            raise Refused(message, 4)
        if self.token not in state["tokens"]:
            raise Refused("HTTP 401: Bad credentials (https://api.github.com/graphql)")
        self.login = state["tokens"][self.token]
        self.state = state
        self.url = f"https://github.com/{state['repository']}"

    def may(self, *scopes: str, write: bool = True) -> None:
        """Raises Refused unless the token has one of these permissions."""
        if self.login != "github-actions[bot]":
            return  # an app's, which has them all
        granted = self.state["permissions"].get(os.environ["GITHUB_JOB"], {})
        enough = ["write"] if write else ["read", "write"]
        if (write and self.state["read_only"]) or not any(granted.get(scope) in enough for scope in scopes):
            raise Refused("HTTP 403: Resource not accessible by integration")

    def entries(self, kind: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = self.state.setdefault(KINDS[kind], {})
        return entries

    def find(self, kind: str, number: str) -> Entry:
        try:
            return self.entries(kind)[number]
        except KeyError:
            raise Refused(f"GraphQL: Could not resolve to an issue or pull request with number {number}.") from None

    def number(self) -> int:
        """The next issue's or pull request's, or comment's."""
        self.state["numbers"] = self.state.get("numbers", 100) + 1
        number: int = self.state["numbers"]
        return number

    def labels(self, names: list[str]) -> list[Entry]:
        """Raises Refused for a label that nobody made."""
        for name in names:
            if name not in self.state.get("labels", []):
                raise Refused(f"could not add label: '{name}' not found")
        return [{"name": name} for name in names]
