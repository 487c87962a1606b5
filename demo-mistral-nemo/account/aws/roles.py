"""The IAM roles that GitHub's jobs take: one that writes records, one that plans. policies/ says what they may do.

The account trusts GitHub through one OpenID Connect provider, which all its roles share.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from account import files
from account.aws.client import Aws
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.environments import Environment

KINDS = ("dns", "plan")  # files of policies/, and the end of a role's name
GITHUB = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"
REPOSITORY_PLACEHOLDER = "ORG@ORG_ID/REPO@REPO_ID"
REPOSITORY = re.compile(r"[\w.-]+(@\d+)?/[\w.-]+(@\d+)?")
RECORD_NAMES = "route53:ChangeResourceRecordSetsNormalizedRecordNames"
ALARM_ACTIONS, TOPIC_PLACEHOLDER = "cloudwatch:AlarmActions", "TOPIC_ARN"
ALARMS = re.compile(r":alarm:[^/]+/")  # the beginning of the alarms' names


@dataclass(frozen=True)
class Wanted:
    """A role as the files of policies/ want it, filled in."""

    name: str
    kind: str
    trust: Document
    policies: dict[str, Document]  # by the names of their files

    @property
    def files(self) -> str:
        """The files of its policies."""
        return " and ".join(f"policies/{name}.json" for name in self.policies)


@dataclass(frozen=True)
class Role:
    """A role as it is in AWS. `policies`: its inline policies, by name."""

    name: str
    trust: Document
    policies: dict[str, Document]
    tags: tuple[Document, ...]

    @property
    def repository(self) -> str:
        """The GitHub repository whose jobs may take the role, as its trust policy says it; "" when there is none."""
        return repository_in(self.trust)


def role_name(environment: Environment, kind: str) -> str:
    """Return the name of a role of this service, such as `mistral-nemo-dns`."""
    return f"{environment.run_name}-{kind}"


def provider_arn(account: str) -> str:
    """Return the name of the account's provider for GitHub's jobs."""
    return f"arn:aws:iam::{account}:oidc-provider/{GITHUB}"


def wanted(environment: Environment, kind: str, *, account: str, zone: str, repository: str) -> Wanted:
    """Return a role as policies/ wants it, for this environment. `repository`: as GitHub's subject names it."""
    filled = {"ACCOUNT_ID": account, "ZONE_ID": zone, REPOSITORY_PLACEHOLDER: repository}
    trust = json.dumps(files.policy(f"{kind}-trust")).replace(":environment:prod", f":environment:{environment.name}")
    policies = json.dumps({name: _with_names(files.policy(name), environment) for name in _policies(environment, kind)})
    for placeholder, value in filled.items():
        trust, policies = trust.replace(placeholder, value), policies.replace(placeholder, value)
    return Wanted(role_name(environment, kind), kind, json.loads(trust), json.loads(policies))


def read(aws: Aws, name: str) -> Role | None:
    """Return a role with its inline policies; None when there is none."""
    found = aws.find("iam", "get_role", RoleName=name)
    if found is None:
        return None
    names = aws.ask("iam", "list_role_policies", RoleName=name)["PolicyNames"]
    policies = {
        one: aws.ask("iam", "get_role_policy", RoleName=name, PolicyName=one)["PolicyDocument"] for one in names
    }
    role = found["Role"]
    return Role(name, role["AssumeRolePolicyDocument"], policies, tuple(role.get("Tags", [])))


def repository_in(trust: Document) -> str:
    """Return the GitHub repository in a trust policy; "" when there is none, or a placeholder."""
    found = re.search(r'"repo:([^":]+):environment:', json.dumps(trust))
    return found[1] if found and found[1] != REPOSITORY_PLACEHOLDER else ""


def flaws(role: Role, wanted: Wanted) -> list[str]:
    """Return what differs between a role and what policies/ want of it."""
    found = [] if same(role.trust, wanted.trust) else [f"trusts {subjects(role.trust)}, not {subjects(wanted.trust)}"]
    return [*found, *(f"has no policy that says what policies/{name}.json says" for name in lacking(role, wanted))]


def lacking(role: Role, wanted: Wanted) -> list[str]:
    """Return the names of the policies that a role lacks, or has with another content."""
    return [name for name, one in wanted.policies.items() if not any(same(had, one) for had in role.policies.values())]


def examine(role: Role | None, wanted: Wanted, environment: Environment) -> str:
    """Return what a good role allows. Fails with ACCOUNT_INCOMPLETE when it is not there, or differs."""
    remedy = f"run `inv setup.aws --env {environment.name}`"
    if role is None:
        problem = f"there is no role {wanted.name}, so GitHub's jobs can't sign in"
        raise Failure(ExitCode.ACCOUNT_INCOMPLETE, problem, remedy)
    if found := flaws(role, wanted):
        raise Failure(ExitCode.ACCOUNT_INCOMPLETE, f"role {role.name} {' and '.join(found)}", remedy)
    return f"{role.name} allows what {wanted.files} says, to {subjects(wanted.trust)}"


def provider_flaw(aws: Aws, account: str) -> str:
    """Return why GitHub's jobs can't sign in through the account's provider; "" when they can."""
    provider = aws.find("iam", "get_open_id_connect_provider", OpenIDConnectProviderArn=provider_arn(account))
    if provider is None:
        return f"account {account} has no OpenID Connect provider {GITHUB}"
    if AUDIENCE not in provider.get("ClientIDList", []):
        return f"the provider {GITHUB} of account {account} does not take the audience {AUDIENCE}"
    return ""


def subjects(trust: Document) -> str:
    """Return which subjects a trust policy names, as text."""
    found = re.findall(r'"(repo:[^"]+)"', json.dumps(trust))
    return ", ".join(dict.fromkeys(found)) or "other subjects"


def same(one: Any, other: Any) -> bool:
    """Return whether two policies say the same. Order does not count, nor a list around a single value."""
    return bool(_normal(one) == _normal(other))


def _normal(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _normal(inner) for key, inner in value.items()}
    if isinstance(value, list):
        inner = sorted((_normal(one) for one in value), key=str)
        return inner[0] if len(inner) == 1 else inner
    return value


def _policies(environment: Environment, kind: str) -> tuple[str, ...]:
    """Return the names of the policies of a role. Who writes the records recovers gateways, and writes the alarms."""
    if kind != "dns":
        return (kind,)
    return (kind, "recover", "alarms") if environment.alarms else (kind, "recover")


def _with_names(policy: Document, environment: Environment) -> Document:
    """Return the policy for the records and alarms of this environment. The file names those of `prod`."""
    names = [environment.host, f"_owner.{environment.host}"]
    topic = [environment.alarms.topic] if environment.alarms and environment.alarms.topic else []
    statements: Iterable[Document] = policy["Statement"]
    for statement in statements:
        for keys in statement.get("Condition", {}).values():
            if isinstance(keys.get(RECORD_NAMES), list):
                keys[RECORD_NAMES] = names
            if isinstance(keys.get(ALARM_ACTIONS), list):
                keys[ALARM_ACTIONS] = [one for one in keys[ALARM_ACTIONS] if one != TOPIC_PLACEHOLDER] + topic
        if isinstance(named := statement.get("Resource"), str):
            statement["Resource"] = ALARMS.sub(f":alarm:{environment.run_name}/", named)
    return policy
