"""The steps that make, complete or delete the security group of a dstack project's gateways."""

from __future__ import annotations

from functools import partial

from account.aws import security_group
from account.aws.answers import Answers
from account.aws.client import Aws, Call
from account.aws.network import Vpc
from account.aws.security_group import HTTP, HTTPS, SSH, Group, group_name
from account.steps import Action, Step
from deploy import ownership
from deploy.documents.files import Document
from deploy.environments import Environment

EVERYBODY = "0.0.0.0/0"


def make(aws: Aws, environment: Environment, vpc: Vpc, answers: Answers) -> Step:
    """Return the step for the group in this VPC. A group with other tags is not changed."""
    group = security_group.read(aws, environment, vpc.id)
    subject = f"security group {group_name(environment.project)}"
    wanted_ports = security_group.ports(environment)
    closed = security_group.lacking(group, wanted_ports) if group else list(wanted_ports)
    if group and not (closed or answers.server_cidr or answers.caller_cidr):
        return Step(subject, Action.UNCHANGED, f"{group.id}: {security_group.describe(group, wanted_ports)}")
    rules = _wanted_rules(environment, vpc, answers, wanted_ports)
    if group is None:
        return _step(aws, subject, Action.CREATE, _text(rules), _creation(environment, vpc, rules))
    changes = _changes(group, rules)
    if not changes:
        return Step(subject, Action.UNCHANGED, f"{group.id}: {security_group.describe(group, wanted_ports)}")
    if not ownership.owns(environment, group.tags):
        has, lacks = security_group.describe(group, wanted_ports), _text(rules)
        return Step(subject, Action.KEEP, f"{group.id} was not made for this service; it has {has}; wanted: {lacks}")
    return _step(aws, subject, Action.CHANGE, f"{group.id}: {_text(rules)}", changes)


def removal(aws: Aws, environment: Environment) -> list[Step]:
    """Return the steps that delete the groups which were made for this service. One in use stays."""
    subject = f"security group {group_name(environment.project)}"
    vpc_id = environment.dns.vpc_id if environment.dns else None
    group = security_group.read(aws, environment, vpc_id)
    if group is None:
        return []
    if not ownership.owns(environment, group.tags):
        return [Step(subject, Action.KEEP, f"{group.id} was not made for this service")]
    used = aws.ask("ec2", "describe_network_interfaces", Filters=[{"Name": "group-id", "Values": [group.id]}])
    if interfaces := [one["NetworkInterfaceId"] for one in used["NetworkInterfaces"]]:
        return [Step(subject, Action.KEEP, f"{group.id} is in use by {', '.join(interfaces)}")]
    return [_step(aws, subject, Action.DELETE, group.id, [Call("ec2", "delete_security_group", {"GroupId": group.id})])]


def _wanted_rules(environment: Environment, vpc: Vpc, answers: Answers, ports: tuple[int, ...]) -> dict[int, list[str]]:
    """Return CIDRs by port: SSH for the dstack server, the others for callers."""
    public = bool((environment.gateway or {}).get("public_ip", True))
    callers = answers.caller_cidrs(EVERYBODY if public else vpc.cidr)
    cidrs = {SSH: answers.server_cidrs(vpc.cidr), HTTP: callers, HTTPS: callers}
    return {port: cidrs[port] for port in ports}


def _creation(environment: Environment, vpc: Vpc, rules: dict[int, list[str]]) -> list[Call]:
    tags = [{"ResourceType": "security-group", "Tags": ownership.tags(environment)}]
    made: Document = {
        "GroupName": group_name(environment.project),
        "Description": f"Gateways of the dstack project {environment.project}",
        "VpcId": vpc.id,
        "TagSpecifications": tags,
    }
    allowed = security_group.missing_rules(None, rules)
    return [
        Call("ec2", "create_security_group", made, keeps="GroupId"),
        Call("ec2", "authorize_security_group_ingress", {"GroupId": "$GroupId", "IpPermissions": allowed}),
    ]


def _changes(group: Group, rules: dict[int, list[str]]) -> list[Call]:
    missing, surplus = security_group.missing_rules(group, rules), security_group.surplus_rules(group, rules)
    calls = [("authorize_security_group_ingress", missing), ("revoke_security_group_ingress", surplus)]
    return [Call("ec2", name, {"GroupId": group.id, "IpPermissions": found}) for name, found in calls if found]


def _text(rules: dict[int, list[str]]) -> str:
    return ", ".join(f"{port} from {' '.join(cidrs)}" for port, cidrs in rules.items())


def _step(aws: Aws, subject: str, action: Action, detail: str, calls: list[Call]) -> Step:
    commands = tuple(call.command(aws.region) for call in calls)
    return Step(subject, action, detail, commands, partial(aws.carry_out, calls))
