"""VPCs, and the subnets that dstack can put a gateway into.

dstack decides from route tables alone. A subnet without a route table of its own has the main one of its VPC.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from account.aws.client import Aws
from console.errors import ExitCode, Failure
from deploy.documents.files import Document

OUTWARD = ("NatGatewayId", "TransitGatewayId", "VpcPeeringConnectionId")  # keys of a route that leads out privately
PLACEHOLDER = "vpc-REPLACE"
PAGE = "docs/account.md"


@dataclass(frozen=True)
class Vpc:
    """One VPC. `cidr` is its first block of addresses."""

    id: str
    cidr: str
    name: str = ""

    def __str__(self) -> str:
        return f"{self.id} ({', '.join(word for word in (self.cidr, self.name) if word)})"


def vpcs(aws: Aws) -> list[Vpc]:
    """Return the VPCs of the region."""
    return [_vpc(found) for found in aws.ask("ec2", "describe_vpcs")["Vpcs"]]


def vpc(aws: Aws, vpc_id: str) -> Vpc:
    """Return the VPC with this id. Fails with ACCOUNT_INCOMPLETE, and names the VPCs that the region has."""
    found = {one.id: one for one in vpcs(aws)}
    if vpc_id not in found:
        others = ", ".join(map(str, found.values())) or "none"
        problem = f"region {aws.region} has no VPC {vpc_id}; it has: {others}"
        raise Failure(ExitCode.ACCOUNT_INCOMPLETE, problem, "correct dns.vpc_id, or the gateway's region")
    return found[vpc_id]


def lacking_dns(aws: Aws, vpc_id: str) -> list[str]:
    """Return the VPC's settings that a private zone needs and that are off."""
    wanted = {"EnableDnsSupport": "enableDnsSupport", "EnableDnsHostnames": "enableDnsHostnames"}
    answers = {
        key: aws.ask("ec2", "describe_vpc_attribute", VpcId=vpc_id, Attribute=name) for key, name in wanted.items()
    }
    return [key for key, answer in answers.items() if not answer[key]["Value"]]


def subnets_for_gateways(aws: Aws, vpc_id: str, *, public: bool) -> list[Document]:
    """Return the VPC's subnets that dstack takes for a gateway with, or without, a public address."""
    of_vpc = [{"Name": "vpc-id", "Values": [vpc_id]}]
    subnets = aws.ask("ec2", "describe_subnets", Filters=of_vpc)["Subnets"]
    tables = aws.ask("ec2", "describe_route_tables", Filters=of_vpc)["RouteTables"]
    return [subnet for subnet in subnets if leads_out(subnet["SubnetId"], tables, public=public)]


def leads_out(subnet_id: str, tables: Sequence[Document], *, public: bool) -> bool:
    """Return whether dstack puts a gateway into this subnet, by the route tables of its VPC.

    A gateway with a public address needs a route to an internet gateway. One without needs a route for 0.0.0.0/0
    through a NAT gateway, a transit gateway or a peering.
    """
    own = [table for table in tables if any(one.get("SubnetId") == subnet_id for one in table["Associations"])]
    main = [table for table in tables if any(one.get("Main") for one in table["Associations"])]
    routes = [route for table in own or main for route in table["Routes"]]
    if public:
        return any(str(route.get("GatewayId", "")).startswith("igw-") for route in routes)
    return any(_is_private_exit(route) for route in routes)


def refuse_subnets(found: Sequence[Document], vpc_id: str, *, public: bool, balanced: bool) -> None:
    """Fail with ACCOUNT_INCOMPLETE when dstack would find no subnet, or too few for a load balancer."""
    kind = "with a route to an internet gateway" if public else "with a route out through NAT, transit or peering"
    if not found:
        raise Failure(ExitCode.ACCOUNT_INCOMPLETE, f"{vpc_id} has no subnet {kind}", f"make one: {PAGE} says how")
    if balanced and len(zones := zones_of(found)) < 2:
        problem = f"{vpc_id} has subnets {kind} only in {', '.join(zones)}, and a load balancer needs two zones"
        raise Failure(ExitCode.ACCOUNT_INCOMPLETE, problem, f"make one in another zone: {PAGE} says how")


def zones_of(subnets: Iterable[Document]) -> list[str]:
    """Return the availability zones of these subnets, sorted."""
    return sorted({subnet["AvailabilityZone"] for subnet in subnets})


def _vpc(found: Document) -> Vpc:
    names = [tag["Value"] for tag in found.get("Tags", []) if tag["Key"] == "Name"]
    return Vpc(found["VpcId"], found["CidrBlock"], *names)


def _is_private_exit(route: Document) -> bool:
    return route.get("DestinationCidrBlock") == "0.0.0.0/0" and any(route.get(key) for key in OUTWARD)
