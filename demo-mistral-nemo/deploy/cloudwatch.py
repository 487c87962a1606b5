"""Reads and writes the alarms of the gateway's instances in CloudWatch. alarms.py decides which ones there have to be.

Alarms are found by the beginning of their name and by the tags of the service. An alarm without these tags is never
changed or deleted.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from console.errors import ExitCode, Failure
from deploy import ownership
from deploy.alarms import REMEDIES, Alarm, AlarmPlan, Instance, alarms_for, instances_of
from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.gateway_choice import look
from deploy.instances import describe
from deploy.route53 import client_of, explained

LIVING = ("pending", "running", "stopping", "stopped")  # EC2 lists a terminated instance for an hour
DELETED = 100  # alarms that CloudWatch deletes in one call


@dataclass(frozen=True)
class AlarmStore:
    """The alarms of one service in one region. Methods fail with ACCOUNT_REFUSED and quote AWS."""

    cloudwatch: Any
    ec2: Any
    region: str
    environment: Environment  # with the name of the service that the alarms were made for

    @property
    def run_name(self) -> str:
        return self.environment.run_name

    @property
    def prefix(self) -> str:
        """The beginning of the alarms' names. No name in dstack has a slash, so no other service's name begins so."""
        return f"{self.run_name}/gateway/"

    def read(self) -> frozenset[Alarm]:
        """Return the alarms that were made for this service."""
        return frozenset(Alarm.of(found) for found in self.documents() if self._owns(found))

    def documents(self, **filters: str) -> list[Document]:
        """Return all alarms whose names begin as those of the service do, as CloudWatch describes them."""
        with _explained(f"reading the alarms {self.prefix}*"):
            pages = self.cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=self.prefix, **filters)
            return [alarm for page in pages for alarm in page["MetricAlarms"]]

    def shown(self, **filters: str) -> list[Document]:
        """Return the alarms of the service with their states, as `inv alarms.show` prints them.

        `StateValue="ALARM"`: only those that have gone off.
        """
        documents = self.documents(**filters)
        found = sorted((one for one in documents if self._owns(one)), key=lambda one: str(one["AlarmName"]))
        return [
            {
                "name": one["AlarmName"],
                "state": one["StateValue"],
                "since": one["StateUpdatedTimestamp"].isoformat(timespec="seconds"),
                "alarm": str(Alarm.of(one)),
                "meaning": one.get("AlarmDescription", ""),
                "remedy": REMEDIES.get(str(one["AlarmName"]).rsplit("/", 1)[-1], ""),
            }
            for one in found
        ]

    def instances(self, gateway: Gateway) -> list[Instance]:
        """Return the gateway's instances that are not terminated."""
        name = str(gateway.configuration.get("name", self.run_name))
        with _explained(f"looking for the instances of gateway {name}"):
            found = describe(self.ec2, name, self.environment.project, instance_state_name=list(LIVING))
        return instances_of(found, name)

    def wanted(self, gateway: Gateway, topic: str | None, read: frozenset[Alarm]) -> frozenset[Alarm]:
        """Return the alarms that the gateway needs. Fails when one of them would replace somebody else's alarm."""
        wanted = alarms_for(self.instances(gateway), self.prefix, self.region, topic, read, len(gateway.running))
        missing = {alarm.name for alarm in wanted} - {alarm.name for alarm in read}
        found = [one for one in self.documents() if one["AlarmName"] in missing] if missing else []
        # the service's own: another command wrote it after `read`
        if foreign := sorted(str(one["AlarmName"]) for one in found if not self._owns(one)):
            why = f"the alarm {foreign[0]} exists in {self.region}, and it was not made for this service"
            raise Failure(ExitCode.ACCOUNT_REFUSED, why, "rename or delete it, then run it again")
        return wanted

    def write(self, planned: AlarmPlan) -> None:
        """Write the alarms that are absent or differ, then delete those that are not wanted."""
        tags = ownership.tags(self.environment)
        for alarm in sorted(planned.stale_or_new):
            with _explained(f"writing the alarm {alarm.name}"):
                self.cloudwatch.put_metric_alarm(**alarm.to_aws(), Tags=tags)
        self.delete(planned.unwanted)

    def delete(self, names: tuple[str, ...]) -> None:
        """Delete alarms by name. CloudWatch does nothing to those that are gone already."""
        for start in range(0, len(names), DELETED):
            with _explained(f"deleting the alarms {self.prefix}*"):
                self.cloudwatch.delete_alarms(AlarmNames=list(names[start : start + DELETED]))

    def _owns(self, alarm: Document) -> bool:
        with _explained(f"reading the tags of the alarm {alarm['AlarmName']}"):
            tags = self.cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]
        return ownership.owns(self.environment, tags)


def store_of(environment: Environment, region: str = "", run_name: str = "") -> AlarmStore:
    """Return the alarms of the service, in the region of its gateway. `run_name`: an earlier name of it."""
    if not region and (environment.gateway is None or environment.gateway["backend"] != "aws"):
        why = f"{environment.file} has no gateway in AWS, so the service has no alarms"
        raise Failure(ExitCode.SETTINGS_INVALID, why, "add a gateway to it, or choose another environment with --env")
    where, name = region or str((environment.gateway or {})["region"]), run_name or environment.run_name
    with _explained(f"looking for alarms in {where}"):
        clients = client_of("cloudwatch", where), client_of("ec2", where)
    return AlarmStore(*clients, where, replace(environment, run_name=name))


def plan(environment: Environment, gateway: Gateway | None) -> AlarmPlan:
    """Plan the alarms of the gateway's instances. Without a gateway, the instances are not known yet."""
    store, topic = store_of(environment), environment.alarms.topic if environment.alarms else None
    read = store.read()
    return AlarmPlan(store, topic, read, store.wanted(gateway, topic, read) if gateway else None)


def apply(planned: AlarmPlan, gateway: Gateway, notify: Notify) -> None:
    """Apply exactly that plan, now that the gateway runs."""
    store = planned.store
    planned = planned.watching(store.wanted(gateway, planned.topic, planned.read))
    store.write(planned)
    written, deleted = len(planned.stale_or_new), len(planned.unwanted)
    done = f"{written} written, {deleted} deleted" if written or deleted else "unchanged"
    notify(f"alarms of {store.run_name}, {len(planned.wanted or ())} in {store.region}: {done}")


def publish(api: Api, environment: Environment, notify: Notify, *, dry_run: bool = False) -> None:
    """Bring the alarms to what the gateway's instances need. Fails with GATEWAY_FAILED while none of them runs."""
    if environment.alarms is None:
        return notify(f"{environment.file} has no alarms: nothing to do")
    gateway, _ = look(api, environment)
    if gateway is None or not gateway.running:
        why = f"gateway {environment.run_name} does not run, so it has no instance to watch"
        raise Failure(ExitCode.GATEWAY_FAILED, why, f"run `inv gateway.status --env {environment.name}`")
    planned = plan(environment.behind(gateway.name), gateway)
    if not dry_run:
        return apply(planned, gateway, notify)
    for difference in planned.part.differences:
        notify(f"alarm {difference.key}: would be {'written' if difference.after else 'deleted'}")


def delete(store: AlarmStore, notify: Notify) -> None:
    """Delete the alarms of the service. A second call does nothing."""
    if names := tuple(sorted(alarm.name for alarm in store.read())):
        store.delete(names)
        notify(f"alarms of {store.run_name} in {store.region}: {len(names)} deleted")


def _explained(doing: str) -> Any:
    return explained(doing, ExitCode.ACCOUNT_REFUSED, "alarms")
