"""Which calls IAM permits to an access key: policies, evaluated with resources and conditions.

moto evaluates only actions. This module evaluates what this project's policies use: Allow and Deny,
wildcards, the condition operators below, and the resources and condition keys that `demands()` knows of. Whatever else
a policy says counts as not fulfilled: an Allow with it permits nothing here, a Deny with it denies nothing.

Sources: "Policy evaluation logic" and "IAM JSON policy elements: Condition operators" in the IAM user guide; the tables
of actions, resources and condition keys in the service authorization reference; for the calls that take another action
as well, "Amazon Route 53 API permissions" and "Elastic Load Balancing API permissions" in the guides of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from sandbox.aws.api.record_sets import normal_name

Tags = Callable[[str], Mapping[str, str]]  # the tags of an EC2 instance, by its id
Context = Mapping[str, Sequence[str]]
_OPERATORS: dict[str, Callable[[Sequence[str], Sequence[str]], bool]] = {  # from the policy's values and the call's
    "StringEquals": lambda wanted, given: bool(given) and set(given) <= set(wanted),
    "StringLike": lambda wanted, given: bool(given) and all(any(fnmatchcase(g, w) for w in wanted) for g in given),
    "ForAllValues:StringEquals": lambda wanted, given: set(given) <= set(wanted),
    "ForAllValues:StringLike": lambda wanted, given: all(any(fnmatchcase(g, w) for w in wanted) for g in given),
    "Null": lambda wanted, given: list(wanted) == ["false" if given else "true"],
}
_CHANGE = "ChangeResourceRecordSets"
_LAUNCHED_WITH = ("image", "network-interface", "security-group", "subnet", "volume")  # what RunInstances needs as well
_EVENTS_ROLE = "arn:aws:iam::ACCOUNT:role/aws-service-role/events.amazonaws.com/AWSServiceRoleForCloudWatchEvents"
_BESIDES = {  # actions of EC2 that a call takes as well
    "route53:ListHostedZonesByVPC": ("Vpcs",),
    "elasticloadbalancing:CreateLoadBalancer": (
        *("AccountAttributes", "Addresses", "InternetGateways", "SecurityGroups", "Subnets", "Vpcs"),
    ),
    "elasticloadbalancing:CreateTargetGroup": ("InternetGateways", "Vpcs"),
    "elasticloadbalancing:RegisterTargets": ("Instances", "InternetGateways", "Subnets", "Vpcs"),
}


@dataclass(frozen=True)
class Demand:
    """One thing that has to be permitted for a call."""

    action: str  # service:Action
    resource: str = "*"  # ARN; `*` for actions that take none, and for EC2 but RunInstances
    context: Context = field(default_factory=dict)


def refused(policies: Iterable[Mapping[str, Any]], asked: Iterable[Demand]) -> Demand | None:
    """The first demand that the policies don't permit; None when they permit all."""
    statements = [one for policy in policies for one in _list(policy["Statement"])]
    for demand in asked:
        if {one["Effect"] for one in statements if _applies(one, demand)} != {"Allow"}:
            return demand
    return None


def demands(service: str, action: str, parameters: Mapping[str, Any], tags: Tags) -> list[Demand]:
    """What has to be permitted for this call; `parameters` as boto3 names them."""
    name = f"{service}:{action}"
    match service:
        case "route53":
            changes = _changes(parameters) if action == _CHANGE else {}
            asked = [Demand(name, _route53_resource(action, parameters), changes)]
        case "ec2":
            found = [{f"aws:ResourceTag/{key}": [tag] for key, tag in tags(id).items()} for id in _ids(parameters)]
            asked = [Demand(name, context=context) for context in found or [{}]]
            if action == "RunInstances":
                asked = [Demand(name, _ec2_arn("instance"), _launch(parameters))]
                asked += [Demand(name, _ec2_arn(kind)) for kind in _LAUNCHED_WITH]
            if _tag_specifications(parameters):
                asked.append(Demand("ec2:CreateTags", context={"ec2:CreateAction": [action]}))
        case "elasticloadbalancing":
            asked = [Demand(name, _balancing_resource(action, parameters))]
            if parameters.get("Tags"):
                creation = {"elasticloadbalancing:CreateAction": [action]}
                asked.append(Demand("elasticloadbalancing:AddTags", asked[0].resource, creation))
        case "cloudwatch":
            asked = _alarm_demands(name, action, parameters)
        case "iam":
            asked = [Demand(name, _iam_resource(parameters))]
        case _:
            asked = [Demand(name)]
    asked += [Demand(f"ec2:Describe{what}") for what in _BESIDES.get(name, ())]
    return [demand for demand in asked if demand.action != "sts:GetCallerIdentity"]  # which takes no permission


