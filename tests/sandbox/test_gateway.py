"""EC2 hosts and the dstack gateway on them: real machines, DNS and nginx. As root, see `sandbox.aws.vpc.network`."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import boto3
import psutil
import pytest
from dstack._internal.core.backends.aws.resources import get_gateway_image_id

from sandbox import InstanceInfo, Sandbox, SandboxError
from sandbox.aws.vpc.network import missing
from tests.sandbox.deployment import ROOT, processes_of, wait_for

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.skipif(missing() is not None, reason=f"EC2 hosts: {missing()}"),
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # boto3 leaves connections to the collector
]
server = pytest.mark.server
# The one is run at every boot, the other once in the life of a disk.
USER_DATA = """#cloud-config
bootcmd: [echo boot >> /var/www/html/history]
runcmd: [echo user data >> /var/www/html/history]
"""
FIRST_BOOT = ["boot", "user data"]


class Cloud:
    """A sandbox's AWS account, with clients."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        environ = sandbox.aws.environ
        self._session = boto3.Session(
            environ["AWS_ACCESS_KEY_ID"], environ["AWS_SECRET_ACCESS_KEY"], region_name=environ["AWS_DEFAULT_REGION"]
        )
        self.ec2, self.route53 = (
            self._session.client(service, endpoint_url=environ["AWS_ENDPOINT_URL"]) for service in ("ec2", "route53")
        )

    def launch(self) -> str:
        """The id of a new instance."""
        subnets = self.ec2.describe_subnets(Filters=[{"Name": "vpc-id", "Values": [self.sandbox.aws.vpc_id]}])[
            "Subnets"
        ]
        launched = self.ec2.run_instances(
            ImageId=get_gateway_image_id(self.ec2),
            MinCount=1,
            MaxCount=1,
            SubnetId=subnets[0]["SubnetId"],
            UserData=USER_DATA,
        )
        return str(launched["Instances"][0]["InstanceId"])

    def instance(self, id: str) -> InstanceInfo:
        return next(each for each in self.sandbox.aws.instances() if each.id == id)

    def checks(self, id: str) -> tuple[str, str]:
        """What EC2 says of an instance's system and of the instance itself."""
        [found] = self.ec2.describe_instance_status(InstanceIds=[id])["InstanceStatuses"]
        return found["SystemStatus"]["Status"], found["InstanceStatus"]["Status"]

    def get(self, url: str, *headers: str) -> str | None:
        """What a client inside the VPC is answered; None for no connection or an error of HTTP."""
        words = [word for header in headers for word in ("--header", header)]
        done = self.sandbox.aws.inside("curl", "--silent", "--fail", "--max-time", "5", *words, url)
        return done.stdout if done.returncode == 0 else None

    def history(self, id: str) -> list[str]:
        """Return what the user data wrote on the instance, as its nginx shows it; empty while nginx is off."""
        return (self.get(f"http://{self.instance(id).address}/history") or "").splitlines()

    def wait_for_history(self, id: str, history: list[str]) -> None:
        wait_for(lambda: self.history(id) == history)

    def set_record(self, name: str, *addresses: str) -> None:
        """Point an A record of the private zone at `addresses`."""
        [zone] = self.route53.list_hosted_zones_by_vpc(VPCId=self.sandbox.aws.vpc_id, VPCRegion="eu-central-1")[
            "HostedZoneSummaries"
        ]
        records = [{"Value": address} for address in addresses]
        record_set = {"Name": name, "Type": "A", "TTL": 30, "ResourceRecords": records}
        batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": record_set}]}
        self.route53.change_resource_record_sets(HostedZoneId=zone["HostedZoneId"], ChangeBatch=batch)


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    with Sandbox(server=False, aws=True) as sandbox:
        yield Cloud(sandbox)


@contextmanager
def up(*args: str) -> Iterator[subprocess.Popen[str]]:
    """`python -m sandbox up ARGS`, ready."""
    command = [sys.executable, "-m", "sandbox", "up", "--json", *args]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert json.loads(process.stdout.readline())
        yield process
        process.send_signal(signal.SIGINT)


def traces(sandbox: Sandbox) -> list[Path]:
    """What the kernel keeps of a sandbox's network and hosts, beside processes: must be gone at the end."""
    network = ip_network(sandbox.aws.network)
    hosts = [found for found in processes_of(Path(str(sandbox.folder))) if found.name() == "systemd-nspawn"]
    lines = "".join(Path(f"/proc/{host.pid}/cgroup").read_text() for host in hosts)
    groups = set(re.findall(r"sandbox-\w+", lines))
    return [
        next(path for path in Path("/sys/class/net").iterdir() if path.name == f"vpc{int(network[0]) >> 8:06x}"),
        *(path for group in groups for path in Path("/sys/fs/cgroup").glob(f"**/{group}")),
    ]


# ---- Hosts ----


