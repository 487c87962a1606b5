"""One AWS account behind boto3's clients: a VPC, its subnets and security groups, roles, and the hosted zone."""

from __future__ import annotations

import json
from typing import Any

from botocore import xform_name
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

from stand_in.cloudwatch import CloudWatch
from stand_in.route53 import ACCOUNT, VPC, Route53

Json = dict[str, Any]
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"


class Aws(Route53, CloudWatch):
    """The account. `made` has the names of all calls that changed something, in order.

    `refusing`: the names of calls that AWS refuses, with AWS's word for it.
    """

    def __init__(self, domain: str) -> None:
        Route53.__init__(self, domain)
        CloudWatch.__init__(self)
        self.vpcs: list[Json] = [{"VpcId": VPC, "CidrBlock": "10.0.0.0/16", "Tags": [{"Key": "Name", "Value": "main"}]}]
        self.groups: list[Json] = []
        self.roles: dict[str, Json] = {}
        self.policies: dict[str, dict[str, Json]] = {}
        self.providers: list[str] = []
        self.made: list[str] = []
        self.refusing: dict[str, str] = {}

    def _call(self, client: Any, operation: str, arguments: Json) -> Json:
        service = client.meta.service_model.service_name
        if operation in self.refusing:
            raise _error(self.refusing[operation], operation)
        if service == "route53":
            return super()._call(client, operation, arguments)
        validate_parameters(arguments, client.meta.service_model.operation_model(operation).input_shape)
        if not operation.startswith(("Describe", "Get", "List")):
            self.made.append(operation)
        answer: Json = getattr(self, f"_{xform_name(operation)}")(arguments)
        return answer

    def _get_caller_identity(self, asked: Json) -> Json:
        return {"Account": ACCOUNT, "Arn": f"arn:aws:iam::{ACCOUNT}:user/person"}

    def _describe_vpcs(self, asked: Json) -> Json:
        return {"Vpcs": self.vpcs}

    def _describe_vpc_attribute(self, asked: Json) -> Json:
        return {asked["Attribute"][:1].upper() + asked["Attribute"][1:]: {"Value": True}}

    def _describe_subnets(self, asked: Json) -> Json:
        return {"Subnets": [{"SubnetId": "subnet-1", "AvailabilityZone": "a"}]}

    def _describe_route_tables(self, asked: Json) -> Json:
        way_out = {"DestinationCidrBlock": "0.0.0.0/0", "NatGatewayId": "nat-1"}
        return {"RouteTables": [{"Associations": [{"Main": True}], "Routes": [way_out]}]}

    def _describe_network_interfaces(self, asked: Json) -> Json:
        return {"NetworkInterfaces": []}

    def _describe_security_groups(self, asked: Json) -> Json:
        wanted = {one["Name"]: one["Values"] for one in asked["Filters"]}
        found = [group for group in self.groups if group["GroupName"] in wanted["group-name"]]
        return {"SecurityGroups": [group for group in found if group["VpcId"] in wanted.get("vpc-id", [VPC])]}

    def _create_security_group(self, asked: Json) -> Json:
        tags = asked["TagSpecifications"][0]["Tags"]
        named = {"GroupId": "sg-1", "GroupName": asked["GroupName"], "VpcId": asked["VpcId"]}
        self.groups.append({**named, "Tags": tags, "IpPermissions": []})
        return {"GroupId": "sg-1"}

    def _authorize_security_group_ingress(self, asked: Json) -> Json:
        [group] = [one for one in self.groups if one["GroupId"] == asked["GroupId"]]
        group["IpPermissions"] += asked["IpPermissions"]
        return {}

    def _delete_security_group(self, asked: Json) -> Json:
        self.groups = [one for one in self.groups if one["GroupId"] != asked["GroupId"]]
        return {}

    def _get_role(self, asked: Json) -> Json:
        if asked["RoleName"] not in self.roles:
            raise _error("NoSuchEntity", "GetRole")
        return {"Role": self.roles[asked["RoleName"]]}

    def _create_role(self, asked: Json) -> Json:
        trust = json.loads(asked["AssumeRolePolicyDocument"])
        self.roles[asked["RoleName"]] = {"AssumeRolePolicyDocument": trust, "Tags": asked["Tags"]}
        self.policies[asked["RoleName"]] = {}
        return {}

    def _delete_role(self, asked: Json) -> Json:
        if self.policies.pop(asked["RoleName"]):
            raise _error("DeleteConflict", "DeleteRole")
        del self.roles[asked["RoleName"]]
        return {}

    def _list_role_policies(self, asked: Json) -> Json:
        return {"PolicyNames": list(self.policies[asked["RoleName"]])}

    def _get_role_policy(self, asked: Json) -> Json:
        return {"PolicyDocument": self.policies[asked["RoleName"]][asked["PolicyName"]]}

    def _put_role_policy(self, asked: Json) -> Json:
        self.policies[asked["RoleName"]][asked["PolicyName"]] = json.loads(asked["PolicyDocument"])
        return {}

    def _delete_role_policy(self, asked: Json) -> Json:
        del self.policies[asked["RoleName"]][asked["PolicyName"]]
        return {}

    def _get_open_id_connect_provider(self, asked: Json) -> Json:
        if asked["OpenIDConnectProviderArn"] not in self.providers:
            raise _error("NoSuchEntity", "GetOpenIDConnectProvider")
        return {"ClientIDList": ["sts.amazonaws.com"]}

    def _create_open_id_connect_provider(self, asked: Json) -> Json:
        self.providers.append(PROVIDER)
        return {"OpenIDConnectProviderArn": PROVIDER}


def _error(code: str, operation: str) -> ClientError:
    status = {"ResponseMetadata": {"HTTPStatusCode": 403 if code == "AccessDenied" else 400}}
    return ClientError({"Error": {"Code": code, "Message": "no"}, **status}, operation)
