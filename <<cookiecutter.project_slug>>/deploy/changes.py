"""What a change does to what runs, judged from dstack's own plan of it alone."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from deploy.documents.files import Document
from deploy.dstack.answers import ResourcePlan, Run, RunPlan

# The fields that dstack calls "in-place" (dstack._internal.server.services.runs.spec); other fields that it can update
# are rolled out replica by replica, and its `action` says which can't be updated at all. The template's tests compare.
IN_PLACE = frozenset({"groups", "gateway", "priority", "replicas", "scaling"})
MARK = "configuration_path"  # of every spec, see Environment.marked: dstack changes it in place
GATEWAY_IN_PLACE = frozenset({"default", "domain", "replicas"})  # likewise; any other change takes a new gateway


class Change(StrEnum):
    """What happens to a fleet, a gateway, records or a service."""

    UNCHANGED = "unchanged"
    CREATE = "create"
    IN_PLACE = "in place"  # no new replica
    ROLLING = "rolling"  # new replicas take over one by one
    RESTART = "restart"  # an outage: it is stopped and made again
    REMOVE = "remove"  # the files name it no longer


@dataclass(frozen=True)
class Difference:
    """One value that differs; None where it is absent."""

    key: str
    before: Any
    after: Any


@dataclass(frozen=True)
class Part:
    """The plan of one of them."""

    change: Change
    differences: tuple[Difference, ...] = ()

    @property
    def keys(self) -> str:
        return ", ".join(difference.key for difference in self.differences)

    @property
    def fields(self) -> set[str]:
        """The fields of the file that the keys are below, such as `env`."""
        return {difference.key.split(".")[0] for difference in self.differences}


def classify_host(service: Part, current: Run | None, host: str) -> Part:
    """`service`, as a restart where it would keep an old name: dstack gives a running service none of a new domain.

    It does when the service is registered at a recreated gateway.
    """
    if not host or not current or not current.active or current.host in (None, host) or "gateway" in service.fields:
        return service
    named = Difference("gateway.domain", current.host, host)
    return Part(Change.RESTART, (*service.differences, named))


def classify_service(plan: RunPlan) -> Part:
    """Which of the five changes dstack's answer means for the service, and the values behind it."""
    current = plan.current
    if current and (not current.active or current.status == "terminating"):
        current = None  # nobody is served by it any more
    part = _judge(plan, current.run_spec if current else None)
    rolling = part.change == Change.IN_PLACE and not part.fields <= IN_PLACE
    return replace(part, change=Change.ROLLING) if rolling else part


def classify_fleet(plan: ResourcePlan, *, serving: bool = True) -> Part:
    """The same for the fleet. One that can't be updated has to be deleted first, which ends a run inside it."""
    current = plan.current_resource
    part = _judge(plan, current["spec"] if current and current["status"] in ("submitted", "active") else None)
    return part if serving or part.change != Change.RESTART else replace(part, change=Change.CREATE)


def classify_gateway(plan: ResourcePlan) -> Part:
    """The same for the gateway; RESTART: deleted and made again."""
    current = plan.current_resource
    return _judge(plan, plan.effective_spec | {"configuration": current["configuration"]} if current else None)


def _judge(plan: ResourcePlan, before: Document | None) -> Part:
    """`before` is the spec of what exists; "create" in spite of it means that dstack can't update it."""
    if before is None:
        return Part(Change.CREATE)
    found = tuple(differences(before, plan.effective_spec))
    possible = Change.IN_PLACE if plan.action == "update" else Change.RESTART
    return Part(possible if found else Change.UNCHANGED, found)


def differences(before: Document, after: Document, prefix: str = "") -> Iterator[Difference]:
    """Values that differ between two specs, with dotted keys; what is below `configuration` is named as in the file."""
    for key in sorted(before.keys() | after.keys()):
        old, new = before.get(key), after.get(key)
        name = "" if not prefix and key == "configuration" else f"{prefix}{key}"
        if name == MARK:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            yield from differences(old, new, f"{name}." if name else "")
        elif old != new:
            yield Difference(name, old, new)
