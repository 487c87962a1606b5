"""What the emulated AWS account has before anybody calls it: a VPC for gateways, two zones of one name, an image."""

from __future__ import annotations

import ipaddress
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3

from sandbox.aws.aws_state import REGION

# What dstack looks for: the newest of Amazon's images with a name like this, see get_gateway_image_id() in dstack.
_IMAGES = [
    {
        "ami_id": "ami-0c0ffee0c0ffee000",
        "name": "ubuntu/images/hvm-ssd/ubuntu-jammy-22.04-amd64-server-20260101",
        "description": "In the sandbox, what boots is its own base image",
        "owner_id": "099720109477",
        "public": True,
        "virtualization_type": "hvm",
        "architecture": "x86_64",
        "state": "available",
        "platform": None,
        "image_type": "machine",
        "hypervisor": "xen",
        "root_device_name": "/dev/sda1",
        "root_device_type": "ebs",
        "sriov": "simple",
        "creation_date": "2026-01-01T00:00:00.000Z",
    }
]


@dataclass(frozen=True)
class Landscape:
    """Ids of what was made."""

    vpc_id: str
    zone_id: str  # of the private zone, the one that the VPC's resolver serves


def write_images(file: Path) -> None:
    """Write the machine images for moto, which reads them when it is imported if MOTO_AMIS_PATH names the file."""
    file.write_text(json.dumps(_IMAGES))


def create(url: str, credentials: dict[str, str], network: ipaddress.IPv4Network, zone: str, project: str) -> Landscape:
    """Make everything through the API at `url`.

    The VPC has the addresses of `network`: two private subnets with a route out through a NAT gateway, and two public
    ones with an internet gateway, each in another availability zone. dstack asks for such routes; packets don't find
    one. The security group is the one that a gateway of the dstack project `project` takes if it exists. A second,
    public zone has the name of the private one.
    """

    def client(service: str) -> Any:
        return boto3.client(service, endpoint_url=url, region_name=REGION, **credentials)

    ec2, route53 = client("ec2"), client("route53")
    vpc_id = ec2.create_vpc(CidrBlock=str(network), TagSpecifications=_name("vpc", "sandbox"))["Vpc"]["VpcId"]
    ec2.modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})  # a private zone needs it
    subnets = [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=str(part), AvailabilityZone=f"{REGION}{letter}")["Subnet"]["SubnetId"]
        for part, letter in zip(network.subnets(2), "abab", strict=True)
    ]
    internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc_id)
    nat = ec2.create_nat_gateway(SubnetId=subnets[2])["NatGateway"]["NatGatewayId"]
    for out, members in (({"NatGatewayId": nat}, subnets[:2]), ({"GatewayId": internet}, subnets[2:])):
        table = ec2.create_route_table(VpcId=vpc_id)["RouteTable"]["RouteTableId"]
        ec2.create_route(RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", **out)
        for subnet in members:
            ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    _create_security_group(ec2, vpc_id, network, project)
    vpc = {"VPCRegion": REGION, "VPCId": vpc_id}
    private = route53.create_hosted_zone(
        Name=zone, CallerReference="private", VPC=vpc, HostedZoneConfig={"PrivateZone": True}
    )
    route53.create_hosted_zone(Name=zone, CallerReference="public")
    return Landscape(vpc_id, private["HostedZone"]["Id"].removeprefix("/hostedzone/"))


def _create_security_group(ec2: Any, vpc_id: str, network: ipaddress.IPv4Network, project: str) -> None:
    """As an operator does it who wants less than dstack's own group, which opens three ports to 0.0.0.0/0."""
    group = ec2.create_security_group(
        GroupName=f"dstack_gw_sg_{project}", Description="Gateways, from inside the VPC alone", VpcId=vpc_id
    )
    ports = [
        {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": [{"CidrIp": str(network)}]}
        for port in (22, 80)
    ]
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=ports)


def _name(resource: str, name: str) -> list[dict[str, Any]]:
    return [{"ResourceType": resource, "Tags": [{"Key": "Name", "Value": name}]}]
