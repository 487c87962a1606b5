"""The gateway's other variants: behind an internal load balancer with https, and public with Let's Encrypt.

The hosts boot, and dstack's gateway on them is real. The load balancer is moto's: it has a name and targets, and
forwards nothing. Let's Encrypt is not there: nobody asks for a certificate before a service is registered.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.account import Variables, actions, asked, client, give_to_dstack, key, policy
from tests.end_to_end.behind import Behind, alive
from tests.end_to_end.project import refused
from tests.sandbox.deployment import wait_for

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # boto3 leaves connections to the collector
]


@pytest.fixture(scope="module")
def dstack_key(project: Path, vpc: Sandbox) -> Variables:
    """The dstack server's, with both policies for gateways."""
    made = key(vpc, *(policy(project, name) for name in ("gateway", "gateway-load-balancer")))
    give_to_dstack(vpc, made)
    return made


@pytest.fixture
def balanced(project: Path, vpc: Sandbox, dstack_key: Variables) -> Iterator[Behind]:
    """An environment whose file asks for a load balancer with a certificate."""
    acm = client("acm", vpc.aws.environ)
    certificate = acm.request_certificate(DomainName=f"*.{vpc.aws.zone}")["CertificateArn"]
    environment = Behind(project, vpc, "balanced")
    environment.settle({"load_balancer": {"type": "alb"}, "certificate": {"type": "acm", "arn": certificate}})
    yield environment
    environment.inv("destroy", "--yes")


@pytest.fixture
def public(project: Path, vpc: Sandbox, dstack_key: Variables) -> Iterator[Behind]:
    """An environment whose file asks for a public gateway."""
    environment = Behind(project, vpc, "public")
    environment.settle({"public_ip": True, "certificate": {"type": "lets-encrypt"}})
    environment.write(dns={})
    yield environment
    environment.inv("destroy", "--yes")


def test_behind_a_load_balancer_the_name_leads_to_it_and_destroy_removes_it(
    balanced: Behind, vpc: Sandbox, dstack_key: Variables
) -> None:
    zone, elb = vpc.aws.snapshot_zone(), client("elbv2", vpc.aws.environ)
    # all is done and the replicas are ready; but nobody reaches moto's load balancer
    refused(balanced.inv("deploy", "--yes"), 39, f"https://{balanced.host}/v1", "inv smoke")
    [balancer] = elb.describe_load_balancers()["LoadBalancers"]
    assert balancer["Scheme"] == "internal"
    [alias] = [one for one in json.loads(vpc.aws.snapshot_zone()) if one["type"] == "CNAME"]
    assert (alias["name"], alias["values"]) == (f"{balanced.host}.", [balancer["DNSName"]])
    done = balanced.inv("dns.update")
    assert ": unchanged" in done.stderr, done.stderr
    [group] = elb.describe_target_groups()["TargetGroups"]
    targets = elb.describe_target_health(TargetGroupArn=group["TargetGroupArn"])["TargetHealthDescriptions"]
    assert {one["Target"]["Id"] for one in targets} == set(balanced.gateways)
    listeners = elb.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])["Listeners"]
    assert sorted(one["Port"] for one in listeners) == [80, 443]
    wait_for(lambda: balanced.ask().ok)  # asked at the target, as the load balancer does

    done = balanced.inv("destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert elb.describe_load_balancers()["LoadBalancers"] == elb.describe_target_groups()["TargetGroups"] == []
    assert alive(vpc) == []
    assert vpc.aws.snapshot_zone() == zone
    both = actions(*(policy(balanced.project, name) for name in ("gateway", "gateway-load-balancer")))
    assert {action for action, _ in asked(vpc, dstack_key)} <= both | {"sts:GetCallerIdentity"}
    assert {status for _, status in asked(vpc, dstack_key)} == {200}


def test_a_public_gateway_is_named_in_the_public_zone(public: Behind, vpc: Sandbox) -> None:
    private, route53 = vpc.aws.snapshot_zone(), client("route53", vpc.aws.environ)
    for task in ("gateway.deploy", "dns.update", "dns.show"):
        done = public.inv(task)
        assert done.returncode == 0, done.stderr
    [zone] = [
        one["Id"] for one in route53.list_hosted_zones_by_name()["HostedZones"] if not one["Config"]["PrivateZone"]
    ]

    def records() -> dict[str, Any]:
        sets = route53.list_resource_record_sets(HostedZoneId=zone)["ResourceRecordSets"]
        return {one["Name"]: one["ResourceRecords"] for one in sets if one["Type"] == "A"}

    assert records() == {f"{public.host}.": [{"Value": address} for address in public.addresses]}
    assert vpc.aws.snapshot_zone() == private
    [instance] = public.gateways
    [found] = client("ec2", vpc.aws.environ).describe_instances(InstanceIds=[instance])["Reservations"]
    assert found["Instances"][0]["PublicIpAddress"] in public.addresses
    done = public.inv("destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert records() == {}
    assert alive(vpc) == []
