"""What dstack asks of AWS for a gateway and its load balancer, with exactly policies/gateway.json: no action can go.

No host is waited for, and no dstack server is asked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from botocore.exceptions import BotoCoreError, ClientError
from dstack._internal.core.backends.aws.compute import AWSCompute
from dstack._internal.core.backends.aws.models import AWSAccessKeyCreds, AWSConfig
from dstack._internal.core.errors import ComputeError
from dstack._internal.core.models.backends.base import BackendType
from dstack._internal.core.models.gateways import GatewayLoadBalancerConfiguration, GatewayReplicaConfiguration

from sandbox import Sandbox
from tests.end_to_end.account import REGION, Variables, actions, asked, client, key, policy, without
from tests.end_to_end.behind import alive
from tests.rendered import ROOT

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # boto3 leaves connections to the collector
]
GATEWAY, BALANCER = (policy(ROOT / "demo-mistral-nemo", name) for name in ("gateway", "gateway-load-balancer"))
REFUSED = (ClientError, BotoCoreError, ComputeError)


@pytest.mark.parametrize("action", sorted(actions(GATEWAY)))
def test_no_action_can_go_from_the_gateways_policy(vpc: Sandbox, action: str) -> None:
    own = key(vpc, without(GATEWAY, action))
    with pytest.raises(REFUSED, match="UnauthorizedOperation"):
        make_and_end_a_replica(vpc, own)
    for instance in alive(vpc):
        vpc.aws.terminate(instance)


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
    vpc.aws.terminate(instance)


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
