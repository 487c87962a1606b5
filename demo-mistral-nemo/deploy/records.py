"""The service's records as values: who owns them, what they have to be, and which changes lead there.

A service has two record sets. `<run>.<zone>` points at the gateway's running replicas. A TXT beside it names the
service that owns it, `<project>/<run>`. Many services share a zone, and the TXT keeps one from overwriting another.
route53.py asks Route 53 itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from console.errors import ExitCode, Failure
from deploy.changes import Change, Difference, Part
from deploy.documents.files import Document

if TYPE_CHECKING:
    from deploy.route53 import Zone

TTL_SECONDS = 30  # how long a caller may keep using the address of a replaced gateway
OWNER_PREFIX = "_owner"


@dataclass(frozen=True, order=True)
class RecordSet:
    """One record set. `values` are sorted, so equal sets compare equal. `routed`: JSON of an alias or weighted set."""

    name: str
    type: str
    values: tuple[str, ...]
    ttl: int = TTL_SECONDS
    routed: str = ""

    @classmethod
    def of_aws(cls, found: Document) -> RecordSet:
        values = tuple(sorted(value["Value"] for value in found.get("ResourceRecords", [])))
        plain = found.keys() == {"Name", "Type", "TTL", "ResourceRecords"}
        routed = "" if plain else json.dumps(found, sort_keys=True)
        return cls(found["Name"], found["Type"], values, found.get("TTL", 0), routed)

    def to_aws(self) -> Document:
        if self.routed:
            return dict(json.loads(self.routed))
        values = [{"Value": value} for value in self.values]
        return {"Name": self.name, "Type": self.type, "TTL": self.ttl, "ResourceRecords": values}

    def __str__(self) -> str:
        return f"{' '.join(self.values) or 'an alias'} (TTL {self.ttl})"


@dataclass(frozen=True)
class RecordChange:
    """One change of a batch."""

    action: Literal["DELETE", "CREATE"]
    record: RecordSet

    def to_aws(self) -> Document:
        return {"Action": self.action, "ResourceRecordSet": self.record.to_aws()}


@dataclass(frozen=True)
class RecordPlan:
    """What a deploy does to the records: from those that were read to those that are wanted.

    `wanted` is None while the gateway has no address, or when the same deploy changes the address.
    """

    zone: Zone
    read: frozenset[RecordSet]
    wanted: frozenset[RecordSet] | None

    @property
    def changes(self) -> tuple[RecordChange, ...]:
        """The batch of changes. It is empty when nothing differs, and while the addresses are not known."""
        return () if self.wanted is None else changes_between(self.read, self.wanted)

    @property
    def part(self) -> Part:
        """The part of the plan that is shown."""
        if self.wanted is None:
            addresses = " ".join(value for found in sorted(self.read) if found.type != "TXT" for value in found.values)
            later = Difference(self.zone.host, addresses, "as the changed gateway has them")
            return Part(Change.IN_PLACE, (later,)) if self.read else Part(Change.CREATE)
        gone, new = self.read - self.wanted, self.wanted - self.read
        before, after = ({f"{one.name} {one.type}": str(one) for one in sets} for sets in (gone, new))
        keys = sorted(before.keys() | after.keys())
        found = tuple(Difference(key, before.get(key), after.get(key)) for key in keys)
        return Part(Change.UNCHANGED if not found else Change.IN_PLACE if before else Change.CREATE, found)

    def pointing_at(self, targets: Sequence[str]) -> RecordPlan:
        """Return the plan for the addresses of the gateway, which runs now.

        Fails with PLAN_OUTDATED when the plan showed other addresses.
        """
        wanted = records_for(self.zone.host, targets, self.zone.owner)
        if self.wanted is not None and self.wanted != wanted:
            why = f"the gateway of {self.zone.host} has other addresses now, {' '.join(targets)}, than the plan showed"
            raise Failure(ExitCode.PLAN_OUTDATED, why, "run `inv plan` and decide again")
        return replace(self, wanted=wanted)


def records_for(host: str, targets: Sequence[str], owner: str) -> frozenset[RecordSet]:
    """Return the record sets of `owner` for `host`. `targets` are addresses, or the one name of a load balancer."""
    if not targets:
        why = f"the gateway has no address to publish for {host}"
        raise Failure(ExitCode.DNS_REFUSED, why, "run `inv gateway.status`, and try again when the gateway runs")
    kind = "A" if all(target[-1].isdigit() for target in targets) else "CNAME"  # no top-level domain ends in a digit
    return frozenset({RecordSet(f"{host}.", kind, tuple(sorted(targets))), ownership(host, owner)})


def changes_between(read: frozenset[RecordSet], wanted: frozenset[RecordSet]) -> tuple[RecordChange, ...]:
    """Return the batch that leads from what was read to what is wanted.

    The batch compares and swaps. It deletes stale record sets with exactly the values that were read, so Route 53
    refuses the whole batch when somebody wrote in between. An UPSERT would overwrite their values.
    """
    stale = [RecordChange("DELETE", found) for found in sorted(read - wanted)]
    return (*stale, *(RecordChange("CREATE", found) for found in sorted(wanted - read)))


def refuse_foreign(read: Iterable[RecordSet], host: str, owner: str) -> None:
    """Fail with DNS_REFUSED for records without the TXT of `owner`. Such records are never replaced or deleted."""
    read = list(read)
    if read and not owned(read, host, owner):
        holder = next((found.values[0] for found in read if found.type == "TXT"), "someone who left no owner record")
        remedy = "choose another name, or take it over with `inv dns.update --adopt`"
        raise Failure(ExitCode.DNS_REFUSED, f"{host} belongs to {holder}", remedy)


def owned(read: Iterable[RecordSet], host: str, owner: str) -> bool:
    """Return whether the TXT beside the host's records names `owner`."""
    mine = ownership(host, owner)
    return mine in {replace(found, ttl=mine.ttl) for found in read}


