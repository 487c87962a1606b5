"""Classifies what a change does to running replicas, from dstack's own plan and nothing else."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from deploy.documents.checks import bounds
from deploy.documents.files import Document
from deploy.documents.monitor import FILE, VARIABLE, fingerprint
from deploy.dstack.answers import ResourcePlan, Run, RunPlan

# The fields that dstack calls "in-place" (dstack._internal.server.services.runs.spec); other fields that it can update
# are rolled out replica by replica, and its `action` says which can't be updated at all. The template's tests compare.
# What happens to replicas when `groups` changes, `classify_groups` says.
IN_PLACE = frozenset({"groups", "gateway", "priority", "replicas", "scaling"})
MARK = "configuration_path"  # of every spec, see Environment.marked: dstack changes it in place
GATEWAY_IN_PLACE = frozenset({"default", "domain", "replicas"})  # likewise; any other change needs a new gateway


class Change(StrEnum):
    """What happens to a fleet, a gateway, records or a service."""

    UNCHANGED = "unchanged"
    CREATE = "create"
    IN_PLACE = "in place"  # no new replica
    ROLLING = "rolling"  # new replicas take over one by one
    RESTART = "restart"  # an outage: it is stopped and started again
    REPLACE = "replace"  # of a gateway: another one is created, the service moves there, the old one is deleted
    REMOVE = "remove"  # the files name it no longer


@dataclass(frozen=True)
class Difference:
    """A value that differs. `before` or `after` is None where it is absent."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Part:
    """The plan of a fleet, a gateway, records or a service."""

    change: Change
    differences: tuple[Difference, ...] = ()

    @property
    def keys(self) -> str:
        return ", ".join(difference.key for difference in self.differences)

    @property
    def fields(self) -> set[str]:
        """The top-level fields of the file that contain the keys, e.g. `env`."""
        return {difference.key.split(".")[0] for difference in self.differences}


def classify_host(service: Part, current: Run | None, host: str) -> Part:
    """Return `service`, but as a restart when it would otherwise keep an old host name.

    dstack does not rename a running service after a new domain, except when it registers it at another gateway.
    """
    if not host or not current or not current.active or current.host in (None, host) or "gateway" in service.fields:
        return service
    named = Difference("gateway.domain", current.host, host)
    return Part(Change.RESTART, (*service.differences, named))


def classify_service(plan: RunPlan) -> Part:
    """Return which of the five changes dstack's answer means for the service, and the values behind it."""
    current = plan.current
    if current and (not current.active or current.status == "terminating"):
        current = None  # it serves nobody any more
    part = _classify(plan, current.run_spec if current else None)
    if current is None or part.change != Change.IN_PLACE:
        return part
    before, after = current.run_spec, plan.effective_spec
    old, new = replica_groups(before["configuration"]), replica_groups(after["configuration"])
    change = classify_groups(old, new, running=Counter(job.group for job in current.replicas))
    beside = [key for key in before.keys() | after.keys() if key not in ("configuration", MARK)]
    if change == Change.IN_PLACE and any(before.get(key) != after.get(key) for key in beside):
        change = Change.ROLLING
    return replace(part, change=change)


@dataclass(frozen=True)
class ReplicaGroup:
    """A group of replicas: how many there may be, and what each of them is made from."""

    fewest: int
    most: int
    contents: Document


def replica_groups(configuration: Document) -> dict[str, ReplicaGroup]:
    """Return a service's groups by name, from a configuration in dstack's answer. Without `groups` there is one, "0".

    A group takes from the service what it does not set itself, e.g. the image.
    """
    shared = {key: value for key, value in configuration.items() if key not in IN_PLACE}
    found = {}
    for group in configuration.get("groups") or [{"name": "0", "replicas": configuration.get("replicas")}]:
        contents = {key: value for key, value in group.items() if key not in ("name", "replicas", "scaling")}
        written = {key: value for key, value in contents.items() if value not in (None, [])}
        fewest, most = (1, 1) if group.get("replicas") is None else bounds(group["replicas"])
        found[str(group["name"])] = ReplicaGroup(fewest, most, shared | written)
    return found


def classify_groups(
    before: Mapping[str, ReplicaGroup], after: Mapping[str, ReplicaGroup], running: Mapping[str, int]
) -> Change:
    """Return what dstack's update does to replicas: IN_PLACE, ROLLING, or RESTART where too few keep serving.

    dstack knows a group by its name. It stops a group that was removed or renamed before new replicas have started. It
    rolls out a group whose contents differ, and starts or stops replicas of a group whose number differs. The service
    keeps serving when the groups that stay have as many replicas as it has now, or as it has to have. `running` counts
    the replicas now, by group.
    """
    have = {name: max(group.fewest, running.get(name, 0)) for name, group in before.items()}
    wanted = sum(group.fewest for group in after.values())
    if any(group.most for group in after.values()):
        wanted = max(wanted, 1)
    staying = sum(min(have[name], after[name].most) for name in have.keys() & after.keys())
    if staying < min(sum(have.values()), wanted):
        return Change.RESTART
    rolls = any(before[name].contents != after[name].contents for name in before.keys() & after.keys())
    return Change.ROLLING if rolls else Change.IN_PLACE


def classify_fleet(plan: ResourcePlan, *, serving: bool = True) -> Part:
    """Return the change of the fleet. RESTART: it is deleted first, which ends the run inside it."""
    current = plan.current_resource
    part = _classify(plan, current["spec"] if current and current["status"] in ("submitted", "active") else None)
    return part if serving or part.change != Change.RESTART else replace(part, change=Change.CREATE)


def classify_gateway(plan: ResourcePlan) -> Part:
    """Return the change of the gateway. RESTART: dstack can't change it in place."""
    current = plan.current_resource
    return _classify(plan, plan.effective_spec | {"configuration": current["configuration"]} if current else None)


def _classify(plan: ResourcePlan, before: Document | None) -> Part:
    """Compare the plan with `before`, the existing spec. If dstack wants to create nevertheless, it can't update it."""
    if before is None:
        return Part(Change.CREATE)
    found = tuple(differences(before, plan.effective_spec))
    possible = Change.IN_PLACE if plan.action == "update" else Change.RESTART
    return Part(possible if found else Change.UNCHANGED, found)


def differences(before: Document, after: Document, prefix: str = "") -> Iterator[Difference]:
    """Yield the values that differ between two specs, with dotted keys as in the file; groups by their names."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        name = "" if not prefix and key == "configuration" else f"{prefix}{key}"
        if name == MARK:
            continue
        if name == "groups" and isinstance(old, list) and isinstance(new, list):
            old, new = ({str(group["name"]): group for group in groups} for groups in (old, new))
        if name == f"env.{VARIABLE}":
            name, old, new = FILE, fingerprint(old), fingerprint(new)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{name}." if name else "")
        elif old != new:
            yield Difference(name, old, new)