def test_an_instance_is_a_machine_that_follows_its_api(cloud: Cloud) -> None:
    id = cloud.launch()
    cloud.wait_for_history(id, FIRST_BOOT)
    assert cloud.instance(id).host_running
    cloud.ec2.stop_instances(InstanceIds=[id])
    wait_for(lambda: not cloud.instance(id).host_running)
    assert not cloud.history(id)
    cloud.ec2.start_instances(InstanceIds=[id])
    cloud.wait_for_history(id, [*FIRST_BOOT, "boot"])
    cloud.ec2.reboot_instances(InstanceIds=[id])
    cloud.wait_for_history(id, [*FIRST_BOOT, "boot", "boot"])
    cloud.ec2.terminate_instances(InstanceIds=[id])
    wait_for(lambda: not cloud.instance(id).host_running)
    assert not cloud.history(id)


def test_a_host_that_lost_power_restarts_and_one_that_lost_its_disk_starts_fresh(cloud: Cloud) -> None:
    id = cloud.launch()
    cloud.wait_for_history(id, FIRST_BOOT)
    address = cloud.instance(id).address
    cloud.sandbox.aws.power_loss(id)
    cloud.wait_for_history(id, [*FIRST_BOOT, "boot"])
    cloud.sandbox.aws.power_loss(id, wiped=True)
    cloud.wait_for_history(id, FIRST_BOOT)
    assert cloud.instance(id).address == address
    with pytest.raises(SandboxError, match="no host i-0"):
        cloud.sandbox.aws.power_loss("i-0")


def test_a_broken_host_stays_broken_and_ec2_sees_what_is_wrong(cloud: Cloud) -> None:
    id, aws = cloud.launch(), cloud.sandbox.aws
    cloud.wait_for_history(id, FIRST_BOOT)
    assert cloud.checks(id) == ("ok", "ok")
    aws.hang(id)
    assert cloud.checks(id) == ("ok", "impaired")
    assert not cloud.history(id)
    aws.power_loss(id)
    cloud.wait_for_history(id, [*FIRST_BOOT, "boot"])
    aws.lose_disk(id)
    assert cloud.checks(id) == ("ok", "ok")
    assert not cloud.history(id)
    aws.power_loss(id, lasting=True)
    assert cloud.checks(id) == ("impaired", "impaired")
    assert not cloud.instance(id).host_running
    for fault in (aws.hang, aws.lose_disk):
        with pytest.raises(SandboxError, match=f"{id} is off"):
            fault(id)
    cloud.ec2.stop_instances(InstanceIds=[id])
    cloud.ec2.start_instances(InstanceIds=[id])
    cloud.wait_for_history(id, [*FIRST_BOOT, "boot", "boot"])
    assert cloud.checks(id) == ("ok", "ok")
    cloud.ec2.terminate_instances(InstanceIds=[id])
    wait_for(lambda: not cloud.instance(id).host_running)
    with pytest.raises(SandboxError, match="terminated"):
        aws.power_loss(id)


def test_a_client_in_the_vpc_finds_names_of_the_private_zone_and_no_way_out(cloud: Cloud) -> None:
    name = f"db.{cloud.sandbox.aws.zone}"
    cloud.set_record(name, "10.0.0.7")
    assert cloud.sandbox.aws.inside("getent", "ahostsv4", name).stdout.split()[0] == "10.0.0.7"
    assert cloud.sandbox.aws.inside("getent", "ahostsv4", f"nobody.{cloud.sandbox.aws.zone}").returncode
    assert "default" not in cloud.sandbox.aws.inside("ip", "route").stdout


def test_two_sandboxes_have_networks_of_their_own(cloud: Cloud) -> None:
    id = cloud.launch()
    cloud.wait_for_history(id, FIRST_BOOT)
    with Sandbox(server=False, aws=True) as second:
        other = Cloud(second)
        other_id = other.launch()
        other.wait_for_history(other_id, FIRST_BOOT)
        assert other.get(f"http://{cloud.instance(id).address}/history") is None
        assert cloud.get(f"http://{other.instance(other_id).address}/history") is None
    assert cloud.history(id) == FIRST_BOOT


@server
@pytest.mark.parametrize("killed", ["the owner", "the world", "AWS"])
def test_whoever_is_killed_nothing_is_left(killed: str, tmp_path: Path) -> None:
    folder = tmp_path / "box"
    with up("--aws", "--folder", str(folder)) as process:
        cloud = Cloud(Sandbox.attach(folder))
        cloud.wait_for_history(cloud.launch(), FIRST_BOOT)
        left = traces(cloud.sandbox)
        assert len(left) > 1
        [world] = psutil.Process(process.pid).children()
        [aws] = [child for child in world.children() if "sandbox.aws" in child.cmdline()]
        os.kill({"the owner": process.pid, "the world": world.pid, "AWS": aws.pid}[killed], signal.SIGKILL)
        process.wait(30)
    wait_for(lambda: not processes_of(folder), 10)
    wait_for(lambda: not [path for path in left if path.exists()], 10)
