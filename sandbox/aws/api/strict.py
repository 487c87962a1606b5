"""Where moto is more patient than AWS: Route 53's refusals and its PENDING changes; and addresses that lead somewhere.

moto's server runs in this process, so a few methods of its classes are replaced; the requests are still parsed, and the
answers rendered, by moto.
"""

from __future__ import annotations

import secrets
import string
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

from moto.core.responses import ActionResult
from moto.ec2.models.elastic_network_interfaces import NetworkInterface
from moto.route53 import models
from moto.route53.exceptions import Route53ClientError
from moto.route53.models import FakeZone, Route53Backend
from moto.route53.responses import Route53

from sandbox.aws.api.record_sets import RecordSet, RefusedError, changed, normal_name

PROPAGATION_SECONDS = 2.0  # until a change is INSYNC; at AWS usually less than a minute
_ID_LETTERS = string.ascii_uppercase + string.digits
_ID_LENGTH = 20
_CHANGES = (  # the methods of moto's Route53 whose answers have a ChangeInfo
    *("create_hosted_zone", "delete_hosted_zone", "change_resource_record_sets"),
    *("associate_vpc_with_hosted_zone", "disassociate_vpc_from_hosted_zone"),
)


class Changes:
    """Changes of Route 53 on their way to its name servers."""

    def __init__(self) -> None:
        self._submitted: dict[str, datetime] = {}

    def add(self) -> dict[str, Any]:
        """The ChangeInfo of a new change."""
        id = "C" + "".join(secrets.choice(_ID_LETTERS) for _ in range(_ID_LENGTH))
        self._submitted[id] = datetime.now(UTC)
        return self.info(id)

    def info(self, id: str) -> dict[str, Any]:
        """The ChangeInfo of a change. Raises Route53ClientError when there was none with this id."""
        id = id.removeprefix("/change/")
        submitted = self._submitted.get(id)
        if submitted is None:
            raise Route53ClientError("NoSuchChange", f"Could not find resource with ID: {id}")
        age = (datetime.now(UTC) - submitted).total_seconds()
        status = "PENDING" if age < PROPAGATION_SECONDS else "INSYNC"
        return {"Id": f"/change/{id}", "Status": status, "SubmittedAt": submitted}


def make_route53_strict() -> None:
    """Replace what moto's Route 53 does with record sets and changes, from now on and in all accounts."""
    changes = Changes()
    lock = threading.Lock()

    def change_resource_record_sets(self: Route53Backend, zone_id: str, batch: list[dict[str, Any]]) -> None:
        with lock:
            _change(self.get_hosted_zone(zone_id), batch)

    moto_list = Route53Backend.list_resource_record_sets

    def list_resource_record_sets(
        self: Route53Backend, zone_id: str, start_type: str, start_name: str, max_items: int
    ) -> Any:
        return moto_list(self, zone_id, start_type, normal_name(start_name) if start_name else start_name, max_items)

    def get_change(self: Route53) -> ActionResult:
        return ActionResult({"ChangeInfo": changes.info(self._get_param("Id"))})

    moto_by_vpc = Route53.list_hosted_zones_by_vpc

    def list_hosted_zones_by_vpc(self: Route53) -> ActionResult:
        """A VPC is looked for in the region that the call names."""
        zones: Any = moto_by_vpc(self).result
        vpc = (self._get_param("VPCId"), self._get_param("VPCRegion"))
        found = [
            zone
            for zone in zones["HostedZoneSummaries"]
            if vpc in {(one["vpc_id"], one["vpc_region"]) for one in self.backend.zones[zone["HostedZoneId"]].vpcs}
        ]
        return ActionResult({"HostedZoneSummaries": found})

    def pending(method: Callable[[Route53], ActionResult]) -> Callable[[Route53], ActionResult]:
        def answer(self: Route53) -> ActionResult:
            result: Any = method(self).result
            return ActionResult({**result, "ChangeInfo": changes.add()})

        return answer

    replaced: dict[type, dict[str, Any]] = {
        Route53Backend: {f.__name__: f for f in (change_resource_record_sets, list_resource_record_sets)},
        Route53: {
            **{f.__name__: f for f in (get_change, list_hosted_zones_by_vpc)},
            **{name: pending(getattr(Route53, name)) for name in _CHANGES},
        },
    }
    for owner, methods in replaced.items():
        for name, method in methods.items():
            setattr(owner, name, method)


def make_public_addresses_reachable() -> None:
    """Let the public address that an instance is given be its private one: no other would lead to its host."""

    def get(self: NetworkInterface) -> str | None:
        kept: str | None = vars(self).get("kept_public_ip")
        return self.private_ip_address if kept and self.public_ip_auto_assign else kept

    def keep(self: NetworkInterface, value: str | None) -> None:
        vars(self)["kept_public_ip"] = value

    setattr(NetworkInterface, "public_ip", property(get, keep))  # noqa: B010 (mypy refuses the plain form)


def record_sets(zone: FakeZone) -> list[tuple[RecordSet, models.RecordSet]]:
    """The record sets of a zone: what they say, and as moto keeps them."""
    fields = [
        {
            "Name": kept.name,
            "Type": kept.type,
            "TTL": kept.ttl,
            "ResourceRecords": kept.resource_records,
            "AliasTarget": kept.alias_target,
            "SetIdentifier": kept.set_identifier,
        }
        for kept in zone.rrsets
    ]
    return [(RecordSet.from_request(each), kept) for each, kept in zip(fields, zone.rrsets, strict=True)]


def _change(zone: FakeZone, batch: list[dict[str, Any]]) -> None:
    """Apply a batch of changes or raise Route53ClientError, with nothing changed."""
    current, moto_record_set = record_sets(zone), cast(Any, models.RecordSet)  # abstract by its types alone
    asked = [(change["Action"], RecordSet.from_request(change["ResourceRecordSet"])) for change in batch]
    try:
        wanted = changed([read for read, _ in current], asked, zone.name)
    except RefusedError as e:
        raise Route53ClientError("InvalidChangeBatch", str(e)) from None
    kept = {read.key: moto_set for read, moto_set in current if wanted.get(read.key) == read}
    for change, (_, new) in zip(batch, asked, strict=True):
        if wanted.get(new.key) == new and new.key not in kept:
            fields = change["ResourceRecordSet"]
            values = [record["Value"] for record in fields.get("ResourceRecords") or ()]
            kept[new.key] = moto_record_set({**fields, "Name": new.name, "ResourceRecords": values})
    zone.rrsets = list(kept.values())
