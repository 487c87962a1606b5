"""What moto keeps of the emulated account, read where it lies: without calls that the log would show."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.ec2.models import ec2_backends
from moto.ec2.models.instances import Instance
from moto.route53.models import FakeZone, route53_backends

from sandbox.aws.api.record_sets import RecordSet
from sandbox.aws.api.strict import record_sets
from sandbox.aws.aws_state import REGION
from sandbox.aws.instance_info import InstanceInfo
from sandbox.aws.vpc.host import HostSpec


def running_hosts() -> list[HostSpec]:
    """The EC2 instances that run, as far as their hosts must know them."""
    return [
        HostSpec(each.id, str(each.private_ip), base64.b64decode(str(each.user_data)) if each.user_data else b"")
        for each in _instances()
        if each.state == "running"
    ]


def running_ids() -> list[str]:
    """The ids of the EC2 instances that run."""
    return [each.id for each in _instances() if each.state == "running"]


def infos(booted: Callable[[str], bool]) -> list[dict[str, Any]]:
    """All EC2 instances as InstanceInfo has them, terminated ones included; `booted` tells whether a host is on."""
    return [
        asdict(
            InstanceInfo(
                id=each.id,
                state=str(each.state),
                address=str(each.private_ip),
                tags={tag["key"]: tag["value"] for tag in each.get_tags()},
                host_running=booted(each.id),
            )
        )
        for each in _instances()
    ]


def zone(zone_id: str) -> list[dict[str, Any]]:
    """All record sets of a zone, in a fixed order and form."""
    read = sorted((found for found, _ in record_sets(_zones()[zone_id])), key=lambda found: (found.name, found.type))
    return [vars(found) for found in read]


def names_in(vpc_id: str) -> list[RecordSet]:
    """The record sets that the resolver of a VPC sees: those of the private zones that it is associated with."""
    private = (each for each in _zones().values() if each.private_zone)
    ours = (each for each in private if any(vpc["vpc_id"] == vpc_id for vpc in each.vpcs))
    return [read for each in ours for read, _ in record_sets(each)]


def _instances() -> list[Instance]:
    found: list[Instance] = ec2_backends[DEFAULT_ACCOUNT_ID][REGION].all_instances()
    return found


def _zones() -> dict[str, FakeZone]:
    zones: dict[str, FakeZone] = route53_backends[DEFAULT_ACCOUNT_ID]["aws"].zones
    return zones
