"""The EC2 instances of a gateway: what AWS says about each of its replicas.

dstack keeps calling a replica `running` when its instance has ended. An address that does not answer proves nothing:
the way there may be closed. So recovery acts on what EC2 says, and on nothing else.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from console.errors import ExitCode
from deploy.documents.files import Document

REPLICA_TAG = "dstack_name"  # a tag of dstack: `<gateway>-<number>`
ENDED = {"shutting-down", "stopped", "terminated"}
STARTING = {"pending", "initializing", "insufficient-data"}


class State(StrEnum):
    """What EC2 says about the instance of a replica."""

    RUNNING = "running"
    STARTING = "starting"  # it runs, and EC2's status checks have not passed yet
    IMPAIRED = "impaired"  # a status check fails: EC2 or an alarm recovers or reboots it, at the same address
    ENDED = "ended"  # terminated or stopped: it never answers again by itself
    UNKNOWN = "unknown"  # EC2 lists no instance of this gateway: another account, or all ended an hour ago


@dataclass(frozen=True)
class Instance:
    """An EC2 instance. `state` is EC2's word, `checks` are its status checks, such as {"ok"}."""

    id: str
    name: str  # dstack's: the gateway's name and the replica's number
    state: str
    addresses: frozenset[str]
    checks: frozenset[str] = frozenset()

    @property
    def verdict(self) -> State:
        if self.state in ENDED:
            return State.ENDED
        if self.state == "stopping" or "impaired" in self.checks:
            return State.IMPAIRED
        return State.STARTING if {self.state, *self.checks} & STARTING else State.RUNNING


def states(found: Collection[Instance], addresses: Iterable[str]) -> dict[str, State]:
    """Return the state of the instance at each of a gateway's addresses.

    An address without an instance belonged to one that ended: EC2 keeps addresses for no longer. But while EC2 lists
    nothing of this gateway, this may be the wrong account.
    """
    by_address = {address: one.verdict for one in found for address in one.addresses}
    return {address: by_address.get(address, State.ENDED if found else State.UNKNOWN) for address in addresses}


def of_gateway(listed: Iterable[Document], checks: Mapping[str, frozenset[str]], gateway: str) -> list[Instance]:
    """Return the instances of the gateway's replicas, from those that EC2 lists for a wider pattern of names."""
    found = []
    for name, one in named(listed, gateway):
        addresses = {one.get("PrivateIpAddress"), one.get("PublicIpAddress")} - {None, ""}
        state = one["State"]["Name"]
        kept = frozenset[str]() if state == "terminated" else frozenset(map(str, addresses))
        found.append(Instance(one["InstanceId"], name, state, kept, checks.get(one["InstanceId"], frozenset())))
    return found


def named(listed: Iterable[Document], gateway: str) -> Iterator[tuple[str, Document]]:
    """Yield the instances of the gateway's replicas, each with the replica's name.

    EC2 finds `<gateway>-*`, and so also the instances of a gateway whose name begins with this one's.
    """
    for one in listed:
        name = next((tag["Value"] for tag in one.get("Tags", []) if tag["Key"] == REPLICA_TAG), "")
        if re.fullmatch(rf"{re.escape(gateway)}-\d+", name):
            yield name, one


def describe(ec2: Any, gateway: str, project: str, **filters: list[str]) -> list[Document]:
    """Return the instances that EC2 lists for the gateway's name. `filters`: more of them, by EC2's names with _."""
    wanted = {f"tag:{REPLICA_TAG}": [f"{gateway}-*"], "tag:dstack_project": [project]}
    wanted |= {name.replace("_", "-"): values for name, values in filters.items()}
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[{"Name": name, "Values": values} for name, values in wanted.items()]
    )
    return [one for page in pages for group in page["Reservations"] for one in group["Instances"]]


def look(gateway: str, project: str, region: str) -> list[Instance]:
    """Return the instances of the gateway, also those that ended within the last hour. Fails with ACCOUNT_REFUSED."""
    from deploy.route53 import client_of, explained  # boto3 takes longer to import than the rest takes to run

    with explained(f"looking at the instances of gateway {gateway}", ExitCode.ACCOUNT_REFUSED, "recover"):
        client = client_of("ec2", region)
        listed = describe(client, gateway, project)
        running = [one["InstanceId"] for one in listed if one["State"]["Name"] == "running"]
        return of_gateway(listed, _checks(client, running), gateway)


def _checks(client: Any, ids: list[str]) -> dict[str, frozenset[str]]:
    """Return the results of EC2's status checks of running instances, by id."""
    if not ids:
        return {}
    found = client.describe_instance_status(InstanceIds=ids)["InstanceStatuses"]
    kinds = ("InstanceStatus", "SystemStatus")
    return {one["InstanceId"]: frozenset(one[kind]["Status"] for kind in kinds if kind in one) for one in found}
