"""The alarms of the gateway's instances as values: what they have to be, and which changes lead there.

Each instance has a set of alarms in CloudWatch. Two of them act by themselves: EC2 recovers or reboots the instance.
All of them tell the topic of the environment's file. Without a topic they exist too, and AWS's console and
`inv alarms.show` have their states. cloudwatch.py asks AWS itself.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from console.errors import ExitCode, Failure
from deploy.changes import Change, Difference, Part
from deploy.documents.files import Document
from deploy.instances import named

if TYPE_CHECKING:
    from deploy.cloudwatch import AlarmStore

BURSTABLE = re.compile(r"t\d")  # the instance types that earn and spend CPU credits


@dataclass(frozen=True)
class Rule:
    """When one kind of alarm goes off: in `periods` periods, `breaching` have a value over or below the threshold.

    `period` is in seconds. `missing`: what a period without a value counts as. `action`: what EC2 does by itself.
    """

    kind: str
    metric: str
    meaning: str
    period: int
    breaching: int
    periods: int
    comparison: str = "GreaterThanOrEqualToThreshold"
    threshold: float = 1.0
    missing: str = "missing"
    action: str = ""


# The reboot waits longer than the recovery, so that the two never act on the same failure. Missing values set off
# "gone": an instance that is stopped or terminated has none. A new instance has no credits at first, so "credits" waits
# for an hour.
RULES = (
    Rule("system", "StatusCheckFailed_System", "its host failed, EC2 recovers it", 60, 2, 2, action="recover"),
    Rule("instance", "StatusCheckFailed_Instance", "it hangs, EC2 reboots it", 60, 3, 3, action="reboot"),
    Rule("disk", "StatusCheckFailed_AttachedEBS", "it can't use its disk", 60, 5, 5),
    Rule("gone", "StatusCheckFailed", "it is stopped, terminated or failed", 60, 2, 3, missing="breaching"),
)
CREDITS = Rule("credits", "CPUCreditBalance", "it has few CPU credits", 300, 12, 12, "LessThanThreshold", 10.0)
REPLACE = "docs/production.md says how to replace it"
REMEDIES = {  # what a person does, by the kind of the alarm
    "system": f"wait 5 minutes; if it stays, {REPLACE}",
    "instance": f"wait 5 minutes; if it stays, {REPLACE}",
    "disk": f"wait 5 minutes; if it stays, {REPLACE}",
    "gone": f"wait 5 minutes if another alarm acts; else {REPLACE}",
    "credits": "choose a larger gateway.instance_type",
}


@dataclass(frozen=True)
class Instance:
    """An EC2 instance of the gateway that is not terminated."""

    id: str
    type: str


@dataclass(frozen=True, order=True)
class Alarm:
    """One alarm. `definition`: JSON of what CloudWatch is sent. Equal alarms compare equal."""

    name: str
    definition: str

    @classmethod
    def of(cls, document: Document) -> Alarm:
        """Return an alarm from what CloudWatch is sent or answers. Keys that no alarm of ours has do not count."""
        known = {key: document.get(key) for key in KEYS}
        return cls(str(document["AlarmName"]), json.dumps(known, sort_keys=True))

    def to_aws(self) -> Document:
        return {"AlarmName": self.name, **json.loads(self.definition)}

    def __str__(self) -> str:
        found = json.loads(self.definition)
        actions = " ".join(arn.rsplit(":", 1)[-1] for arn in found["AlarmActions"] or []) or "no action"
        asleep = "" if found["ActionsEnabled"] else ", actions switched off"
        often = f"{found['DatapointsToAlarm']} of {found['EvaluationPeriods']} x {found['Period']} s"
        return f"{found['MetricName']}, {often}: {actions}{asleep}"


KEYS = (
    *("ActionsEnabled", "AlarmActions", "AlarmDescription", "ComparisonOperator", "DatapointsToAlarm", "Dimensions"),
    *("EvaluationPeriods", "MetricName", "Namespace", "Period", "Statistic", "Threshold", "TreatMissingData"),
)


@dataclass(frozen=True)
class AlarmPlan:
    """What a deploy does to the alarms: from those that were read to those that are wanted.

    `wanted` is None while the gateway's instances are not known, or when the same deploy changes them.
    """

    store: AlarmStore
    topic: str | None
    read: frozenset[Alarm]
    wanted: frozenset[Alarm] | None

    @property
    def part(self) -> Part:
        """The part of the plan that is shown."""
        if self.wanted is None:
            later = Difference("alarms", f"{len(self.read)} alarms", "as the changed gateway has instances")
            return Part(Change.IN_PLACE, (later,)) if self.read else Part(Change.CREATE)
        gone, new = ({one.name: str(one) for one in found} for found in (self.read - self.wanted, self.stale_or_new))
        found = tuple(Difference(key, gone.get(key), new.get(key)) for key in sorted(gone.keys() | new.keys()))
        return Part(Change.UNCHANGED if not found else Change.IN_PLACE if self.read else Change.CREATE, found)

    @property
    def stale_or_new(self) -> frozenset[Alarm]:
        """The alarms that have to be written, because they are absent or differ."""
        return (self.wanted or frozenset()) - self.read

    @property
    def unwanted(self) -> tuple[str, ...]:
        """The names of the alarms that have to be deleted."""
        if self.wanted is None:
            return ()
        return tuple(sorted({one.name for one in self.read} - {one.name for one in self.wanted}))

    def watching(self, wanted: frozenset[Alarm]) -> AlarmPlan:
        """Return the plan for the alarms that the gateway's instances need, now that it runs.

        Fails with PLAN_OUTDATED when the plan showed others.
        """
        if self.wanted is not None and self.wanted != wanted:
            why = f"the gateway of {self.store.run_name} has other instances now than the plan showed"
            raise Failure(ExitCode.PLAN_OUTDATED, why, "run `inv plan` and decide again")
        return replace(self, wanted=wanted)


def alarms_for(
    instances: Iterable[Instance], prefix: str, region: str, topic: str | None, read: frozenset[Alarm], replicas: int
) -> frozenset[Alarm]:
    """Return the alarms that the gateway's instances need.

    `replicas`: how many instances the gateway is said to have. While one of them is missing, the alarms of a lost
    instance stay as they were `read`: the one that it is gone says so until the instance is replaced.
    """
    instances = list(instances)
    wanted = {alarm for one in instances for alarm in _alarms_of(one, prefix, region, topic)}
    names = {alarm.name for alarm in wanted}
    living = tuple(f"{prefix}{one.id}/" for one in instances)
    if len(instances) < replicas:
        wanted |= {alarm for alarm in read if alarm.name not in names and not alarm.name.startswith(living)}
    return frozenset(wanted)


def _alarms_of(instance: Instance, prefix: str, region: str, topic: str | None) -> Iterable[Alarm]:
    rules = (*RULES, CREDITS) if BURSTABLE.match(instance.type) else RULES
    for rule in rules:
        acts = [f"arn:aws:automate:{region}:ec2:{rule.action}"] if rule.action else []
        yield Alarm.of(
            {
                "AlarmName": f"{prefix}{instance.id}/{rule.kind}",
                "AlarmDescription": f"gateway instance {instance.id}: {rule.meaning}",
                "ActionsEnabled": True,
                "AlarmActions": acts + ([topic] if topic else []),
                "Namespace": "AWS/EC2",
                "MetricName": rule.metric,
                "Dimensions": [{"Name": "InstanceId", "Value": instance.id}],
                "Statistic": "Maximum",
                "Period": rule.period,
                "EvaluationPeriods": rule.periods,
                "DatapointsToAlarm": rule.breaching,
                "ComparisonOperator": rule.comparison,
                "Threshold": rule.threshold,
                "TreatMissingData": rule.missing,
            }
        )


def instances_of(found: Iterable[Document], gateway: str) -> list[Instance]:
    """Return the instances of that gateway among instances that EC2 lists."""
    fitting = (Instance(one["InstanceId"], one["InstanceType"]) for _, one in named(found, gateway))
    return sorted(fitting, key=lambda one: one.id)
