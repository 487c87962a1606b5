"""The settings of the AWS process, and what it reports when it is ready."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

REGION = "eu-central-1"
ACCESS_KEY = "AKIAIOSFODNN7SANDBOX"
SECRET_KEY = "sandbox/not+a+secret/0000000000000000000"
OWN_PATH = "/_sandbox"  # below it, what AWS itself doesn't have; see api/moto_server.py


@dataclass(frozen=True)
class AwsSettings:
    """What the world asks of the AWS process."""

    folder: str  # for its log, its hosts' disks and the call log; exists
    zone: str  # name of the private hosted zone
    project: str  # the dstack project whose gateways will run here
    token: str  # for what is below OWN_PATH
    alarm_speed: float = 1.0  # how many minutes of CloudWatch's alarms pass in a real one


@dataclass(frozen=True)
class AwsState:
    """What whoever uses the emulated account must know."""

    folder: str  # see AwsSettings
    url: str
    token: str
    zone: str
    zone_id: str
    vpc_id: str
    network: str  # the VPC's addresses, as CIDR
    pods_address: str | None  # where pods must listen to be reachable from hosts; None without hosts
    network_pid: int | None  # the process whose namespaces are the VPC's; None without hosts
    notice: str  # one line for people: which base image hosts boot from, or why there are no hosts

    @property
    def environ(self) -> dict[str, str]:
        """The variables that lead an AWS client here."""
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def added_to(self, cloud_environ: dict[str, str]) -> dict[str, str]:
        """`cloud_environ` with the variables of AWS, and with no proxy for the VPC's network."""
        return {**cloud_environ, **self.environ, "NO_PROXY": f"{cloud_environ['NO_PROXY']},{self.network}"}

    @property
    def backend(self) -> dict[str, Any]:
        """The backend of a dstack server's configuration that makes private gateways here."""
        return {
            "type": "aws",
            "creds": {"type": "default"},
            "regions": [REGION],
            "vpc_ids": {REGION: self.vpc_id},
            "default_vpcs": False,
            "public_ips": False,
        }
