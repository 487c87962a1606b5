"""The steps that make, change or delete the roles of GitHub's jobs, and the provider that the account shares."""

from __future__ import annotations

import json
from functools import partial

from account.aws import roles
from account.aws.client import Aws, Call
from account.aws.roles import Role, Wanted
from account.steps import Action, Step
from deploy import ownership
from deploy.documents.files import Document
from deploy.environments import Environment


def provider(aws: Aws, environment: Environment, account: str) -> Step:
    """Return the step for the account's provider. One that exists is used as it is."""
    subject = f"OIDC provider {roles.GITHUB}"
    flaw = roles.provider_flaw(aws, account)
    if not flaw:
        return Step(subject, Action.UNCHANGED, "the account has it")
    if "has no" not in flaw:
        return Step(subject, Action.KEEP, flaw)
    url, tags = f"https://{roles.GITHUB}", ownership.tags(environment)
    made = _iam("create_open_id_connect_provider", Url=url, ClientIDList=[roles.AUDIENCE], Tags=tags)
    return _step(aws, subject, Action.CREATE, "all roles of the account share it", [made])


def make(aws: Aws, environment: Environment, role: Role | None, wanted: Wanted) -> Step:
    """Return the step for a role. A role with other tags is not changed."""
    subject, detail = f"role {wanted.name}", f"{wanted.files}, for {roles.subjects(wanted.trust)}"
    if role is None:
        made = {"AssumeRolePolicyDocument": _text(wanted.trust), "Tags": ownership.tags(environment)}
        calls = [_iam("create_role", RoleName=wanted.name, **made), *_puts(wanted, list(wanted.policies))]
        return _step(aws, subject, Action.CREATE, detail, calls)
    found = roles.flaws(role, wanted)
    if not found:
        return Step(subject, Action.UNCHANGED, detail)
    if not ownership.owns(environment, role.tags):
        return Step(subject, Action.KEEP, f"it was not made for this service, and {' and '.join(found)}")
    trust = _iam("update_assume_role_policy", RoleName=wanted.name, PolicyDocument=_text(wanted.trust))
    calls = ([] if roles.same(role.trust, wanted.trust) else [trust]) + _puts(wanted, roles.lacking(role, wanted))
    return _step(aws, subject, Action.CHANGE, f"it {' and '.join(found)}", calls)


def _puts(wanted: Wanted, names: list[str]) -> list[Call]:
    """Return the calls that give a role its policies of these names."""
    given = [{"PolicyName": name, "PolicyDocument": _text(wanted.policies[name])} for name in names]
    return [_iam("put_role_policy", RoleName=wanted.name, **one) for one in given]


def removal(aws: Aws, environment: Environment, kind: str) -> list[Step]:
    """Return the steps that delete a role which was made for this service."""
    name = roles.role_name(environment, kind)
    role = roles.read(aws, name)
    if role is None:
        return []
    if not ownership.owns(environment, role.tags):
        return [Step(f"role {name}", Action.KEEP, "it was not made for this service")]
    calls = [_iam("delete_role_policy", RoleName=name, PolicyName=policy) for policy in role.policies]
    return [_step(aws, f"role {name}", Action.DELETE, "", [*calls, _iam("delete_role", RoleName=name)])]


def _iam(operation: str, **arguments: object) -> Call:
    return Call("iam", operation, dict(arguments))


def _text(document: Document) -> str:
    return json.dumps(document, separators=(",", ":"))


def _step(aws: Aws, subject: str, action: Action, detail: str, calls: list[Call]) -> Step:
    commands = tuple(call.command(aws.region) for call in calls)
    return Step(subject, action, detail, commands, partial(aws.carry_out, calls))
