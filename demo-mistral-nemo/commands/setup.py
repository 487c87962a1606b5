"""What a service needs in an AWS account and on GitHub."""

from __future__ import annotations

from typing import TYPE_CHECKING

import account
import console
from commands.command import command

if TYPE_CHECKING:
    from deploy.environments import Environment


@command
def setup_aws(
    environment: Environment,
    vpc: str = "",
    server_cidr: str = "",
    caller_cidr: str = "",
    repository: str = "",
    yes: bool = False,
    dry_run: bool = False,
    print: bool = False,
    json: bool = False,
) -> None:
    """Make what this service needs in AWS: security group, roles for GitHub's jobs.

    Writes the id of the VPC into the environment's file. Shows the steps and asks first. What others made stays.
    """
    answers = account.aws.answers.Answers(
        vpc, server_cidr, caller_cidr, repository, yes=yes or print or dry_run or json
    )
    steps, question = account.aws.setup.steps(environment, answers), f"Make this in AWS for {environment.name}?"
    account.execution.perform(steps, question, yes=yes, dry_run=dry_run, only_print=print, json=json)


@command
def setup_github(
    environment: Environment,
    reviewers: str = "",
    runner: str = "",
    main: bool = False,
    watch_gateway: bool = False,
    server_url: str = "",
    deploy_role: str = "",
    plan_role: str = "",
    yes: bool = False,
    dry_run: bool = False,
    print: bool = False,
    json: bool = False,
) -> None:
    """Make what the workflows need on GitHub.

    Environments with reviewers, variables, secrets, a rule for tags. Shows the steps and asks first.
    """
    answers = account.github.Answers(reviewers, runner, main, watch_gateway, server_url, deploy_role, plan_role)
    steps = account.setup.on_github(environment, answers, console.terminal.progress.print)
    question = f"Make this on GitHub for {environment.name}?"
    account.execution.perform(steps, question, yes=yes, dry_run=dry_run, only_print=print, json=json)


@command
def setup_remove(
    environment: Environment, yes: bool = False, dry_run: bool = False, print: bool = False, json: bool = False
) -> None:
    """Delete what `inv setup.…` made for this service, in AWS and on GitHub.

    Shows it and asks first. What the account shares, and what others made, stays.
    """
    steps = account.setup.removal(environment, console.terminal.progress.print)
    question = f"Delete this of {environment.run_name}?"
    account.execution.perform(steps, question, yes=yes, dry_run=dry_run, only_print=print, json=json)
