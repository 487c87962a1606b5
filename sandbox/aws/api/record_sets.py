"""What Route 53 accepts as a change of record sets: the rules that moto doesn't have.

Sources: the API reference of ChangeResourceRecordSets, "DNS domain name format" in the developer guide, and the texts
of errors that AWS's own tools quote.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_PLAIN = re.compile(r"[a-z0-9_.-]")
_CODE = re.compile(r"\\([0-7]{3})")
_QUOTED = re.compile(r'"[^"]{0,255}"( "[^"]{0,255}")*')


class RefusedError(Exception):
    """A batch of changes that Route 53 doesn't accept; nothing of it is applied. `messages` has one text a fault."""

    def __init__(self, *messages: str) -> None:
        super().__init__(f"[{', '.join(messages)}]")


@dataclass(frozen=True)
class RecordSet:
    """One record set; sets that mean the same compare equal."""

    name: str  # normal, see normal_name()
    type: str
    ttl: int | None  # seconds; None for an alias
    values: tuple[str, ...]  # sorted; empty for an alias
    alias: tuple[str, str, bool] | None  # hosted zone id, DNS name, evaluate target health
    identifier: str | None  # of weighted and other sets that share name and type

    @classmethod
    def from_request(cls, fields: Mapping[str, Any]) -> RecordSet:
        """The ResourceRecordSet of a request."""
        alias = fields.get("AliasTarget")
        return cls(
            name=normal_name(fields["Name"]),
            type=fields["Type"],
            ttl=None if fields.get("TTL") is None else int(fields["TTL"]),
            values=tuple(sorted(record["Value"] for record in fields.get("ResourceRecords") or ())),
            alias=alias
            and (alias["HostedZoneId"], normal_name(alias["DNSName"]), str(alias["EvaluateTargetHealth"]) == "True"),
            identifier=fields.get("SetIdentifier"),
        )

    @property
    def key(self) -> tuple[str, str, str | None]:
        return (self.name, self.type, self.identifier)


def normal_name(name: str) -> str:
    r"""A domain name as Route 53 stores and lists it: in lower case, with a dot at the end, `*` as `\052`."""
    decoded = _CODE.sub(lambda code: chr(int(code[1], 8)), name.lower()).rstrip(".")
    return "".join(c if _PLAIN.match(c) else f"\\{ord(c):03o}" for c in decoded) + "."


def changed(
    current: Iterable[RecordSet], changes: Iterable[tuple[str, RecordSet]], zone: str
) -> dict[tuple[str, str, str | None], RecordSet]:
    """The record sets of `zone` after `changes`, pairs of CREATE, UPSERT or DELETE and a set; all of them or none.

    Raises RefusedError.
    """
    sets = {record_set.key: record_set for record_set in current}
    faults = []
    for action, record_set in changes:
        if fault := _fault(action, record_set, sets, normal_name(zone)):
            faults.append(fault)
        elif action == "DELETE":
            del sets[record_set.key]
        else:
            sets[record_set.key] = record_set
    if faults:
        raise RefusedError(*faults)
    return sets


def _fault(action: str, new: RecordSet, sets: Mapping[tuple[str, str, str | None], RecordSet], zone: str) -> str | None:
    what = f"resource record set [name='{new.name}', type='{new.type}'"
    what += f", set identifier='{new.identifier}']" if new.identifier else "]"
    if action == "DELETE":
        if new.key not in sets:
            return f"Tried to delete {what} but it was not found"
        if sets[new.key] != new:
            return f"Tried to delete {what} but the values provided do not match the current values"
        if new.name == zone and new.type in ("NS", "SOA"):
            return f"A HostedZone must contain at least one {new.type} record for the zone itself."
        return None
    if action == "CREATE" and new.key in sets:
        return f"Tried to create {what} but it already exists"
    if new.name != zone and not new.name.endswith(f".{zone}"):
        return f"RRSet with DNS name {new.name} is not permitted in zone {zone}"
    if new.type == "CNAME" and new.name == zone:
        return f"RRSet of type CNAME with DNS name {new.name} is not permitted at apex in zone {zone}"
    others = {kind for name, kind, _ in sets if name == new.name and kind != new.type}
    if others and "CNAME" in others | {new.type}:
        return (
            f"RRSet of type {new.type} with DNS name {new.name} is not permitted as it conflicts with other records "
            f"with the same DNS name in zone {zone}"
        )
    return _value_fault(action, new)


def _value_fault(action: str, new: RecordSet) -> str | None:
    if (new.ttl is not None and bool(new.values)) == (new.alias is not None):
        return (
            "Invalid request: Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords], or "
            f"TrafficPolicyInstanceId], but found {'none' if new.alias is None else 'more than one'} in Change with "
            f"[Action={action}, Name={new.name}, Type={new.type}, SetIdentifier={new.identifier or 'null'}]"
        )
    for value, next_value in zip(new.values, (*new.values[1:], None), strict=True):
        if value == next_value:
            return f"Duplicate Resource Record: '{value}'"
        if code := _illegal(new.type, value):
            return f"Invalid Resource Record: 'FATAL problem: {code} encountered with '{value}''"
    if new.type == "CNAME" and len(new.values) > 1:
        return f"RRSet of type CNAME with DNS name {new.name} may have one value only"
    return None


def _illegal(type: str, value: str) -> str | None:
    if type == "A" and not _is_address(value, 4):
        return "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
    if type == "AAAA" and not _is_address(value, 6):
        return "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
    if type == "TXT" and not _QUOTED.fullmatch(value):
        return "InvalidCharacterString (Value should be enclosed in quotation marks)"
    return None


def _is_address(value: str, version: int) -> bool:
    try:
        return ipaddress.ip_address(value).version == version
    except ValueError:
        return False
