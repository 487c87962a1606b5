"""The policies of policies/, each the only one of an access key: they are enough, and no action can go.

The sandbox's IAM counts actions, resources and conditions, see sandbox/aws/api/iam.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from dstack._internal.core.backends.aws.compute import AWSCompute
from dstack._internal.core.backends.aws.models import AWSAccessKeyCreds, AWSConfig
from dstack._internal.core.errors import ComputeError
from dstack._internal.core.models.backends.base import BackendType
from dstack._internal.core.models.gateways import GatewayLoadBalancerConfiguration, GatewayReplicaConfiguration

from sandbox import Sandbox
from tests.end_to_end import account
from tests.end_to_end.account import REGION, Policy, Variables, actions, asked, client, key, policy, without
from tests.end_to_end.behind import Behind, alive, terminate
from tests.end_to_end.project import refused
from tests.rendered import ROOT

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # boto3 leaves connections to the collector
]
GATEWAY, BALANCER, DNS, PLAN = (
    policy(ROOT / "demo-mistral-nemo", name) for name in ("gateway", "gateway-load-balancer", "dns", "plan")
)
REFUSED = (ClientError, BotoCoreError, ComputeError)


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
    done = environment.inv("gateway.deploy")
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


# ---- plan.json, and the token of a member of the dstack project: what a pull request's plan has ----


@pytest.fixture(scope="module")
def reader(kept: Behind) -> Variables:
    own = key(kept.sandbox, policy(kept.project, "plan", ZONE_ID=kept.sandbox.aws.zone_id))
    return own | {"DSTACK_TOKEN": kept.sandbox.add_user("reader")}


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
    less = without(policy(kept.project, "plan", ZONE_ID=kept.sandbox.aws.zone_id), action)
    refused(kept.inv("plan", **reader | key(kept.sandbox, less)), 38, f"not authorized to perform: {action}")


# ---- gateway.json and gateway-load-balancer.json ----


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


@pytest.mark.parametrize("action", sorted(actions(GATEWAY)))
def test_no_action_can_go_from_the_gateways_policy(vpc: Sandbox, action: str) -> None:
    own = key(vpc, without(GATEWAY, action))
    with pytest.raises(REFUSED, match="UnauthorizedOperation"):
        make_and_end_a_replica(vpc, own)
    for instance in alive(vpc):
        terminate(vpc, instance)


@pytest.mark.parametrize(
    ("type", "owner"), [("p5.48xlarge", "dstack"), ("t3.medium", "somebody")], ids=["a GPU", "another owner's"]
)
def test_the_gateways_key_launches_nothing_else(vpc: Sandbox, type: str, owner: str) -> None:
    own = client("ec2", key(vpc, GATEWAY))
    image = own.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"]
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "owner", "Value": owner}]}]
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        own.run_instances(ImageId=image, InstanceType=type, MinCount=1, MaxCount=1, TagSpecifications=tags)


def test_the_gateways_key_ends_only_what_dstack_made(vpc: Sandbox) -> None:
    ec2 = client("ec2", vpc.aws.environ)
    image = ec2.describe_images(Owners=["099720109477"])["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1)["Instances"][0]["InstanceId"]
    own = client("ec2", key(vpc, GATEWAY))
    with pytest.raises(ClientError, match="UnauthorizedOperation"):
        own.terminate_instances(InstanceIds=[instance])
    terminate(vpc, instance)


def test_a_load_balancer_takes_exactly_one_policy_more(vpc: Sandbox) -> None:
    own = key(vpc, GATEWAY, BALANCER)
    make_and_end_a_load_balancer(vpc, own)
    said = {one for one in asked(vpc, own) if one[0].startswith("elasticloadbalancing:")}
    written = {action for action in actions(BALANCER) if action.startswith("elasticloadbalancing:")}
    assert said == {(action, 200) for action in written - {"elasticloadbalancing:AddTags"}}


@pytest.mark.parametrize("action", sorted(actions(BALANCER)))
def test_no_action_can_go_from_the_load_balancers_policy(vpc: Sandbox, action: str) -> None:
    own = key(vpc, GATEWAY, without(BALANCER, action))
    with pytest.raises(REFUSED, match=f"not authorized to perform: {action}"):
        make_and_end_a_load_balancer(vpc, own)


@contextmanager
def dstack_in_aws(vpc: Sandbox, own: Variables) -> Iterator[AWSCompute]:
    """dstack's code for AWS with this key, without a server: what it does to AWS takes a second then."""
    creds = AWSAccessKeyCreds(access_key=own["AWS_ACCESS_KEY_ID"], secret_key=own["AWS_SECRET_ACCESS_KEY"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ENDPOINT_URL", own["AWS_ENDPOINT_URL"])
        yield AWSCompute(AWSConfig(**{**vpc.aws.backend, "creds": creds}))


def make_and_end_a_replica(vpc: Sandbox, own: Variables) -> None:
    """All that dstack asks of AWS for a gateway's replica."""
    replica = GatewayReplicaConfiguration(
        project_name=vpc.project,
        instance_name="chat-0",
        backend=BackendType.AWS,
        region=REGION,
        public_ip=False,
        ssh_key_pub="ssh-ed25519 AAAA",
    )
    with dstack_in_aws(vpc, own) as aws:
        aws.terminate_gateway_replica(aws.create_gateway_replica(replica).instance_id, replica)


def make_and_end_a_load_balancer(vpc: Sandbox, own: Variables) -> None:
    """All that dstack asks of AWS for a gateway's load balancer."""
    balancer = GatewayLoadBalancerConfiguration(
        project_name=vpc.project, gateway_name="chat", region=REGION, public_ip=False
    )
    with dstack_in_aws(vpc, own) as aws:
        made = aws.create_gateway_load_balancer(balancer)
        aws.register_gateway_replica_with_load_balancer("i-1", balancer, made.backend_data)
        aws.deregister_gateway_replica_from_load_balancer("i-1", balancer, made.backend_data)
        aws.terminate_gateway_load_balancer(balancer, made.backend_data)
