"""`inv doctor`, `inv setup.aws` and `inv setup.remove` against an emulated AWS account that enforces policies.

No dstack server runs here: doctor's checks of AWS do not need one.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
from dstack._internal.core.backends.aws import resources

from sandbox import Sandbox
from tests.end_to_end import account
from tests.end_to_end.account import Variables, actions, asked, client, key, policy, without
from tests.rendered import Bake

pytestmark = pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # boto3 leaves connections to the collector
REPOSITORY = "acme@1/nemo@2"
GROUP = "dstack_gw_sg_main"
AWS_CLI = "awscli==1.46.3"  # in this file alone: the printed commands are typed into it
ROLES = ["mistral-nemo-dns", "mistral-nemo-plan"]
IN_AWS = ["AWS account", "region", "VPC", "subnets", "security group", "zone", "OIDC provider", "role dns", "role plan"]


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(server=False, aws=True, zone="ai.internal") as running:
        yield running


@pytest.fixture(scope="module")
def accounts(rooms: dict[str, Any]) -> Any:
    """The package `account` of a rendering."""
    return rooms["account"]


@pytest.fixture
def project(baked: Bake, sandbox: Sandbox, tmp_path: Path) -> Iterator[Project]:
    """A project as it is rendered, in an account in which nothing was made for it."""
    made = Project(Path(shutil.copytree(baked(aws_region=account.REGION), tmp_path / "project")), sandbox)
    made.forget()
    yield made
    made.forget()


class Project:
    """A baked project whose commands run against the sandbox's AWS."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder, self.sandbox = folder, sandbox
        self.file = folder / "environments" / "prod.yml"
        self._rendered = self.file.read_bytes()

    def inv(self, *words: str, variables: Mapping[str, str] | None = None, typed: str = "") -> Any:
        """Run `inv … --env prod` to its end."""
        own = dict(variables or self.sandbox.aws.environ)
        environ = os.environ | own | {"DSTACK_SERVER_URL": "http://127.0.0.1:9", "DSTACK_TOKEN": "t0ken"}
        command = [sys.executable, "-m", "invoke", *words, "--env", "prod"]
        return subprocess.run(
            command, cwd=self.folder, env=environ, input=typed, capture_output=True, text=True, timeout=120
        )

    def setup(self, *words: str, **more: Any) -> Any:
        """Run `inv setup.aws` with answers to all that it asks."""
        usual = {"--vpc": self.sandbox.aws.vpc_id, "--repository": REPOSITORY}
        flags = [word for flag, value in usual.items() if flag not in words for word in (flag, value)]
        return self.inv("setup.aws", *flags, *words, **more)

    def findings(self, variables: Mapping[str, str] | None = None) -> dict[str, Any]:
        """Return what `inv doctor` finds, by check."""
        done = self.inv("doctor", "--json", variables=variables)
        assert "Traceback" not in done.stderr
        return {one["check"]: one for one in json.loads(done.stdout)}

    def writes(self) -> int:
        return len(self.sandbox.aws.calls(writes=True))

    def forget(self) -> None:
        """Delete what was made, and restore the environment's file."""
        self.sandbox.faults.clear()
        self.file.write_bytes(self._rendered)
        iam, ec2 = (client(name, self.sandbox.aws.environ) for name in ("iam", "ec2"))
        for role in iam.list_roles()["Roles"]:
            for name in iam.list_role_policies(RoleName=role["RoleName"])["PolicyNames"]:
                iam.delete_role_policy(RoleName=role["RoleName"], PolicyName=name)
            iam.delete_role(RoleName=role["RoleName"])
        for provider in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
            iam.delete_open_id_connect_provider(OpenIDConnectProviderArn=provider["Arn"])
        for group in self.groups():
            ec2.delete_security_group(GroupId=group["GroupId"])

    def groups(self) -> list[dict[str, Any]]:
        filters = [{"Name": "group-name", "Values": [GROUP]}]
        ec2 = client("ec2", self.sandbox.aws.environ)
        found: list[dict[str, Any]] = ec2.describe_security_groups(Filters=filters)["SecurityGroups"]
        return found

    def roles(self) -> list[str]:
        return sorted(one["RoleName"] for one in client("iam", self.sandbox.aws.environ).list_roles()["Roles"])


