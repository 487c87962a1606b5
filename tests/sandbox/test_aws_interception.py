"""What stands before every call to the emulated AWS: IAM's judgement, and faults."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from sandbox import Sandbox, SandboxError
from sandbox.aws.api.iam import Demand, demands, refused
from tests.end_to_end.account import REGION, Policy, Variables, client, key

ALL: Policy = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": "*"}}
ZONE = "arn:aws:route53:::hostedzone/Z1"


@pytest.fixture(scope="module")
def _account() -> Iterator[Sandbox]:
    with Sandbox(server=False, aws=True) as sandbox:
        yield sandbox


@pytest.fixture
def account(_account: Sandbox) -> Iterator[Sandbox]:
    yield _account
    _account.faults.clear()


def once(account: Sandbox, service: str) -> Any:
    """A client that asks once, and doesn't try again."""
    environ = account.aws.environ
    session = boto3.Session(environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], region_name=REGION)
    patience = Config(retries={"mode": "standard", "total_max_attempts": 1})
    return session.client(service, endpoint_url=environ["AWS_ENDPOINT_URL"], config=patience)


# ---- IAM ----


def statement(effect: str = "Allow", action: Any = "*", resource: Any = "*", condition: Any = None) -> dict[str, Any]:
    return {"Effect": effect, "Action": action, "Resource": resource, "Condition": condition or {}}


@pytest.mark.parametrize(
    ("statements", "permitted"),
    [
        ([], False),
        ([statement(action="route53:list*")], True),
        ([statement(action=["ec2:*", "route53:Get*"])], False),
        ([statement(resource="arn:aws:route53:::hostedzone/*")], True),
        ([statement(resource=["arn:aws:route53:::hostedzone/Z2"])], False),
        ([statement(), statement("Deny", resource=ZONE)], False),
        ([statement(condition={"StringEquals": {"color": ["red", "blue"]}})], True),
        ([statement(condition={"StringEquals": {"color": "blue"}})], False),
        ([statement(condition={"StringEquals": {"size": "small"}})], False),
        ([statement(condition={"ForAllValues:StringEquals": {"size": "small"}})], True),  # nothing is all of nothing
        ([statement(condition={"Null": {"size": "false"}})], False),
        ([statement(condition={"Null": {"color": "false"}})], True),
        ([statement(condition={"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}})], False),  # not evaluated: not fulfilled
    ],
)
def test_how_a_policy_is_read(statements: list[dict[str, Any]], permitted: bool) -> None:
    demand = Demand("route53:ListResourceRecordSets", ZONE, {"color": ["red"]})
    assert (refused([{"Statement": statements}], [demand]) is None) == permitted


def test_tags_at_creation_and_the_tags_of_an_instance_count() -> None:
    tagged = [{"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": "dstack"}]}]
    launch = {"TagSpecifications": tagged, "InstanceType": "t3.medium"}
    instance, *others, tags = demands("ec2", "RunInstances", launch, lambda id: {})
    assert instance.context == {"aws:RequestTag/owner": ["dstack"], "ec2:InstanceType": ["t3.medium"]}
    assert {one.resource.split(":")[-1].split("/")[0] for one in others} >= {"image", "subnet", "volume"}
    assert tags.action == "ec2:CreateTags"
    first, second = demands("ec2", "TerminateInstances", {"InstanceIds": ["i-1", "i-2"]}, lambda id: {"owner": id})
    assert [first.context["aws:ResourceTag/owner"], second.context["aws:ResourceTag/owner"]] == [["i-1"], ["i-2"]]


def test_a_users_key_is_held_to_its_policies_and_refusals_are_logged(account: Sandbox) -> None:
    own = key(account, {"Version": "2012-10-17", "Statement": [statement(action="route53:ListHostedZonesByName")]})
    route53 = client("route53", own)
    assert route53.list_hosted_zones_by_name()["HostedZones"]
    with pytest.raises(ClientError, match=r"\(AccessDenied\).*not authorized to perform: route53:ListHostedZones on"):
        route53.list_hosted_zones()
    with pytest.raises(ClientError, match=r"\(UnauthorizedOperation\)"):
        client("ec2", own).describe_vpcs()
    client("sts", own).get_caller_identity()
    calls = [call for call in account.aws.calls() if call.identity == own["AWS_ACCESS_KEY_ID"]]
    assert [call.status for call in calls] == [200, 403, 403, 200]


def test_an_unknown_key_is_refused(account: Sandbox) -> None:
    nobody: Variables = account.aws.environ | {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7NOTMINE"}
    with pytest.raises(ClientError, match="InvalidClientTokenId"):
        client("route53", nobody).list_hosted_zones()
    with pytest.raises(ClientError, match="AuthFailure"):
        client("ec2", nobody).describe_vpcs()


# ---- Faults ----


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (400, None, "Throttling"),
        (500, None, "InternalFailure"),
        (503, None, "ServiceUnavailable"),
        (403, "ExpiredToken", "ExpiredToken"),
    ],
)
def test_an_error_hits_the_calls_it_names_as_often_as_it_says(
    account: Sandbox, status: int, code: str | None, said: str
) -> None:
    account.faults.add("error", "aws", status=status, code=code, route="route53:ListHostedZones", times=1)
    assert [(fault.cloud, fault.status) for fault in account.faults.in_force()] == [("aws", status)]
    route53, ec2 = once(account, "route53"), once(account, "ec2")
    assert ec2.describe_vpcs()["Vpcs"]
    with pytest.raises(ClientError, match=said) as refusal:
        route53.list_hosted_zones()
    assert refusal.value.response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert account.faults.in_force() == []
    assert route53.list_hosted_zones()["HostedZones"]


def test_a_lost_answer_is_that_of_a_call_that_was_carried_out(account: Sandbox) -> None:
    account.faults.add("lost", "aws", route="ec2:CreateKeyPair", times=1)
    ec2 = once(account, "ec2")
    with pytest.raises(ConnectionClosedError):
        ec2.create_key_pair(KeyName="lost")
    assert [pair["KeyName"] for pair in ec2.describe_key_pairs()["KeyPairs"]] == ["lost"]


def test_a_fault_on_all_clouds_is_not_on_aws_and_clear_ends_both(account: Sandbox) -> None:
    account.faults.add("error")
    assert once(account, "route53").list_hosted_zones()["HostedZones"]
    account.faults.add("slow", "aws", seconds=0.1)
    assert [fault.cloud for fault in account.faults.in_force()] == [None, "aws"]
    assert account.faults.clear(cloud="aws") == 1
    assert account.faults.clear() == 1


def test_a_fault_that_aws_does_not_have_is_refused(account: Sandbox, clouds: Sandbox) -> None:
    with pytest.raises(SandboxError, match="can't be on cloud 'aws'"):
        account.faults.add("capacity", "aws")
    with pytest.raises(SandboxError, match="give runpod or vastai or aws or dstack"):
        account.faults.add("lost")
    with pytest.raises(SandboxError, match="no AWS"):
        clouds.faults.add("error", "aws")
