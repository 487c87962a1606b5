"""The steps of `inv setup.aws` and `inv setup.remove` in AWS: what one service needs there.

VPC, hosted zone and dstack server exist once an account. They are not made here; docs/account.md says how.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from account import files, github
from account.aws import group_steps, network, role_steps, roles
from account.aws.answers import Answers
from account.aws.client import Aws
from account.aws.network import PLACEHOLDER, Vpc
from account.aws.zone import zone_id
from account.steps import Action, Step
from deploy.environments import Environment


def steps(environment: Environment, answers: Answers) -> list[Step]:
    """Return what there is to do, in order: nothing without a gateway in AWS. Asks for what is not known."""
    if not _is_in_aws(environment):
        return [Step("AWS", Action.UNCHANGED, f"{environment.file} has no gateway there, so the service needs nothing")]
    aws = Aws(str((environment.gateway or {})["region"]))
    return list(_steps(aws, environment, answers))


def removal(environment: Environment) -> list[Step]:
    """Return the steps that delete what was made for this service in AWS."""
    if not _is_in_aws(environment):
        return []
    aws = Aws(str((environment.gateway or {})["region"]))
    found = [step for kind in roles.KINDS for step in role_steps.removal(aws, environment, kind)]
    found += group_steps.removal(aws, _without_placeholder(environment))
    if not roles.provider_flaw(aws, aws.account_id()):
        found.append(Step(f"OIDC provider {roles.GITHUB}", Action.KEEP, "all roles of the account share it"))
    return found


def _steps(aws: Aws, environment: Environment, answers: Answers) -> Iterator[Step]:
    vpc = _vpc(aws, environment, answers)
    if environment.dns and environment.dns.vpc_id:
        yield _file_step(environment, vpc)
        environment = replace(environment, dns=environment.dns.model_copy(update={"vpc_id": vpc.id}))
    yield group_steps.make(aws, environment, vpc, answers)
    if environment.dns and files.has_workflows():
        yield from _role_steps(aws, environment, answers)


def _role_steps(aws: Aws, environment: Environment, answers: Answers) -> Iterator[Step]:
    account, zone = aws.account_id(), zone_id(aws, environment)
    yield role_steps.provider(aws, environment, account)
    found = {kind: roles.read(aws, roles.role_name(environment, kind)) for kind in roles.KINDS}
    written = [roles.repository_in(files.policy(f"{kind}-trust")) for kind in roles.KINDS]
    trusted = [role.repository for role in found.values() if role]
    repository = answers.chosen_repository(*written, github.name_in_subjects(), *trusted)
    for kind, role in found.items():
        wanted = roles.wanted(environment, kind, account=account, zone=zone, repository=repository)
        yield role_steps.make(aws, environment, role, wanted)


def _vpc(aws: Aws, environment: Environment, answers: Answers) -> Vpc:
    """Return the VPC of the flag or of the environment's file, else the answer to a question."""
    written = environment.dns.vpc_id if environment.dns else None
    if written and written != PLACEHOLDER and not answers.vpc:
        return network.vpc(aws, written)
    return answers.chosen_vpc(network.vpcs(aws), aws.region)


def _file_step(environment: Environment, vpc: Vpc) -> Step:
    written = environment.dns.vpc_id if environment.dns else None
    if written == vpc.id:
        return Step(environment.file, Action.UNCHANGED, f"dns.vpc_id: {vpc}")
    command = f"# {environment.file}: write dns.vpc_id: {vpc.id}"
    write = partial(files.write_vpc, environment.name, vpc.id)
    return Step(environment.file, Action.CHANGE, f"dns.vpc_id: {vpc}, was {written}", (command,), write)


def _is_in_aws(environment: Environment) -> bool:
    return environment.gateway is not None and environment.gateway.get("backend") == "aws"


def _without_placeholder(environment: Environment) -> Environment:
    """Return the environment without a VPC that was never filled in: the group is looked for in all VPCs then."""
    if environment.dns and environment.dns.vpc_id == PLACEHOLDER:
        return replace(environment, dns=environment.dns.model_copy(update={"vpc_id": None}))
    return environment
