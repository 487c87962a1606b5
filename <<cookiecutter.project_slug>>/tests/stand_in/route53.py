"""Hosted zones and their records behind boto3's client: botocore checks each question and each answer."""

from __future__ import annotations

from typing import Any

import pytest
from botocore import xform_name
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from botocore.validate import validate_parameters

Json = dict[str, Any]
VPC, ZONE, ACCOUNT = "vpc-0123456789abcdef0", "Z0123456789", "123456789012"
CHANGED = {"Id": "/change/C1", "Status": "INSYNC", "SubmittedAt": "2026-11-01T00:00:00Z"}


class Route53:
    """One private zone `domain` of one VPC; `sets` are its record sets by name and type."""

    def __init__(self, domain: str) -> None:
        self.domain = f"{domain}."
        self.sets: dict[tuple[str, str], Json] = {}
        self.written: list[Json] = []  # the changes, in order
        self.denied = False

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the clients of boto3 call this, with credentials that are not real."""
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "test")

        def call(client: Any, *asked: Any) -> Any:
            return self._call(client, *asked)

        monkeypatch.setattr(BaseClient, "_make_api_call", call)  # a function, so that it gets the client, too

    def add(self, name: str, kind: str, *values: str) -> None:
        """Add a record set that somebody wrote."""
        records = [{"Value": value} for value in values]
        self.sets[name, kind] = {"Name": name, "Type": kind, "TTL": 60, "ResourceRecords": records}

    def values(self, name: str, kind: str) -> list[str]:
        found = self.sets.get((name, kind), {"ResourceRecords": []})
        return [record["Value"] for record in found["ResourceRecords"]]

    def _call(self, client: Any, operation: str, arguments: Json) -> Json:
        model = client.meta.service_model.operation_model(operation)
        validate_parameters(arguments, model.input_shape)
        if self.denied:
            refusal = {"Error": {"Code": "AccessDenied", "Message": "no"}, "ResponseMetadata": {"HTTPStatusCode": 403}}
            raise ClientError(refusal, operation)
        answer: Json = getattr(self, f"_{xform_name(operation)}")(arguments)
        validate_parameters(answer, model.output_shape)
        return answer

    def _list_hosted_zones_by_name(self, asked: Json) -> Json:
        zone = {
            "Id": f"/hostedzone/{ZONE}",
            "Name": self.domain,
            "CallerReference": "1",
            "Config": {"PrivateZone": True},
        }
        return {"HostedZones": [zone], "IsTruncated": False, "MaxItems": asked["MaxItems"]}

    def _list_hosted_zones_by_vpc(self, asked: Json) -> Json:
        zone = {"HostedZoneId": ZONE, "Name": self.domain, "Owner": {"OwningAccount": ACCOUNT}}
        return {"HostedZoneSummaries": [zone] if asked["VPCId"] == VPC else [], "MaxItems": "100"}

    def _list_resource_record_sets(self, asked: Json) -> Json:
        found = [one for (name, _), one in sorted(self.sets.items()) if name >= asked["StartRecordName"]]
        return {"ResourceRecordSets": found, "IsTruncated": False, "MaxItems": asked["MaxItems"]}

    def _change_resource_record_sets(self, asked: Json) -> Json:
        """Write all or nothing: what is deleted has to be there as it is given, what is created must not."""
        after = dict(self.sets)
        for change in asked["ChangeBatch"]["Changes"]:
            given = change["ResourceRecordSet"]
            key = given["Name"], given["Type"]
            before = after.pop(key, None)
            if before != (given if change["Action"] == "DELETE" else None):
                refusal = {"Error": {"Code": "InvalidChangeBatch", "Message": f"{key} is {before}"}}
                raise ClientError(refusal, "ChangeResourceRecordSets")
            if change["Action"] == "CREATE":
                after[key] = given
        self.sets, self.written = after, self.written + asked["ChangeBatch"]["Changes"]
        return {"ChangeInfo": CHANGED}

    def _get_change(self, asked: Json) -> Json:
        return {"ChangeInfo": CHANGED}
