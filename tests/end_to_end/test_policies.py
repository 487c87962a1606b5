"""The policies of policies/, each the only one of an access key: they are enough, and no action can go.

The sandbox's IAM counts actions, resources and conditions, see sandbox/aws/api/iam.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox
from tests.end_to_end import account
from tests.end_to_end.account import REGION, Policy, Variables, actions, asked, client, key, policy, without
from tests.end_to_end.behind import Behind, alive
from tests.end_to_end.project import refused
from tests.rendered import ROOT

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # boto3 leaves connections to the collector
]
GATEWAY, DNS, PLAN, ALARMS = (policy(ROOT / "demo-mistral-nemo", name) for name in ("gateway", "dns", "plan", "alarms"))
# No call has these names: tags are written with the alarm, and CloudWatch needs a role of its own to act on instances.
WITH_AN_ALARM = {"cloudwatch:TagResource", "iam:CreateServiceLinkedRole"}
KINDS = ("credits", "disk", "gone", "instance", "system")
TOPIC = f"arn:aws:sns:{REGION}:123456789012:pages"


@pytest.fixture(scope="module")
def dstack_key(vpc: Sandbox) -> Variables:
    """The dstack server's, with gateway.json."""
    made = key(vpc, GATEWAY)
    account.give_to_dstack(vpc, made)
    return made


@pytest.fixture(scope="module")
def kept(project: Path, vpc: Sandbox, dstack_key: Variables) -> Behind:
    """An environment whose gateway dstack created with only gateway.json."""
    environment = Behind(project, vpc, "kept")
    environment.settle()
    environment.write(alarms={"topic": TOPIC})
    for task in ("gateway.deploy", "alarms.apply"):
        done = environment.inv(task)
        assert done.returncode == 0, done.stderr
    return environment


def dns(kept: Behind) -> Policy:
    """dns.json for this zone and this host."""
    return policy(kept.project, "dns", ZONE_ID=kept.sandbox.aws.zone_id, **{"mistral-nemo.ai.internal": kept.host})


# ---- dns.json ----


def test_the_records_take_exactly_their_policy(kept: Behind) -> None:
    before, own = kept.sandbox.aws.snapshot_zone(), key(kept.sandbox, dns(kept))
    for task in (("dns.update",), ("dns.show",), ("dns.delete", "--yes")):
        done = kept.inv(*task, **own)
        assert done.returncode == 0, done.stderr
    assert kept.sandbox.aws.snapshot_zone() == before
    # ec2:DescribeVpcs is AWS's own question when it lists the zones of a VPC
    assert asked(kept.sandbox, own) == {(action, 200) for action in actions(DNS) - {"ec2:DescribeVpcs"}}


@pytest.mark.parametrize("action", sorted(actions(DNS)))
def test_no_action_can_go_from_the_records_policy(kept: Behind, action: str) -> None:
    before = kept.sandbox.aws.snapshot_zone()
    done = kept.inv("dns.update", **key(kept.sandbox, without(dns(kept), action)))
    refused(done, 38, "(AccessDenied)", f"not authorized to perform: {action}", "policies/dns.json")
    if action == "route53:GetChange":  # asked for when all is written
        assert kept.inv("dns.delete", "--yes").returncode == 0
    assert kept.sandbox.aws.snapshot_zone() == before


@pytest.mark.parametrize(
    ("name", "type", "action"),
    [("search", "A", "CREATE"), ("", "MX", "CREATE"), ("", "A", "UPSERT"), ("x.", "A", "CREATE")],
    ids=["another service's name", "another type", "an overwrite", "a name below"],
)
def test_the_records_key_writes_nothing_else(kept: Behind, name: str, type: str, action: str) -> None:
    host = f"{name}.{kept.sandbox.aws.zone}" if name == "search" else f"{name}{kept.host}"
    value = "10 mail.example.com" if type == "MX" else "10.0.0.1"
    record = {"Name": host, "Type": type, "TTL": 30, "ResourceRecords": [{"Value": value}]}
    batch = {"Changes": [{"Action": action, "ResourceRecordSet": record}]}
    route53 = client("route53", key(kept.sandbox, dns(kept)))
    with pytest.raises(ClientError, match="AccessDenied"):
        route53.change_resource_record_sets(HostedZoneId=kept.sandbox.aws.zone_id, ChangeBatch=batch)


def test_the_records_key_reaches_no_other_zone(kept: Behind) -> None:
    own = client("route53", key(kept.sandbox, dns(kept)))
    [other] = [
        zone["Id"] for zone in own.list_hosted_zones_by_name()["HostedZones"] if not zone["Config"]["PrivateZone"]
    ]
    with pytest.raises(ClientError, match="AccessDenied"):
        own.list_resource_record_sets(HostedZoneId=other)


# ---- alarms.json ----


def alarms(kept: Behind) -> Policy:
    """alarms.json for this service and its topic."""
    return policy(kept.project, "alarms", TOPIC_ARN=TOPIC, **{"mistral-nemo/": f"{kept.run_name}/"})


def test_the_alarms_take_exactly_their_policy(kept: Behind) -> None:
    own = key(kept.sandbox, alarms(kept))
    for task in (("alarms.delete", "--yes"), ("alarms.apply",), ("alarms.show",), ("alarms.apply",)):
        done = kept.inv(*task, **own)
        assert done.returncode == 0, done.stderr
    assert asked(kept.sandbox, own) == {(action, 200) for action in actions(ALARMS) - WITH_AN_ALARM}
    assert set(names(kept)) == {f"{kept.run_name}/gateway/{id}/{kind}" for id in kept.gateways for kind in KINDS}