def in_one_line(done: Any, code: int, *said: str) -> None:
    """It ended with `code` and one line of error that says this."""
    assert done.returncode == code, done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    [error] = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert [words for words in said if words not in error] == [], error


# ---- from nothing to everything, and back ----


def test_setup_makes_what_doctor_misses_and_a_second_run_changes_nothing(project: Project) -> None:
    before = project.findings()
    assert before["placeholders"]["ok"] is False
    assert "setup.aws" in before["placeholders"]["remedy"]
    assert before["VPC"] == {"check": "VPC", "ok": None, "text": "not checked: needs placeholders", "remedy": ""}
    done = project.setup("--yes")
    assert done.returncode == 0, done.stderr
    after = project.findings()
    assert [after[name]["ok"] for name in IN_AWS] == [True] * len(IN_AWS), after
    writes, text = project.writes(), project.file.read_bytes()
    again = project.inv("setup.aws")  # nothing is asked: what was made has the answers
    assert again.returncode == 0, again.stderr
    assert (project.writes(), project.file.read_bytes()) == (writes, text)
    assert {line.split()[0] for line in again.stdout.splitlines() if line} == {"unchanged"}


def test_only_the_id_of_the_vpc_changes_in_the_file(project: Project) -> None:
    before = project.file.read_text("utf-8")
    assert project.setup("--yes").returncode == 0
    assert project.file.read_text("utf-8") == before.replace("vpc-REPLACE", project.sandbox.aws.vpc_id)


def test_what_is_made_carries_the_tags_of_the_service(project: Project) -> None:
    assert project.setup("--yes").returncode == 0
    wanted = {"created-by": "ai-service", "service": "main/mistral-nemo"}
    iam = client("iam", project.sandbox.aws.environ)
    [group] = project.groups()
    [provider] = iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]
    tagged = [
        group["Tags"],
        iam.get_open_id_connect_provider(OpenIDConnectProviderArn=provider["Arn"])["Tags"],
        *(iam.get_role(RoleName=name)["Role"]["Tags"] for name in ROLES),
    ]
    assert [{tag["Key"]: tag["Value"] for tag in tags} for tags in tagged] == [wanted] * 4


def test_remove_deletes_what_setup_made_and_keeps_what_is_shared(project: Project) -> None:
    assert project.setup("--yes").returncode == 0
    done = project.inv("setup.remove", "--yes")
    assert done.returncode == 0, done.stderr
    assert (project.roles(), project.groups()) == ([], [])
    assert "keep  OIDC provider" in done.stdout
    assert client("iam", project.sandbox.aws.environ).list_open_id_connect_providers()["OpenIDConnectProviderList"]
    writes = project.writes()
    assert project.inv("setup.remove", "--yes").returncode == 0
    assert project.writes() == writes


@pytest.mark.parametrize("words", [("setup.aws", "--dry-run"), ("setup.aws", "--print"), ("setup.aws",)])
def test_without_a_yes_nothing_is_made(project: Project, words: tuple[str, ...]) -> None:
    writes, text = project.writes(), project.file.read_bytes()
    done = project.setup(*words[1:])
    assert done.returncode == (0 if words[1:] else 34), done.stderr
    assert (project.writes(), project.file.read_bytes()) == (writes, text)


def test_the_printed_commands_do_the_same(project: Project, aws_cli: Path) -> None:
    """They are pasted into a shell by somebody else, with the aws CLI."""
    printed = project.setup("--print")
    assert printed.returncode == 0, printed.stderr
    environ = os.environ | project.sandbox.aws.environ | {"PATH": f"{aws_cli.parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-e"], input=printed.stdout, env=environ, text=True, check=True, capture_output=True)
    assert project.roles() == ROLES
    done = project.setup("--yes")
    assert done.returncode == 0, done.stderr
    assert {line.split()[0] for line in done.stdout.splitlines() if line} == {"unchanged", "change"}
    assert [line for line in done.stdout.splitlines() if line.strip().startswith("change")] == [
        line for line in done.stdout.splitlines() if "environments/prod.yml" in line
    ]


