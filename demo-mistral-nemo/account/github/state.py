"""Reads what exists on GitHub."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from account.github.client import Gh, Refused
from account.github.repository import Repository
from deploy.documents.files import Document

T = TypeVar("T")
Pattern = tuple[str, str]  # "branch" or "tag", and what its name looks like


@dataclass(frozen=True)
class GithubEnvironment:
    """A GitHub environment. None stands for what you may not read."""

    name: str
    answer: Document
    patterns: frozenset[Pattern] = frozenset()
    variables: dict[str, str] | None = field(default_factory=dict)
    secrets: frozenset[str] | None = frozenset()

    def rule(self, kind: str) -> Document:
        """Return a protection rule, {} without one."""
        rules: list[Document] = self.answer.get("protection_rules") or []
        return next((rule for rule in rules if rule.get("type") == kind), {})

    @property
    def reviewers(self) -> list[Document]:
        """The reviewers as GitHub shows them."""
        found: list[Document] = self.rule("required_reviewers").get("reviewers") or []
        return found

    @property
    def branch_policy(self) -> Document | None:
        """Which branches and tags may deploy: None stands for all."""
        return self.answer.get("deployment_branch_policy")

    def body(self, **changed: Any) -> Document:
        """Return what GitHub takes to change the environment. It forgets each rule that is not sent again."""
        kept = [{"type": one["type"], "id": one["reviewer"]["id"]} for one in self.reviewers]
        body: Document = {
            "wait_timer": self.rule("wait_timer").get("wait_timer", 0),
            "prevent_self_review": bool(self.rule("required_reviewers").get("prevent_self_review")),
            "reviewers": kept,
            "deployment_branch_policy": self.branch_policy,
        }
        return body | changed


@dataclass(frozen=True)
class State:
    """What the repository has on GitHub. None stands for what you may not read."""

    repository: Repository
    environments: dict[str, GithubEnvironment] | None
    own_variables: dict[str, str] | None
    inherited_variables: dict[str, str]  # of the organization
    secrets: frozenset[str] | None
    tag_rulesets: tuple[Document, ...] | None

    def environment(self, name: str) -> GithubEnvironment | None:
        """Return a GitHub environment, None if it is missing or not readable."""
        return (self.environments or {}).get(name)

    def variable(self, environment: str, name: str) -> str | None:
        """Return what a job reads: the variable of its GitHub environment, else the repository's, else all others'."""
        own = self.variables_of(environment) or {}
        return {**self.inherited_variables, **(self.own_variables or {}), **own}.get(name)

    def variables_of(self, environment: str) -> dict[str, str] | None:
        """Return what is set in a GitHub environment itself; for "", in the repository itself."""
        if not environment:
            return self.own_variables
        found = self.environment(environment)
        return found.variables if found else {}

    def has_secret(self, environment: str, name: str) -> bool | None:
        """Return whether a job of this GitHub environment gets the secret; None when you may not see it."""
        found = self.environment(environment)
        places = (found.secrets if found else frozenset(), self.secrets)
        if any(name in place for place in places if place is not None):
            return True
        return None if None in places else False


def read_state(gh: Gh, repository: Repository, names: tuple[str, ...]) -> State:
    """Return what the repository has. Variables and secrets are read of the GitHub environments in `names`."""
    path = repository.path
    listed = _allowed(lambda: gh.all_of(f"{path}/environments", "environments"))
    environments = None
    if listed is not None:
        environments = {one["name"]: _environment(gh, path, one, one["name"] in names) for one in listed}
    return State(
        repository=repository,
        environments=environments,
        own_variables=_values(gh, f"{path}/actions/variables"),
        inherited_variables=_values(gh, f"{path}/actions/organization-variables") or {},
        secrets=_united(_names(gh, f"{path}/actions/organization-secrets"), _names(gh, f"{path}/actions/secrets")),
        tag_rulesets=_allowed(lambda: _tag_rulesets(gh, path)),
    )


def json_of(text: str | None) -> Any:
    """Return the value of a variable that has JSON, None for no JSON."""
    try:
        return json.loads(text or "null")
    except ValueError:
        return None


def _environment(gh: Gh, repository: str, answer: Document, whole: bool) -> GithubEnvironment:
    name = answer["name"]
    if not whole:
        return GithubEnvironment(name, answer)
    path = f"{repository}/environments/{name}"
    patterns = []
    if (answer.get("deployment_branch_policy") or {}).get("custom_branch_policies"):
        patterns = gh.all_of(f"{path}/deployment-branch-policies", "branch_policies")
    return GithubEnvironment(
        name,
        answer,
        frozenset((one.get("type", "branch"), one["name"]) for one in patterns),
        _values(gh, f"{path}/variables"),
        _names(gh, f"{path}/secrets"),
    )


def _tag_rulesets(gh: Gh, path: str) -> tuple[Document, ...]:
    """Return the active rulesets for tags, with their rules."""
    listed = gh.all_of(f"{path}/rulesets?includes_parents=true")
    found = [one for one in listed if one.get("target") == "tag" and one.get("enforcement") == "active"]
    return tuple(gh.get(f"{path}/rulesets/{one['id']}?includes_parents=true") for one in found)


def _values(gh: Gh, path: str) -> dict[str, str] | None:
    return _allowed(lambda: {one["name"]: one["value"] for one in gh.all_of(path, "variables")})


def _names(gh: Gh, path: str) -> frozenset[str] | None:
    return _allowed(lambda: frozenset(one["name"] for one in gh.all_of(path, "secrets")))


def _allowed(read: Callable[[], T]) -> T | None:
    """Return what was read, None when GitHub refuses to show it."""
    try:
        return read()
    except Refused:
        return None


def _united(organization: frozenset[str] | None, own: frozenset[str] | None) -> frozenset[str] | None:
    """Return the repository's secrets with the organization's. A person's account has no organization."""
    return None if own is None else own | (organization or frozenset())
