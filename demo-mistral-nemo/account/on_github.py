"""The one place where checks and setup in AWS meet those on GitHub."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from account import github, roles
from account.aws import Aws
from account.findings import Finding
from account.steps import Step
from console.errors import Failure
from deploy.dstack.client import Notify
from deploy.environments import Environment


def findings(environment: Environment, notify: Notify) -> Iterator[Finding]:
    """Yield the findings about GitHub."""
    yield from github.findings(environment, notify)


def steps(environment: Environment, answers: github.Answers, notify: Notify) -> list[Step]:
    """Return what `inv setup.github` makes. Roles that no flag names are those of `inv setup.aws`, if they exist."""
    if environment.dns:
        deploy_role = answers.deploy_role or _role_arn(environment, "dns")
        plan_role = answers.plan_role or _role_arn(environment, "plan")
        answers = replace(answers, deploy_role=deploy_role, plan_role=plan_role)
    return github.steps(environment, answers, notify)


def repository() -> str:
    """Return this repository as GitHub's subject names it, `ORG@ID/REPO@ID`; "" when that can't be found out."""
    try:
        return github.repository().name_in_subjects
    except Failure:
        return ""


def removal(environment: Environment, notify: Notify) -> list[Step]:
    """Return the steps that remove from GitHub what belongs to this environment."""
    return github.removal_steps(environment, notify)


def _role_arn(environment: Environment, kind: str) -> str:
    """Return the ARN of a role of this service; "" when it does not exist, or AWS can't be asked from here."""
    region, name = (environment.gateway or {}).get("region"), roles.role_name(environment, kind)
    aws = Aws(str(region or "us-east-1"))  # IAM is the same in all regions
    try:
        return f"arn:aws:iam::{aws.account_id()}:role/{name}" if roles.read(aws, name) else ""
    except Failure:
        return ""
