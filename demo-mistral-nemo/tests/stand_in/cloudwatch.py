"""The alarms of the account, and the instances of the gateways that the dstack server has."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

Json = dict[str, Any]
ARN = "arn:aws:cloudwatch:us-east-1:123456789012:alarm:"


class CloudWatch:
    """`alarms`: by name, as CloudWatch describes them. `instances`: id by name of the gateway's replica.

    `hosts` has the addresses of replicas by their names; each has an instance `i-<address>`. `states`: EC2's words on
    single instances, by id; the others are running, and their status checks have passed.
    """

    def __init__(self) -> None:
        self.alarms: dict[str, Json] = {}
        self.tags: dict[str, list[Json]] = {}
        self.instances: dict[str, str] = {}
        self.type = "t3.medium"
        self.hosts: Callable[[], dict[str, str]] = dict
        self.states: dict[str, str] = {}

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
        hosts = self.hosts()
        known = self.instances | {name: f"i-{address}" for name, address in hosts.items()}
        found: list[Json] = [
            {
                "InstanceId": id,
                "InstanceType": self.type,
                "State": {"Name": self.states.get(id, "running")},
                "PrivateIpAddress": hosts.get(name, ""),
                "Tags": [{"Key": "dstack_name", "Value": name}],
            }
            for name, id in known.items()
            if name.startswith(pattern.removesuffix("*"))
        ]
        states = wanted.get("instance-state-name") or [one["State"]["Name"] for one in found]
        return {"Reservations": [{"Instances": [one for one in found if one["State"]["Name"] in states]}]}

    def _describe_instance_status(self, asked: Json) -> Json:
        passed = {"InstanceStatus": {"Status": "ok"}, "SystemStatus": {"Status": "ok"}}
        return {"InstanceStatuses": [{"InstanceId": id, **passed} for id in asked["InstanceIds"]]}
