"""The records of a generated service in Route 53, as moto has it: what is called, written, and not touched."""

from __future__ import annotations

import dataclasses
import importlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.rendered import Bake

VPC = "vpc-0123456789abcdef0"
HOST = "mistral-nemo.ai.internal"
VARIABLES = {"DSTACK_SERVER_URL": "https://dstack.example.com", "DSTACK_TOKEN": "t"}


@pytest.fixture
def errors(console: Any) -> Any:
    return console.errors


@pytest.fixture
def route53(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Route 53 with a public zone, another VPC's private zone and ours, all of one name."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        client = boto3.client("route53", region_name="us-east-1")
        client.create_hosted_zone(Name="ai.internal", CallerReference="public")
        for vpc in ("vpc-other", VPC):
            where = {"VPCRegion": "us-east-1", "VPCId": vpc}
            made = client.create_hosted_zone(
                Name="ai.internal", CallerReference=vpc, VPC=where, HostedZoneConfig={"PrivateZone": True}
            )
        client.zone_id = made["HostedZone"]["Id"]
        yield client


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The API calls that botocore makes, by name."""
    made: list[str] = []
    original: Callable[..., Any] = importlib.import_module("botocore.client").BaseClient._make_api_call

    def record(client: Any, operation: str, arguments: Any) -> Any:
        made.append(operation)
        return original(client, operation, arguments)

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", record)
    return made


@pytest.fixture
def environment(deploy: Any, baked: Bake) -> Any:
    """The environment `prod`, with a gateway whose replicas are what a test says."""
    loaded = deploy.environments.load("prod", baked(), VARIABLES)
    return dataclasses.replace(loaded, dns=deploy.environments.Dns(vpc_id=VPC))


def publish(deploy: Any, environment: Any, *targets: str, say: Any = print) -> None:
    """Point the records at a gateway that runs at these addresses."""
    deploy.route53.apply(deploy.route53.plan(environment, targets), targets, say)


def records(route53: Any) -> dict[str, list[str]]:
    """All of our zone but what every zone has."""
    sets = route53.list_resource_record_sets(HostedZoneId=route53.zone_id)["ResourceRecordSets"]
    return {
        f"{one['Name']} {one['Type']}": [value["Value"] for value in one["ResourceRecords"]]
        for one in sets
        if one["Type"] not in ("NS", "SOA")
    }


def test_a_record_is_made_followed_and_deleted(deploy: Any, environment: Any, route53: Any) -> None:
    said: list[str] = []
    before = route53.list_resource_record_sets(HostedZoneId=route53.zone_id)["ResourceRecordSets"]
    publish(deploy, environment, "10.0.0.7", say=said.append)
    assert records(route53) == {f"{HOST}. A": ["10.0.0.7"], f"_owner.{HOST}. TXT": ['"main/mistral-nemo"']}
    publish(deploy, environment, "10.0.0.8", "10.0.0.9", say=said.append)
    assert records(route53)[f"{HOST}. A"] == ["10.0.0.8", "10.0.0.9"]
    publish(deploy, environment, "internal-lb.elb.amazonaws.com", say=said.append)
    assert records(route53)[f"{HOST}. CNAME"] == ["internal-lb.elb.amazonaws.com"]
    deploy.route53.delete(deploy.route53.zone_of(environment), said.append)
    assert route53.list_resource_record_sets(HostedZoneId=route53.zone_id)["ResourceRecordSets"] == before
    deploy.route53.delete(deploy.route53.zone_of(environment), said.append)
    assert said[-1] == f"record {HOST}: deleted"


def test_a_second_update_makes_no_write_call(deploy: Any, environment: Any, route53: Any, calls: list[str]) -> None:
    publish(deploy, environment, "10.0.0.7")
    calls.clear()
    publish(deploy, environment, "10.0.0.7")
    assert "ChangeResourceRecordSets" not in calls


def test_records_are_found_by_their_owner_in_whichever_zone_they_are(
    deploy: Any, environment: Any, route53: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def holding(project: str = "main", run: str = "mistral-nemo", domain: str = "ai.internal") -> list[str]:
        return [f"/hostedzone/{zone.id}" for zone in deploy.route53.holding(domain, "us-east-1", run, project)]

    assert holding() == []
    publish(deploy, environment, "10.0.0.7")
    assert holding() == [route53.zone_id]
    assert holding("other") == holding(run="chat") == holding(domain="example.internal") == []
    [zone] = deploy.route53.holding("ai.internal", "us-east-1", "mistral-nemo", "main")
    deploy.route53.delete(zone, print)
    assert (holding(), records(route53)) == ([], {})


@pytest.mark.slow
def test_the_number_of_calls_does_not_grow_with_the_zone(
    deploy: Any, environment: Any, route53: Any, calls: list[str]
) -> None:
    def cost(address: str) -> int:
        calls.clear()
        publish(deploy, environment, address)
        return len(calls)

    publish(deploy, environment, "10.0.0.1")
    small = cost("10.0.0.2")
    value = {"Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "10.1.0.1"}]}
    new = [{"Name": f"h{n:03}.ai.internal", **value} for n in range(1000)]  # four pages of a list
    changes = [{"Action": "CREATE", "ResourceRecordSet": one} for one in new]
    route53.change_resource_record_sets(HostedZoneId=route53.zone_id, ChangeBatch={"Changes": changes})
    assert cost("10.0.0.3") == small


def test_a_record_of_another_owner_is_unchanged_unless_adopted(
    deploy: Any, errors: Any, environment: Any, route53: Any, calls: list[str]
) -> None:
    theirs = {"Name": HOST, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "10.9.9.9"}]}
    change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": theirs}]}
    route53.change_resource_record_sets(HostedZoneId=route53.zone_id, ChangeBatch=change)
    calls.clear()
    with pytest.raises(errors.Failure, match="someone who left no owner record") as refused:
        publish(deploy, environment, "10.0.0.7")
    assert refused.value.code == errors.ExitCode.DNS_REFUSED
    with pytest.raises(errors.Failure, match="someone who left no owner record"):
        deploy.route53.delete(deploy.route53.zone_of(environment), print)
    assert "ChangeResourceRecordSets" not in calls
    deploy.route53.apply(deploy.route53.plan(environment, ["10.0.0.7"], adopt=True), ["10.0.0.7"], print)
    assert records(route53)[f"{HOST}. A"] == ["10.0.0.7"]


def test_other_types_at_our_name_are_left_alone(deploy: Any, environment: Any, route53: Any) -> None:
    publish(deploy, environment, "10.0.0.7")
    proof = {"Name": HOST, "Type": "TXT", "TTL": 60, "ResourceRecords": [{"Value": '"verification=1"'}]}
    change = {"Changes": [{"Action": "CREATE", "ResourceRecordSet": proof}]}
    route53.change_resource_record_sets(HostedZoneId=route53.zone_id, ChangeBatch=change)
    publish(deploy, environment, "10.0.0.8")
    deploy.route53.delete(deploy.route53.zone_of(environment), print)
    assert records(route53) == {f"{HOST}. TXT": ['"verification=1"']}


def test_records_that_somebody_creates_after_they_were_planned_are_left_alone(
    deploy: Any, errors: Any, environment: Any, route53: Any
) -> None:
    planned = deploy.route53.plan(environment, [])  # the gateway is to be created
    publish(deploy, environment, "10.0.0.9")
    theirs = records(route53)
    with pytest.raises(errors.Failure, match="somebody changed the records") as refused:
        deploy.route53.apply(planned, ["10.0.0.8"], print)
    assert refused.value.code == errors.ExitCode.PLAN_OUTDATED
    assert records(route53) == theirs


def test_a_zone_behind_a_hundred_others_of_its_vpc_is_found(
    deploy: Any, environment: Any, route53: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """moto answers with all of them on one page: here with AWS's own zones first, one a page."""
    original = importlib.import_module("botocore.client").BaseClient._make_api_call

    def paged(client: Any, operation: str, arguments: Any) -> Any:
        if operation != "ListHostedZonesByVPC" or "NextToken" in arguments:
            return original(client, operation, {key: arguments[key] for key in arguments if key != "NextToken"})
        own = {"HostedZoneId": "AWS", "Name": "efs.", "Owner": {"OwningService": "efs.amazonaws.com"}}
        return {"HostedZoneSummaries": [own], "MaxItems": "1", "NextToken": "more"}

    monkeypatch.setattr("botocore.client.BaseClient._make_api_call", paged)
    publish(deploy, environment, "10.0.0.7")
    assert records(route53)[f"{HOST}. A"] == ["10.0.0.7"]


def test_a_gateway_without_an_address_publishes_nothing(
    deploy: Any, errors: Any, environment: Any, route53: Any
) -> None:
    with pytest.raises(errors.Failure, match="no address to publish"):
        publish(
            deploy,
            environment,
        )
    assert records(route53) == {}


def test_what_aws_refuses_is_quoted_in_one_line(
    deploy: Any, errors: Any, environment: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    with pytest.raises(errors.Failure, match=r"AWS refused looking for the zone ai\.internal") as refused:
        publish(deploy, environment, "10.0.0.7")
    assert "\n" not in str(refused.value)


def test_the_policy_allows_what_the_task_calls_and_nothing_else(
    deploy: Any, environment: Any, route53: Any, calls: list[str], baked: Bake
) -> None:
    publish(deploy, environment, "10.0.0.7")
    deploy.route53.delete(deploy.route53.zone_of(environment), print)
    statements = json.loads((baked() / "policies" / "dns.json").read_text("utf-8"))["Statement"]
    allowed = {
        action
        for statement in statements
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    }
    # AWS asks for ec2:DescribeVpcs itself when it lists the zones of a VPC
    assert {f"route53:{call}" for call in calls} == allowed - {"ec2:DescribeVpcs"}
    [write] = [one for one in statements if one["Action"] == "route53:ChangeResourceRecordSets"]
    names = write["Condition"]["ForAllValues:StringEquals"]["route53:ChangeResourceRecordSetsNormalizedRecordNames"]
    assert names == [HOST, f"_owner.{HOST}"]


@pytest.fixture
def new_clients(deploy: Any) -> Iterator[None]:
    """No client is known before the test, and none of its own afterwards."""
    known = (deploy.route53.session, deploy.route53.client_of)
    for one in known:
        one.cache_clear()
    yield
    for one in known:
        one.cache_clear()


@pytest.mark.usefixtures("new_clients")
def test_a_code_is_asked_for_once_and_not_for_each_service(
    deploy: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """AWS takes a code of a device once: a second client that asks would wait for the next code."""
    asked: list[str] = []
    config = tmp_path / "config"
    config.write_text(
        "[profile base]\naws_access_key_id = a\naws_secret_access_key = b\n"
        "[profile deployer]\nsource_profile = base\nrole_arn = arn:aws:iam::123456789012:role/deployer\n"
        "mfa_serial = arn:aws:iam::123456789012:mfa/phone\n",
        "utf-8",
    )

    def answer(prompt: str) -> str:
        asked.append(prompt)
        return "123456"

    monkeypatch.setattr(deploy.route53, "ask_code", answer)
    with mock_aws(), monkeypatch.context() as variables:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            variables.delenv(name)
        variables.setenv("AWS_CONFIG_FILE", str(config))
        variables.setenv("AWS_PROFILE", "deployer")
        deploy.route53.client_of("sts", "us-east-1").get_caller_identity()
        deploy.route53.client_of("ec2", "us-east-1").describe_vpcs()
        deploy.route53.client_of("route53", "us-east-1").list_hosted_zones()
    assert len(asked) == 1