def _applies(statement: Mapping[str, Any], demand: Demand) -> bool:
    actions, resources = _list(statement.get("Action", ())), _list(statement.get("Resource", ()))
    return (
        any(fnmatchcase(demand.action.lower(), pattern.lower()) for pattern in actions)
        and any(fnmatchcase(demand.resource, pattern) for pattern in resources)
        and all(
            operator in _OPERATORS and _OPERATORS[operator](_list(wanted), demand.context.get(key, ()))
            for operator, keys in statement.get("Condition", {}).items()
            for key, wanted in keys.items()
        )
    )


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _ids(parameters: Mapping[str, Any]) -> list[str]:
    return _list(parameters.get("InstanceIds", ()))


def _ec2_arn(kind: str) -> str:
    return f"arn:aws:ec2:REGION:ACCOUNT:{kind}/ANY"


def _tag_specifications(parameters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _list(parameters.get("TagSpecifications") or parameters.get("TagSpecification") or [])


def _launch(parameters: Mapping[str, Any]) -> Context:
    """The condition keys of the instance that is launched."""
    tags = [tag for one in _tag_specifications(parameters) for tag in _list(one.get("Tags") or one.get("Tag") or [])]
    asked = {f"aws:RequestTag/{tag['Key']}": [tag["Value"]] for tag in tags}
    return asked | {"ec2:InstanceType": [str(parameters.get("InstanceType", "m1.small"))]}


def _route53_resource(action: str, parameters: Mapping[str, Any]) -> str:
    id = str(parameters.get("HostedZoneId") or parameters.get("Id") or "").rpartition("/")[2]
    if not id:
        return "*"
    return f"arn:aws:route53:::{'change' if action == 'GetChange' else 'hostedzone'}/{id}"


def _alarm_demands(name: str, action: str, parameters: Mapping[str, Any]) -> list[Demand]:
    """What a call about alarms takes: their ARNs, and for actions of EC2 the right to make CloudWatch's own role."""
    names = [*_list(parameters.get("AlarmNames") or []), *_list(parameters.get("AlarmName") or [])]
    arns = [f"arn:aws:cloudwatch:REGION:ACCOUNT:alarm:{one}" for one in names]
    if action != "PutMetricAlarm":
        asked = [Demand(name, arn) for arn in arns if action != "DescribeAlarms"]
        return asked or [Demand(name, str(parameters.get("ResourceARN") or "*"))]
    actions = [str(one) for one in _list(parameters.get("AlarmActions") or [])]
    asked = [Demand(name, arns[0], {"cloudwatch:AlarmActions": actions})]
    if parameters.get("Tags"):
        asked.append(Demand("cloudwatch:TagResource", arns[0]))
    if any(one.startswith("arn:aws:automate:") for one in actions):
        service = {"iam:AWSServiceName": ["events.amazonaws.com"]}
        asked.append(Demand("iam:CreateServiceLinkedRole", _EVENTS_ROLE, service))
    return asked


def _iam_resource(parameters: Mapping[str, Any]) -> str:
    """The ARN of the role or provider that a call names."""
    if "RoleName" in parameters:
        return f"arn:aws:iam::ACCOUNT:role/{parameters['RoleName']}"
    url = str(parameters.get("Url", "")).removeprefix("https://")
    return str(
        parameters.get("OpenIDConnectProviderArn") or (f"arn:aws:iam::ACCOUNT:oidc-provider/{url}" if url else "*")
    )


def _changes(parameters: Mapping[str, Any]) -> Context:
    """The condition keys of a batch of changes; names without the last dot."""
    changes = parameters["ChangeBatch"]["Changes"]
    sets = [change["ResourceRecordSet"] for change in changes]
    return {
        f"route53:{_CHANGE}NormalizedRecordNames": [normal_name(one["Name"]).rstrip(".") for one in sets],
        f"route53:{_CHANGE}RecordTypes": [one["Type"] for one in sets],
        f"route53:{_CHANGE}Actions": [change["Action"] for change in changes],
    }


def _balancing_resource(action: str, parameters: Mapping[str, Any]) -> str:
    """The ARN that a call names, or that of what it makes, as far as that is known before."""
    kind = {"CreateLoadBalancer": "loadbalancer/app", "CreateTargetGroup": "targetgroup"}.get(action)
    if kind:
        return f"arn:aws:elasticloadbalancing:REGION:ACCOUNT:{kind}/{parameters['Name']}/NEW"
    names = ("ListenerArn", "LoadBalancerArn", "TargetGroupArn")
    return next((str(parameters[name]) for name in names if name in parameters), "*")
