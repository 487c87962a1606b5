"""The alarms of the account, and the instances of the gateways that the dstack server has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"


class CloudWatch:
    """`alarms`: by name, as CloudWatch describes them. `instances`: id by name of the gateway's replica."""

    def __init__(self) -> None:
        self.alarms: dict[str, Json] = {}
        self.tags: dict[str, list[Json]] = {}
        self.instances: dict[str, str] = {}
        self.type = "t3.medium"

    def _describe_alarms(self, asked: Json) -> Json:
        found = [one for name, one in sorted(self.alarms.items()) if name.startswith(asked["AlarmNamePrefix"])]
        found = [one for one in found if asked.get("StateValue") in (None, one["StateValue"])]
        first, size = int(asked.get("NextToken", 0)), 3  # CloudWatch's pages are longer
        more = {"NextToken": str(first + size)} if len(found) > first + size else {}
        return {"MetricAlarms": found[first : first + size], **more}

    def _put_metric_alarm(self, asked: Json) -> Json:
        name, tags = asked["AlarmName"], asked.pop("Tags")
        self.tags.setdefault(ARN + name, tags)  # of an alarm that exists, CloudWatch ignores them
        state = {"StateValue": "INSUFFICIENT_DATA", "StateUpdatedTimestamp": datetime(2026, 11, 1, tzinfo=UTC)}
        self.alarms[name] = {"OKActions": [], "Unit": "Count"} | state | asked | {"AlarmArn": ARN + name}
        return {}

    def _delete_alarms(self, asked: Json) -> Json:
        for name in asked["AlarmNames"]:
            self.alarms.pop(name, None)
            self.tags.pop(ARN + name, None)
        return {}

    def _list_tags_for_resource(self, asked: Json) -> Json:
        return {"Tags": self.tags.get(asked["ResourceARN"], [])}

    def _describe_instances(self, asked: Json) -> Json:
        wanted = {one["Name"]: one["Values"] for one in asked["Filters"]}
        [pattern] = wanted["tag:dstack_name"]
        found = [
            {"InstanceId": id, "InstanceType": self.type, "Tags": [{"Key": "dstack_name", "Value": name}]}
            for name, id in self.instances.items()
            if name.startswith(pattern.removesuffix("*"))
        ]
        return {"Reservations": [{"Instances": found}]}