@pytest.fixture(scope="module")
def aws_cli(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The aws command line, which uv installs into an environment of its own: it needs another botocore."""
    program = tmp_path_factory.mktemp("aws") / "aws"
    uvx = Path(sys.executable).with_name("uvx")
    program.write_text(f'#!/bin/sh\nexec {uvx} --quiet --from {AWS_CLI} aws "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    return program


# ---- what belongs to others ----


def test_what_others_made_stays_and_is_shown_with_what_differs(project: Project) -> None:
    environ = project.sandbox.aws.environ
    trust = json.dumps({"Version": "2012-10-17", "Statement": []})
    client("iam", environ).create_role(RoleName=ROLES[0], AssumeRolePolicyDocument=trust)
    vpc = project.sandbox.aws.vpc_id
    client("ec2", environ).create_security_group(GroupName=GROUP, Description="mine", VpcId=vpc)
    done = project.setup("--yes")
    assert done.returncode == 0, done.stderr
    kept = [line for line in done.stdout.splitlines() if line.strip().startswith("keep")]
    assert len(kept) == 2
    assert "22 from nobody" in kept[0]
    assert "trusts other subjects" in kept[1]
    [group] = project.groups()
    assert group["IpPermissions"] == []
    assert client("iam", environ).list_role_policies(RoleName=ROLES[0])["PolicyNames"] == []
    removed = project.inv("setup.remove", "--yes")
    assert removed.returncode == 0, removed.stderr
    assert project.roles() == ROLES[:1]
    assert project.groups() == [group]


def test_a_group_in_use_stays(project: Project) -> None:
    assert project.setup("--yes").returncode == 0
    ec2 = client("ec2", project.sandbox.aws.environ)
    [group] = project.groups()
    filters = [{"Name": "vpc-id", "Values": [project.sandbox.aws.vpc_id]}]
    subnet = ec2.describe_subnets(Filters=filters)["Subnets"][0]["SubnetId"]
    made = ec2.create_network_interface(SubnetId=subnet, Groups=[group["GroupId"]])["NetworkInterface"]
    try:
        done = project.inv("setup.remove", "--yes")
        assert done.returncode == 0, done.stderr
        assert f"in use by {made['NetworkInterfaceId']}" in done.stdout
        assert project.groups()
    finally:
        ec2.delete_network_interface(NetworkInterfaceId=made["NetworkInterfaceId"])


def test_own_roles_and_rules_follow_the_files_and_flags(project: Project) -> None:
    assert project.setup("--yes", "--caller-cidr", "10.1.0.0/16").returncode == 0
    done = project.inv("setup.aws", "--yes", "--caller-cidr", "10.2.0.0/16", "--repository", "acme/other")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines() if line].count("change") == 3
    [group] = project.groups()
    sources = {rule["FromPort"]: [one["CidrIp"] for one in rule["IpRanges"]] for rule in group["IpPermissions"]}
    assert sources == {22: [project.sandbox.aws.network], 80: ["10.2.0.0/16"]}
    assert project.findings()["role dns"]["text"].endswith("to repo:acme/other:environment:prod")


# ---- AWS refuses, stumbles, does not answer ----


@pytest.mark.parametrize("action", ["ec2:CreateSecurityGroup", "iam:CreateOpenIDConnectProvider", "iam:PutRolePolicy"])
def test_a_refusal_in_the_middle_is_one_line_and_the_next_run_continues(project: Project, action: str) -> None:
    project.sandbox.faults.add("error", "aws", status=403, route=action, times=1)
    done = project.setup("--yes")
    in_one_line(done, 44, action)
    assert "running it again continues" in done.stderr
    again = project.setup("--yes")
    assert again.returncode == 0, again.stderr
    found = project.findings()
    assert [found[name]["ok"] for name in IN_AWS] == [True] * len(IN_AWS), found


@pytest.mark.parametrize("lost", ["ec2:AuthorizeSecurityGroupIngress", "iam:CreateRole"])
def test_a_lost_answer_is_continued_by_the_next_run(project: Project, lost: str) -> None:
    project.sandbox.faults.add("lost", "aws", route=lost, times=1)
    first = project.setup("--yes")
    assert first.returncode in (0, 44), first.stderr
    assert "Traceback" not in first.stderr
    assert project.setup("--yes").returncode == 0
    found = project.findings()
    assert [found[name]["ok"] for name in IN_AWS] == [True] * len(IN_AWS), found


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--vpc", "vpc-1"), 43, "has no VPC vpc-1; it has: vpc-"),
        (("--caller-cidr", "10.0.0.1/8"), 20, "--caller-cidr can't be '10.0.0.1/8'"),
        (("--server-cidr", "everybody"), 20, "--server-cidr can't be 'everybody'"),
        (("--server-cidr", ","), 20, "--server-cidr names no addresses"),
        (("--repository", "nemo"), 20, "--repository can't be 'nemo'"),
        (("--repository", "a/b:environment:x"), 20, "--repository can't be"),
    ],
)
def test_bad_answers_are_refused_before_anything_is_made(
    project: Project, words: tuple[str, ...], code: int, said: str
) -> None:
    writes = project.writes()
    in_one_line(project.setup("--yes", *words), code, said)
    assert project.writes() == writes


def test_without_credentials_it_says_so(project: Project) -> None:
    nobody = {"AWS_CONFIG_FILE": "/dev/null", "AWS_SHARED_CREDENTIALS_FILE": "/dev/null"}
    nobody |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    variables = project.sandbox.aws.environ | nobody
    in_one_line(project.setup("--yes", variables=variables), 44, "credentials", "AWS_PROFILE")
    found = project.findings(variables)
    assert found["AWS account"]["ok"] is False
    assert found["OIDC provider"]["text"] == "not checked: needs AWS account"


# ---- doctor's policy ----


def test_doctor_takes_exactly_its_policy(project: Project) -> None:
    assert project.setup("--yes").returncode == 0
    own = key(project.sandbox, policy(project.folder, "doctor"))
    found = project.findings(own)
    assert [found[name]["ok"] for name in IN_AWS] == [True] * len(IN_AWS), found
    said = asked(project.sandbox, own) - {("sts:GetCallerIdentity", 200)}
    assert said == {(action, 200) for action in actions(policy(project.folder, "doctor"))}


def test_a_missing_permission_is_named_and_is_no_failure(project: Project) -> None:
    """At first all are missing. A check names one that it lacks, and the next run has all that were named."""
    assert project.setup("--yes").returncode == 0
    missing = actions(policy(project.folder, "doctor"))
    while missing:
        less = without(policy(project.folder, "doctor"), *missing)
        own: Variables = key(project.sandbox, *[less] * bool(less["Statement"]))
        found = project.findings(own)
        named = {action: [one for one in found.values() if action in one["text"]] for action in missing}
        assert [one["ok"] for those in named.values() for one in those if one["ok"] is not None] == []
        assert not [name for name in IN_AWS if found[name]["ok"] is False]
        last, missing = missing, {action for action, those in named.items() if not those}
        assert missing != last, found


# ---- what doctor sees ----


def test_each_fault_of_the_account_is_found_with_its_remedy(project: Project) -> None:
    assert project.setup("--yes").returncode == 0
    environ, vpc = project.sandbox.aws.environ, project.sandbox.aws.vpc_id
    ec2, iam = client("ec2", environ), client("iam", environ)
    ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": False})
    try:
        found = project.findings()["VPC"]
    finally:
        ec2.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
    assert "--enable-dns-hostnames" in found["remedy"]
    [group] = project.groups()
    everybody = [{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.authorize_security_group_ingress(GroupId=group["GroupId"], IpPermissions=everybody)
    other = json.dumps(policy(project.folder, "plan", ZONE_ID=project.sandbox.aws.zone_id))
    iam.put_role_policy(RoleName=ROLES[0], PolicyName="dns", PolicyDocument=other)
    iam.delete_role_policy(RoleName=ROLES[1], PolicyName="plan")
    iam.delete_role(RoleName=ROLES[1])
    found = project.findings()
    assert found["security group"]["ok"] is True
    assert "warning: port 22 is open to every address" in found["security group"]["text"]
    assert "policies/dns.json" in found["role dns"]["text"]
    assert found["role plan"]["text"].startswith("there is no role mistral-nemo-plan")
    assert project.inv("doctor").returncode == 21  # the first that failed is the server
    project.file.write_text(project.file.read_text("utf-8").replace("gateway: {}", "gateway: {domain: other.internal}"))
    zone = project.findings()["zone"]
    assert (zone["ok"], "no private zone other.internal" in zone["text"]) == (False, True)


# ---- the rule by which dstack picks a subnet ----

LANDSCAPES: dict[str, dict[str, Any]] = {
    "nat": {"own": [("0.0.0.0/0", "NatGatewayId")]},
    "internet": {"own": [("0.0.0.0/0", "GatewayId")]},
    "peering": {"own": [("0.0.0.0/0", "VpcPeeringConnectionId")]},
    "transit": {"own": [("0.0.0.0/0", "TransitGatewayId")]},
    "a part of the addresses": {"own": [("10.9.0.0/16", "NatGatewayId")]},
    "no way out": {"own": []},
    "by the main table": {"main": [("0.0.0.0/0", "NatGatewayId")]},
    "the own table counts alone": {"own": [], "main": [("0.0.0.0/0", "NatGatewayId")]},
    "the main table leads to the internet": {"main": [("0.0.0.0/0", "GatewayId")]},
    "both": {"own": [("0.0.0.0/0", "NatGatewayId"), ("10.8.0.0/16", "GatewayId")]},
}


@pytest.mark.parametrize("landscape", LANDSCAPES)
def test_doctor_and_dstack_agree_on_the_subnets_for_gateways(
    landscape: str, sandbox: Sandbox, accounts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in sandbox.aws.environ.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    ec2, routes = client("ec2", sandbox.aws.environ), LANDSCAPES[landscape]
    vpc = ec2.create_vpc(CidrBlock="10.77.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.77.0.0/24")["Subnet"]["SubnetId"]
    internet = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=internet, VpcId=vpc)
    filters = [{"Name": "vpc-id", "Values": [vpc]}, {"Name": "association.main", "Values": ["true"]}]
    tables = {"main": ec2.describe_route_tables(Filters=filters)["RouteTables"][0]["RouteTableId"]}
    if "own" in routes:
        tables["own"] = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
        ec2.associate_route_table(RouteTableId=tables["own"], SubnetId=subnet)
    for table, found in routes.items():
        for cidr, kind in found:
            way = {kind: internet if kind == "GatewayId" else out_of(ec2, vpc, subnet, kind, sandbox.aws.vpc_id)}
            ec2.create_route(RouteTableId=tables[table], DestinationCidrBlock=cidr, **way)
    for public in (False, True):
        theirs = resources.get_subnets_ids_for_vpc(ec2, vpc, public)
        ours = accounts.aws.network.subnets_for_gateways(accounts.aws.client.Aws(account.REGION), vpc, public=public)
        assert [one["SubnetId"] for one in ours] == theirs


def out_of(ec2: Any, vpc: str, subnet: str, kind: str, other: str) -> str:
    """Make a private way out of a VPC. `other`: a VPC to be a peer of. Return its id."""
    match kind:
        case "NatGatewayId":
            found = ec2.create_nat_gateway(SubnetId=subnet)["NatGateway"]
        case "TransitGatewayId":
            found = ec2.create_transit_gateway()["TransitGateway"]
        case _:
            found = ec2.create_vpc_peering_connection(VpcId=vpc, PeerVpcId=other)["VpcPeeringConnection"]
    return str(found[kind])


def test_the_name_of_the_group_is_dstacks_own(sandbox: Sandbox, accounts: Any) -> None:
    ec2 = client("ec2", sandbox.aws.environ)
    made = resources.create_gateway_security_group(ec2, "My-Team", sandbox.aws.vpc_id)
    found = ec2.describe_security_groups(GroupIds=[made])["SecurityGroups"][0]["GroupName"]
    ec2.delete_security_group(GroupId=made)
    assert found == accounts.aws.security_group.group_name("My-Team")


# ---- the keys of the GPU clouds, against the emulated clouds ----


def test_keys_and_credit_are_asked_of_the_clouds(baked: Bake, sandbox: Sandbox) -> None:
    """The same variables lead a dstack server to these clouds."""
    keys = {f"{cloud.upper()}_API_KEY": key for cloud, key in sandbox.keys.items()}
    here = Project(baked(aws_region=account.REGION), sandbox)
    environ = dict(sandbox.aws.environ) | dict(sandbox.cloud_environ)
    found = here.findings(environ | keys)
    assert [found[name]["text"] for name in ("RunPod key", "Vast.ai key")] == [
        "RunPod takes the key; credit $12.50",
        "Vast.ai takes the key; credit $12.50",
    ]
    found = here.findings(environ | dict.fromkeys(keys, "wrong"))
    assert [found[name]["ok"] for name in ("RunPod key", "Vast.ai key")] == [False, False]
    assert "RUNPOD_API_KEY" in found["RunPod key"]["text"]