def ownership(host: str, owner: str) -> RecordSet:
    """Return the TXT that names the owner of the records of `host`."""
    return RecordSet(f"{OWNER_PREFIX}.{host}.", "TXT", (f'"{owner}"',))


def chosen_zone(named: Iterable[Document], of_vpc: Iterable[Document], name: str, vpc: str | None) -> str:
    """Return the id of the zone called `name`: the private zone of `vpc`, or the public zone without a VPC.

    Fails with DNS_REFUSED when there is no such zone, or more than one.
    """
    of_vpc = list(of_vpc)
    in_vpc = {zone["HostedZoneId"] for zone in of_vpc}
    ids: list[tuple[str, bool]] = [(zone["Id"].rsplit("/", 1)[-1], zone["Config"]["PrivateZone"]) for zone in named]
    fitting = [zone for zone, private in ids if (zone in in_vpc if vpc else not private)]
    elsewhere = next((zone["Owner"].get("OwningAccount") for zone in of_vpc if zone["Name"] == name), None)
    if elsewhere and not fitting:
        why = f"the zone {name} of {vpc} belongs to AWS account {elsewhere}"
        raise Failure(ExitCode.DNS_REFUSED, why, "sign in as a role there that has policies/dns.json")
    kind, where = ("private", f" in VPC {vpc}") if vpc else ("public", "")
    domain = name.rstrip(".")
    if not fitting:
        why = f"Route 53 has no {kind} zone {domain}{where}"
        raise Failure(ExitCode.DNS_REFUSED, why, "create it, or correct dns.vpc_id or gateway.region")
    if len(fitting) > 1:
        why = f"Route 53 has {len(fitting)} {kind} zones {domain}{where}"
        raise Failure(ExitCode.DNS_REFUSED, why, "keep only one of them")
    return fitting[0]
