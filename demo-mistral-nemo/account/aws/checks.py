"""What `inv doctor` checks in AWS for an environment with a gateway there. It only reads."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property

from account import files, github
from account.aws import network, roles, security_group
from account.aws.client import Aws
from account.aws.zone import zone_id
from account.checks import Check, NotCheckedError
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.environments import Environment
from deploy.route53 import session

CONNECT_SECONDS = 5


def checks(environment: Environment) -> list[Check]:
    """Return the checks for this environment: none without a gateway in AWS."""
    gateway = environment.gateway
    if gateway is None or gateway.get("backend") != "aws":
        return []
    look = _Look(environment, gateway, Aws(str(gateway["region"])))
    found = [
        Check("AWS account", look.account),
        Check("region", look.region, ("AWS account",)),
        Check("VPC", look.vpc, ("AWS account", "region", "placeholders")),
        Check("subnets", look.subnets, ("VPC",)),
        Check("security group", look.security_group, ("AWS account", "region", "VPC")),
    ]
    if environment.dns:
        found.append(Check("zone", look.zone, ("AWS account", "region", "VPC")))
    if environment.dns and files.has_workflows():
        found.append(Check("OIDC provider", look.provider, ("AWS account",)))
        found += [Check(f"role {kind}", look.role(kind), ("AWS account", "zone")) for kind in roles.KINDS]
    return [*found, Check("name", look.name)]


@dataclass(frozen=True)
class _Look:
    """The checks of one environment. Each returns what it found, or raises Failure or NotCheckedError."""

    environment: Environment
    gateway: Document
    aws: Aws

    @cached_property
    def repository(self) -> str:
        """This repository as GitHub names it to AWS; gh is asked once for all roles."""
        return github.name_in_subjects()

    def account(self) -> str:
        found = self.aws.ask("sts", "get_caller_identity")
        return f"{found['Account']}, as {found['Arn']}"

    def region(self) -> str:
        asked = session(self.aws.region)
        parts = asked.get_available_partitions()
        known = [name for part in parts for name in asked.get_available_regions("ec2", part)]
        if self.aws.region not in known:
            near = get_close_matches(self.aws.region, known, n=1)
            remedy = f"did you mean {near[0]}?" if near else "write the region of the VPC"
            problem = f"the gateway's region is {self.aws.region}, and AWS has no such region"
            raise Failure(ExitCode.SETTINGS_INVALID, problem, f"{remedy} It is in dstack/gateway.dstack.yml")
        return self.aws.region

    def vpc(self) -> str:
        found = network.vpc(self.aws, self._vpc_id())
        if off := network.lacking_dns(self.aws, found.id):
            commands = " and ".join(_switch_on(found.id, self.aws.region, key) for key in off)
            problem = f"{found} has {', '.join(off)} switched off, so names of a private zone do not resolve in it"
            raise Failure(ExitCode.ACCOUNT_INCOMPLETE, problem, f"run {commands}")
        return str(found)

    def subnets(self) -> str:
        public, balanced = bool(self.gateway.get("public_ip", True)), bool(self.gateway.get("load_balancer"))
        found = network.subnets_for_gateways(self.aws, self._vpc_id(), public=public)
        network.refuse_subnets(found, self._vpc_id(), public=public, balanced=balanced)
        names = ", ".join(subnet["SubnetId"] for subnet in found)
        return f"dstack can put the gateway into {names} ({', '.join(network.zones_of(found))})"

    def security_group(self) -> str:
        vpc_id = self.environment.dns.vpc_id if self.environment.dns else None
        group = security_group.read(self.aws, self.environment, vpc_id)
        return security_group.examine(group, self.environment)

    def zone(self) -> str:
        found, vpc_id = zone_id(self.aws, self.environment), self.environment.dns and self.environment.dns.vpc_id
        return f"{self.gateway['domain']} is {found}, {f'private, of {vpc_id}' if vpc_id else 'public'}"

    def provider(self) -> str:
        if flaw := roles.provider_flaw(self.aws, self.aws.account_id()):
            remedy = f"run `inv setup.aws --env {self.environment.name}`"
            raise Failure(ExitCode.ACCOUNT_INCOMPLETE, f"{flaw}, so GitHub's jobs can't sign in", remedy)
        return f"the account trusts {roles.GITHUB}"

    def role(self, kind: str) -> _RoleLook:
        return _RoleLook(self, kind)

    def name(self) -> str:
        """Return whether callers here reach the gateway. A private name resolves only inside the VPC."""
        host, port = self.environment.host, 80 if self.gateway.get("certificate", "") is None else 443
        try:
            address = str(socket.getaddrinfo(host, port)[0][4][0])
        except OSError:
            why = f"{host} does not resolve here. It resolves in the VPC, after the first `inv deploy`"
            raise NotCheckedError(why) from None
        try:
            socket.create_connection((address, port), CONNECT_SECONDS).close()
        except OSError:
            raise NotCheckedError(f"{host} is {address}, and this machine can't connect to its port {port}") from None
        return f"{host} is {address}, and takes connections"

    def _vpc_id(self) -> str:
        """Return the VPC of the environment's file."""
        found = self.environment.dns.vpc_id if self.environment.dns else None
        if not found:
            raise NotCheckedError(f"{self.environment.file} names no VPC (dns.vpc_id)")
        return found


@dataclass(frozen=True)
class _RoleLook:
    """The check of one role."""

    look: _Look
    kind: str

    def __call__(self) -> str:
        aws, environment = self.look.aws, self.look.environment
        role = roles.read(aws, roles.role_name(environment, self.kind))
        repository = self.look.repository or (role.repository if role else "") or roles.REPOSITORY_PLACEHOLDER
        zone, account = zone_id(aws, environment), aws.account_id()
        wanted = roles.wanted(environment, self.kind, account=account, zone=zone, repository=repository)
        return roles.examine(role, wanted, environment)


def _switch_on(vpc_id: str, region: str, key: str) -> str:
    flag = {"EnableDnsSupport": "--enable-dns-support", "EnableDnsHostnames": "--enable-dns-hostnames"}[key]
    return f"`aws ec2 modify-vpc-attribute --region {region} --vpc-id {vpc_id} {flag}`"
