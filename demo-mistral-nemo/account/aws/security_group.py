"""The security group of a dstack project's gateways. dstack takes the group of this name, and does not change it.

All services of a dstack project share the group. Without it, dstack makes one that is open to every address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from account.aws.client import Aws
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.environments import Environment

EVERYBODY = ("0.0.0.0/0", "::/0")
SSH, HTTP, HTTPS = 22, 80, 443


@dataclass(frozen=True)
class Group:
    """A security group as AWS describes it."""

    id: str
    vpc_id: str
    permissions: tuple[Document, ...]
    tags: tuple[Document, ...]

    def sources(self, port: int) -> frozenset[str]:
        """Return who may connect to a port: addresses as CIDR, other security groups, prefix lists."""
        return frozenset(source for rule in self.permissions if _covers(rule, port) for source in _sources(rule))


def group_name(project: str) -> str:
    """Return the name that dstack looks for. It is dstack's own rule."""
    return f"dstack_gw_sg_{project.replace('-', '_').lower()}"


def ports(environment: Environment) -> tuple[int, ...]:
    """Return the ports that callers and dstack's server connect to."""
    secure = (environment.gateway or {}).get("certificate", "lets-encrypt") is not None
    return (SSH, HTTP, HTTPS) if secure else (SSH, HTTP)


def read(aws: Aws, environment: Environment, vpc_id: str | None) -> Group | None:
    """Return the project's group, in this VPC if one is given; None when there is none."""
    filters = [{"Name": "group-name", "Values": [group_name(environment.project)]}]
    filters += [{"Name": "vpc-id", "Values": [vpc_id]}] if vpc_id else []
    found = aws.ask("ec2", "describe_security_groups", Filters=filters)["SecurityGroups"]
    return _group(found[0]) if found else None


def lacking(group: Group, wanted: Iterable[int]) -> list[int]:
    """Return the ports that nobody may connect to."""
    return [port for port in wanted if not group.sources(port)]


def describe(group: Group, wanted: Iterable[int]) -> str:
    """Return who may connect to which port, as text."""
    return ", ".join(f"{port} from {' '.join(sorted(group.sources(port))) or 'nobody'}" for port in wanted)


def examine(group: Group | None, environment: Environment) -> str:
    """Return what a good group allows. Fails with ACCOUNT_INCOMPLETE when it is not there, or nobody can connect."""
    name, wanted = group_name(environment.project), ports(environment)
    remedy = f"run `inv setup.aws --env {environment.name}`"
    if group is None:
        problem = f"there is no security group {name}, so dstack would make one that is open to every address"
        raise Failure(ExitCode.ACCOUNT_INCOMPLETE, problem, remedy)
    if closed := lacking(group, wanted):
        problem = f"{name} ({group.id}) lets nobody connect to port {', '.join(map(str, closed))}"
        raise Failure(ExitCode.ACCOUNT_INCOMPLETE, problem, f"{remedy}, or add rules for server and callers")
    private = not (environment.gateway or {}).get("public_ip", True)
    warned = [SSH, HTTP] if private else [SSH]
    is_open = [str(port) for port in warned if group.sources(port) & set(EVERYBODY)]
    warning = f"; warning: port {', '.join(is_open)} is open to every address" if is_open else ""
    return f"{name} ({group.id}) allows {describe(group, wanted)}{warning}"


def missing_rules(group: Group | None, wanted: Mapping[int, Iterable[str]]) -> list[Document]:
    """Return the rules that the group needs in addition, as AWS takes them. `wanted`: CIDRs by port."""
    rules = []
    for port, cidrs in wanted.items():
        has = group.sources(port) if group else frozenset()
        if absent := sorted(set(cidrs) - has):
            rules.append(_rule(port, absent))
    return rules


def surplus_rules(group: Group, wanted: Mapping[int, Iterable[str]]) -> list[Document]:
    """Return the rules for the same ports whose CIDRs are not wanted, as AWS takes them."""
    rules = []
    for port, cidrs in wanted.items():
        own = [rule for rule in group.permissions if rule.get("FromPort") == rule.get("ToPort") == port]
        extra = {one["CidrIp"] for rule in own for one in rule.get("IpRanges", [])} - set(cidrs)
        rules += [_rule(port, sorted(extra))] if extra else []
    return rules


def _rule(port: int, cidrs: Iterable[str]) -> Document:
    ranges = [{"CidrIp": cidr} for cidr in cidrs]
    return {"IpProtocol": "tcp", "FromPort": port, "ToPort": port, "IpRanges": ranges}


def _group(found: Document) -> Group:
    rules, tags = found.get("IpPermissions", []), found.get("Tags", [])
    return Group(found["GroupId"], found.get("VpcId", ""), tuple(rules), tuple(tags))


def _covers(rule: Document, port: int) -> bool:
    if rule["IpProtocol"] == "-1":
        return True
    return bool(rule["IpProtocol"] == "tcp" and rule["FromPort"] <= port <= rule["ToPort"])


def _sources(rule: Document) -> list[str]:
    addresses = {"IpRanges": "CidrIp", "Ipv6Ranges": "CidrIpv6"}
    others = {"UserIdGroupPairs": "GroupId", "PrefixListIds": "PrefixListId"}
    return [source[key] for ranges, key in (addresses | others).items() for source in rule.get(ranges, [])]
