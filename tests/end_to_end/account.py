"""IAM users of the sandbox's AWS account, and the policies of a generated project as its reader fills them in."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import boto3
import yaml

from sandbox import Sandbox
from sandbox.world.client import request

Policy = dict[str, Any]
Variables = dict[str, str]
REGION = "eu-central-1"


def client(service: str, variables: Variables) -> Any:
    """A client of boto3 with the keys and the endpoint that the variables name."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL")
    return _client(service, *(variables[name] for name in names))


@cache  # reading the description of EC2 takes half a second
def _client(service: str, key_id: str, secret: str, url: str) -> Any:
    return boto3.Session(key_id, secret, region_name=REGION).client(service, endpoint_url=url)


def key(sandbox: Sandbox, *policies: Policy) -> Variables:
    """The variables of a new user who has these policies and nothing else."""
    iam = client("iam", sandbox.aws.environ)
    name = f"user-{len(iam.list_users()['Users'])}"
    iam.create_user(UserName=name)
    for number, policy in enumerate(policies):
        iam.put_user_policy(UserName=name, PolicyName=f"policy-{number}", PolicyDocument=json.dumps(policy))
    made = iam.create_access_key(UserName=name)["AccessKey"]
    changed = {"AWS_ACCESS_KEY_ID": made["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": made["SecretAccessKey"]}
    return sandbox.aws.environ | changed


def policy(project: Path, name: str, **words: str) -> Policy:
    """policies/<name>.json with the words in it that a person has to replace."""
    text = (project / "policies" / f"{name}.json").read_text("utf-8")
    for placeholder, value in words.items():
        text = text.replace(placeholder, value)
    found: Policy = json.loads(text)
    return found


def actions(*policies: Policy) -> set[str]:
    """All actions that policies allow."""
    return {action for policy in policies for one in policy["Statement"] for action in _list(one["Action"])}


def without(policy: Policy, *lacking: str) -> Policy:
    """The policy with these actions less."""
    less = [
        one | {"Action": [kept for kept in _list(one["Action"]) if kept not in lacking]} for one in policy["Statement"]
    ]
    return policy | {"Statement": [one for one in less if one["Action"]]}


def asked(sandbox: Sandbox, variables: Variables) -> set[tuple[str, int]]:
    """What the user of this key has asked of AWS: `service:Action` and the status of the answer."""
    own = [call for call in sandbox.aws.calls() if call.identity == variables["AWS_ACCESS_KEY_ID"]]
    return {(f"{call.service}:{call.action}", call.status) for call in own}


def give_to_dstack(sandbox: Sandbox, variables: Variables) -> None:
    """Let the dstack server work in AWS with this key."""
    creds = {
        "type": "access_key",
        "access_key": variables["AWS_ACCESS_KEY_ID"],
        "secret_key": variables["AWS_SECRET_ACCESS_KEY"],
    }
    config = yaml.safe_dump(sandbox.aws.backend | {"creds": creds})
    url = f"{sandbox.url}/api/project/{sandbox.project}/backends/update_yaml"
    request("POST", url, sandbox.token, {"config_yaml": config})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
