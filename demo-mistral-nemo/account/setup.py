"""The steps of `inv setup.github` and `inv setup.remove`, where AWS and GitHub have to fit together."""

from dataclasses import replace

from account import aws, github
from account.aws import roles
from account.aws.client import Aws
from account.steps import Step
from console.errors import Failure
from deploy.dstack.client import Notify
from deploy.environments import Environment


def on_github(environment: Environment, answers: github.Answers, notify: Notify) -> list[Step]:
    """Return what `inv setup.github` makes. Roles that no flag names are those of `inv setup.aws`, if they exist."""
    if environment.dns:
        deploy_role = answers.deploy_role or _role_arn(environment, "dns")
        plan_role = answers.plan_role or _role_arn(environment, "plan")
        answers = replace(answers, deploy_role=deploy_role, plan_role=plan_role)
    return github.steps(environment, answers, notify)


def removal(environment: Environment, notify: Notify) -> list[Step]:
    """Return the steps that delete what was made for this service, on GitHub and in AWS."""
    return [*github.removal_steps(environment, notify), *aws.setup.removal(environment)]


def _role_arn(environment: Environment, kind: str) -> str:
    """Return the ARN of a role of this service; "" when it does not exist, or AWS can't be asked from here."""
    region, name = (environment.gateway or {}).get("region"), roles.role_name(environment, kind)
    account = Aws(str(region or "us-east-1"))  # IAM is the same in all regions
    try:
        return f"arn:aws:iam::{account.account_id()}:role/{name}" if roles.read(account, name) else ""
    except Failure:
        return ""
