"""The emulated AWS account, as boto3 and dstack's AWS backend see it. No host is needed for any of this."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from dstack._internal.core.backends.aws import resources
from dstack._internal.core.backends.aws.compute import get_vpc_id_subnets_ids_or_error
from dstack._internal.core.backends.aws.models import AWSConfig, AWSDefaultCreds

from sandbox import Sandbox, SandboxError
from sandbox.aws.api.record_sets import RecordSet, normal_name
from sandbox.aws.vpc.network import missing
from sandbox.aws.vpc.resolver import answer

ZONE = "lab.internal"


@pytest.fixture(scope="module")
def _account() -> Iterator[Sandbox]:
    with Sandbox(server=False, aws=True, zone=ZONE) as sandbox:
        yield sandbox


@pytest.fixture
def account(_account: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """A sandbox's AWS account, which this process's AWS clients use."""
    for name, value in _account.aws.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)  # it remembers an earlier environment
    return _account


@pytest.fixture
def route53(account: Sandbox) -> Iterator[Any]:
    client = boto3.client("route53")
    yield client
    client.close()


@pytest.fixture
def zone_id(account: Sandbox, route53: Any) -> str:
    zones = route53.list_hosted_zones_by_vpc(VPCId=account.aws.vpc_id, VPCRegion="eu-central-1")["HostedZoneSummaries"]
    return str(zones[0]["HostedZoneId"])


def change(action: str, name: str, *values: str, type: str = "A", zone: str = ZONE) -> dict[str, Any]:
    records = [{"Value": value} for value in values]
    return {
        "Action": action,
        "ResourceRecordSet": {"Name": f"{name}.{zone}", "Type": type, "TTL": 30, "ResourceRecords": records},
    }


def apply(route53: Any, zone_id: str, *changes: dict[str, Any]) -> str:
    """The id of the accepted change."""
    batch = {"Changes": list(changes)}
    return str(route53.change_resource_record_sets(HostedZoneId=zone_id, ChangeBatch=batch)["ChangeInfo"]["Id"])


# ---- Route 53 ----


def test_a_change_is_pending_before_it_is_in_sync(route53: Any, zone_id: str) -> None:
    id = apply(route53, zone_id, change("CREATE", "pending", "10.0.0.1"))
    assert route53.get_change(Id=id)["ChangeInfo"]["Status"] == "PENDING"
    route53.get_waiter("resource_record_sets_changed").wait(Id=id, WaiterConfig={"Delay": 1, "MaxAttempts": 10})
    with pytest.raises(ClientError, match="NoSuchChange"):
        route53.get_change(Id="C0123456789")


def test_create_is_refused_where_a_set_exists_and_delete_where_its_values_changed(route53: Any, zone_id: str) -> None:
    apply(route53, zone_id, change("CREATE", "swap", "10.0.0.1"))
    with pytest.raises(ClientError, match=r"\(InvalidChangeBatch\).*but it already exists"):
        apply(route53, zone_id, change("CREATE", "swap", "10.0.0.2"))
    with pytest.raises(ClientError, match="do not match the current values"):
        apply(route53, zone_id, change("DELETE", "swap", "10.0.0.9"))
    with pytest.raises(ClientError, match="but it was not found"):
        apply(route53, zone_id, change("DELETE", "nobody", "10.0.0.1"))
    apply(route53, zone_id, change("DELETE", "swap", "10.0.0.1"), change("CREATE", "swap", "10.0.0.2"))
    apply(route53, zone_id, change("DELETE", "swap", "10.0.0.2"))
    apply(route53, zone_id, change("CREATE", "swap", "10.0.0.1"))  # as at first


def test_a_batch_is_applied_as_a_whole_or_not_at_all(account: Sandbox, route53: Any, zone_id: str) -> None:
    before = account.aws.snapshot_zone()
    with pytest.raises(ClientError, match="but it was not found"):
        apply(route53, zone_id, change("CREATE", "half", "10.0.0.1"), change("DELETE", "nobody", "10.0.0.1"))
    assert account.aws.snapshot_zone() == before
    apply(route53, zone_id, change("CREATE", "half", "10.0.0.1"))
    assert account.aws.snapshot_zone() != before
    apply(route53, zone_id, change("DELETE", "half", "10.0.0.1"))
    assert account.aws.snapshot_zone() == before


def test_a_wildcard_is_listed_with_its_octal_code(route53: Any, zone_id: str) -> None:
    apply(route53, zone_id, change("UPSERT", "*.Wild", "10.0.0.1"))
    listed = route53.list_resource_record_sets(
        HostedZoneId=zone_id, StartRecordName=f"*.wild.{ZONE}", StartRecordType="A", MaxItems="1"
    )
    assert [found["Name"] for found in listed["ResourceRecordSets"]] == [f"\\052.wild.{ZONE}."]
    apply(route53, zone_id, change("DELETE", "\\052.wild", "10.0.0.1"))


@pytest.mark.parametrize(
    ("refused", "reason"),
    [
        (change("CREATE", "bad", "10.0.0.300"), "ARRDATAIllegalIPv4Address"),
        (change("CREATE", "bad", "10.0.0.1", type="AAAA"), "AAAARRDATAIllegalIPv6Address"),
        (change("CREATE", "bad", "no quotes", type="TXT"), "enclosed in quotation marks"),
        (change("CREATE", "bad", "10.0.0.1", "10.0.0.1"), "Duplicate Resource Record"),
        (change("CREATE", "taken", "elsewhere.example", type="CNAME"), "conflicts with other records"),
        (change("CREATE", "bad", "10.0.0.1", zone="example.com"), "not permitted in zone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_route_53_refuses(route53: Any, zone_id: str, refused: dict[str, Any], reason: str) -> None:
    apply(route53, zone_id, change("UPSERT", "taken", "10.0.0.1"))
    with pytest.raises(ClientError, match=reason):
        apply(route53, zone_id, refused)


def test_of_two_zones_with_one_name_the_vpc_has_the_private_one(account: Sandbox, route53: Any) -> None:
    named = route53.list_hosted_zones_by_name(DNSName=account.aws.zone)["HostedZones"]
    assert [zone["Name"] for zone in named] == [f"{ZONE}."] * 2
    [private] = [zone["Id"] for zone in named if zone["Config"]["PrivateZone"]]
    associated = route53.list_hosted_zones_by_vpc(VPCId=account.aws.vpc_id, VPCRegion="eu-central-1")
    assert [f"/hostedzone/{zone['HostedZoneId']}" for zone in associated["HostedZoneSummaries"]] == [private]


# ---- The call log ----


def test_every_call_is_logged_with_who_what_and_what_became_of_it(account: Sandbox, route53: Any, zone_id: str) -> None:
    started = len(account.aws.calls())
    apply(route53, zone_id, change("CREATE", "logged", "10.0.0.1"))
    with pytest.raises(ClientError):
        apply(route53, zone_id, change("CREATE", "logged", "10.0.0.1"))
    route53.get_hosted_zone(Id=zone_id)
    done, refused, read = account.aws.calls()[started:]
    assert (done.service, done.action, done.status, done.write) == ("route53", "ChangeResourceRecordSets", 200, True)
    [logged] = done.parameters["ChangeBatch"]["Changes"]
    assert logged == change("CREATE", "logged", "10.0.0.1")
    assert done.identity == account.aws.environ["AWS_ACCESS_KEY_ID"]
    assert abs(done.time - time.time()) < 60
    assert (refused.status, refused.write) == (400, True)
    assert (read.action, read.write) == ("GetHostedZone", False)
    assert account.aws.calls("route53", writes=True)[-2:] == [done, refused]
    assert account.aws.calls("sns") == []


def test_a_roles_calls_are_logged_under_the_role(account: Sandbox) -> None:
    role = "arn:aws:iam::123456789012:role/alarms"
    keys = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="ci")["Credentials"]
    session = boto3.Session(keys["AccessKeyId"], keys["SecretAccessKey"], keys["SessionToken"])
    session.client("cloudwatch").put_metric_alarm(
        AlarmName="chat-i-1",
        Namespace="AWS/EC2",
        MetricName="StatusCheckFailed",
        Dimensions=[{"Name": "InstanceId", "Value": "i-1"}],
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Statistic="Maximum",
        Period=60,
        Threshold=0,
    )
    call = account.aws.calls("cloudwatch", writes=True)[-1]
    assert (call.identity, call.action, call.parameters["AlarmName"]) == (role, "PutMetricAlarm", "chat-i-1")


def test_user_data_stays_out_of_the_log(account: Sandbox) -> None:
    ec2 = boto3.client("ec2")
    image = resources.get_gateway_image_id(ec2)
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, UserData="a private key", DryRun=False)
    call = account.aws.calls("ec2", writes=True)[-1]
    assert call.action == "RunInstances"
    assert "UserData" not in call.parameters
    ec2.terminate_instances(InstanceIds=[each.id for each in account.aws.instances()])
    assert {each.state for each in account.aws.instances()} == {"terminated"}


# ---- What dstack needs to make a private gateway ----


def test_dstack_finds_image_subnets_and_security_group_and_creates_none(account: Sandbox) -> None:
    started = len(account.aws.calls())
    ec2 = boto3.client("ec2")
    settings = account.aws.backend
    config = AWSConfig(**{**settings, "creds": AWSDefaultCreds()})
    vpc_id, subnets = get_vpc_id_subnets_ids_or_error(ec2, config, "eu-central-1", allocate_public_ip=False)
    assert vpc_id == account.aws.vpc_id
    zones = {resources.get_availability_zone_by_subnet_id(ec2, subnet) for subnet in subnets}
    assert len(zones) == 2  # as a load balancer wants it
    assert resources.get_gateway_image_id(ec2).startswith("ami-")
    group = resources.create_gateway_security_group(ec2, account.project, account.aws.vpc_id)
    [found] = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    sources = {source["CidrIp"] for rule in found["IpPermissions"] for source in rule["IpRanges"]}
    assert "0.0.0.0/0" not in sources
    assert not [call.action for call in account.aws.calls()[started:] if call.write]


# ---- Names ----

RECORDS = [
    RecordSet(normal_name(name), type, 30, values, None, None)
    for name, type, values in (
        ("chat.ai.internal", "A", ("10.0.0.4", "10.0.0.5")),
        ("chat.ai.internal", "TXT", ('"x"',)),
        ("alias.ai.internal", "CNAME", ("chat.ai.internal",)),
        ("*.lab.ai.internal", "A", ("10.0.0.9",)),
        ("known.lab.ai.internal", "TXT", ('"x"',)),
    )
]


@pytest.mark.parametrize(
    ("name", "addresses", "exists"),
    [
        ("CHAT.ai.internal.", {"10.0.0.4", "10.0.0.5"}, True),
        ("alias.ai.internal", {"10.0.0.4", "10.0.0.5"}, True),
        ("a.lab.ai.internal", {"10.0.0.9"}, True),
        ("b.a.lab.ai.internal", {"10.0.0.9"}, True),
        ("known.lab.ai.internal", set(), True),
        ("x.known.lab.ai.internal", set(), False),  # RFC 4592: the wildcard stops at names that exist
        ("internal", set(), True),
        ("search.ai.internal", set(), False),
        ("example.com", set(), False),
    ],
)
def test_the_resolver_answers_as_a_name_server_does(name: str, addresses: set[str], exists: bool) -> None:
    found, known = answer(name, "A", RECORDS)
    assert {value for each in found for value in each.values if each.type == "A"} == addresses
    assert known == exists


# ---- Without ----


def test_a_sandbox_without_aws_says_how_to_get_one(clouds: Sandbox) -> None:
    with pytest.raises(SandboxError, match="up --aws"):
        clouds.aws.instances()
    assert not any(name.startswith("AWS_") for name in clouds.environ)


def test_without_packages_for_hosts_one_line_says_so_and_the_rest_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for command in ("ssh", "git", "unshare", "ip", "nsenter"):
        (tmp_path / command).symlink_to(shutil.which(command) or "")
    monkeypatch.setenv("PATH", str(tmp_path))
    line = (
        "no EC2 hosts, so no gateways: missing on this machine: systemd-nspawn, debootstrap; "
        "run `sudo apt-get install -y debootstrap systemd-container`"
    )
    with Sandbox(server=False, aws=True) as sandbox:
        assert (sandbox.aws.notice, sandbox.aws.has_hosts) == (line, False)
        assert "ai.internal." in sandbox.aws.snapshot_zone()
        with pytest.raises(SandboxError, match="no EC2 hosts"):
            sandbox.aws.inside("true")


def test_without_root_hosts_are_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda command: command)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert missing() == "they need root; start the sandbox with sudo"