@pytest.mark.parametrize("action", sorted(actions(ALARMS) - {"cloudwatch:DeleteAlarms"}))
def test_no_action_can_go_from_the_alarms_policy(kept: Behind, action: str) -> None:
    assert kept.inv("alarms.delete", "--yes").returncode == 0
    done = kept.inv("alarms.apply", **key(kept.sandbox, without(alarms(kept), action)))
    if action == "cloudwatch:ListTagsForResource":  # there was no alarm whose tags could be asked for
        assert done.returncode == 0, done.stderr
        done = kept.inv("alarms.apply", **key(kept.sandbox, without(alarms(kept), action)))
    refused(done, 44, f"not authorized to perform: {action}", "policies/alarms.json")
    assert kept.inv("alarms.apply").returncode == 0


def test_without_the_right_to_delete_alarms_they_stay(kept: Behind) -> None:
    before, action = names(kept), "cloudwatch:DeleteAlarms"
    done = kept.inv("alarms.delete", "--yes", **key(kept.sandbox, without(alarms(kept), action)))
    refused(done, 44, f"not authorized to perform: {action}", "policies/alarms.json")
    assert names(kept) == before


@pytest.mark.parametrize(
    ("name", "action"),
    [("search/gateway/i-1/system", "recover"), ("{run}/gateway/i-1/system", "stop"), ("{run}x", "recover")],
    ids=["another service's alarm", "another action", "another name"],
)
def test_the_alarms_key_writes_nothing_else(kept: Behind, name: str, action: str) -> None:
    own = client("cloudwatch", key(kept.sandbox, alarms(kept)))
    with pytest.raises(ClientError, match="AccessDenied"):
        own.put_metric_alarm(
            AlarmName=name.format(run=kept.run_name),
            AlarmActions=[f"arn:aws:automate:{REGION}:ec2:{action}"],
            Namespace="AWS/EC2",
            MetricName="StatusCheckFailed_System",
            Dimensions=[{"Name": "InstanceId", "Value": "i-1"}],
            ComparisonOperator="GreaterThanThreshold",
            EvaluationPeriods=1,
            Statistic="Maximum",
            Period=60,
            Threshold=0,
        )


def names(kept: Behind) -> list[str]:
    """The names of all alarms."""
    found = client("cloudwatch", kept.sandbox.aws.environ).describe_alarms()["MetricAlarms"]
    return sorted(one["AlarmName"] for one in found)


# ---- plan.json, and the token of a member of the dstack project: what a pull request's plan has ----


def plan(kept: Behind) -> Policy:
    """plan.json for this service and this zone."""
    return policy(kept.project, "plan", ZONE_ID=kept.sandbox.aws.zone_id, **{"mistral-nemo/": f"{kept.run_name}/"})


@pytest.fixture(scope="module")
def reader(kept: Behind) -> Variables:
    return key(kept.sandbox, plan(kept)) | {"DSTACK_TOKEN": kept.sandbox.add_user("reader")}


@pytest.mark.parametrize("changed", [{}, {"replicas": 2}, {"instance_type": "t3.large"}], ids=str)
def test_a_plan_needs_no_admin_and_takes_exactly_its_policy(
    kept: Behind, reader: Variables, changed: dict[str, object]
) -> None:
    kept.settle(gateway=changed)
    admins, members = kept.inv("plan", "--json"), kept.inv("plan", "--json", **reader)
    done = kept.inv("gateway.deploy", "--allow-recreation", **reader)
    assert done.returncode == (22 if changed else 0), done.stderr
    kept.settle()
    assert members.returncode == 0, members.stderr
    assert json.loads(members.stdout) == json.loads(admins.stdout)
    assert asked(kept.sandbox, reader) == {(action, 200) for action in actions(PLAN) - {"ec2:DescribeVpcs"}}


@pytest.mark.parametrize("action", sorted(actions(PLAN)))
def test_no_action_can_go_from_the_plans_policy(kept: Behind, reader: Variables, action: str) -> None:
    less, code = without(plan(kept), action), 44 if action in actions(ALARMS) else 38
    refused(kept.inv("plan", **reader | key(kept.sandbox, less)), code, f"not authorized to perform: {action}")


# ---- gateway.json; test_gateway_policies.py has more ----


def test_a_gateway_lives_with_exactly_its_policy(kept: Behind, dstack_key: Variables) -> None:
    """The last test with `kept`: it ends its gateway."""
    assert kept.inv("gateway.status").returncode == 0
    assert kept.inv("gateway.destroy", "--yes").returncode == 0
    assert alive(kept.sandbox) == []
    # tags at creation are part of RunInstances, and who one is may always be asked
    said = asked(kept.sandbox, dstack_key) - {("sts:GetCallerIdentity", 200)}
    assert said == {(action, 200) for action in actions(GATEWAY) - {"ec2:CreateTags"}}


def test_with_a_security_group_made_beforehand_none_is_written(vpc: Sandbox, dstack_key: Variables) -> None:
    assert ("ec2:DescribeSecurityGroups", 200) in asked(vpc, dstack_key)
    assert not [call.action for call in vpc.aws.calls("ec2", writes=True) if "SecurityGroup" in call.action]
