"""What was deployed, by whom: the metadata that rides along in the run's `configuration_path`.

dstack keeps no earlier configuration of a run. It stores this field unchanged and updates it in place, so the last
deployments are written there. The field reads: path, mark of the owner, `commit=…`, `deployments=[…]` as JSON.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

KEPT = 20  # deployments that ride along
LONGEST = 100  # characters of a name or a subject
SEPARATOR = " deployments="


@dataclass(frozen=True)
class Deployment:
    """One deployment: a commit, who deployed it when (ISO 8601, UTC), and what became of it.

    `number` counts the service's deployments, `deployment` is dstack's number in the run with the id `run`. `ready`
    and `failed`: what was seen when the next one was planned. `back_to`: the number that a rollback went back to.
    `automatic`: `inv deploy` rolled back the one before, which had failed.
    """

    commit: str = ""
    subject: str = ""
    branch: str = ""
    dirty: bool = False
    by: str = ""
    ci: str = ""  # the page of the CI run
    at: str = ""
    number: int = 1
    deployment: int = 0
    run: str = ""
    ready: bool = False
    failed: bool = False
    back_to: int = 0
    automatic: bool = False


@dataclass(frozen=True)
class Now:
    """The run as it is when the next deployment is planned."""

    path: str
    run: str
    deployment: int
    ready: bool
    active: bool


def read(path: str | None) -> list[Deployment]:
    """Return the deployments that a stored path names, the newest first. What can't be read is left out."""
    try:
        listed = json.loads((path or "").partition(SEPARATOR)[2] or "[]")
    except ValueError:
        return []
    return [_read(one) for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []


def _read(written: dict[str, Any]) -> Deployment:
    """Return a deployment. A key that is unknown, or a value of another type, is left out."""
    known = {field.name: type(field.default) for field in fields(Deployment)}
    fit: dict[str, Any] = {key: value for key, value in written.items() if type(value) is known.get(key)}
    return Deployment(**fit)


def write(marked: str, deployments: list[Deployment]) -> str:
    """Return the path to store: `marked`, with the newest commit and the last deployments behind it."""
    if not deployments:
        return marked
    default = asdict(Deployment())
    kept = [
        {key: _short(value) for key, value in asdict(one).items() if value != default[key] or key == "number"}
        for one in deployments[:KEPT]
    ]
    commit = deployments[0].commit or "none"
    return f"{marked} commit={commit}{SEPARATOR}{json.dumps(kept, separators=(',', ':'))}"


def _short(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= LONGEST else f"{value[: LONGEST - 1]}…"


def settled(now: Now) -> list[Deployment]:
    """Return the stored deployments, the newest with what is known about it now."""
    found = read(now.path)
    if found and not found[0].run and found[0].deployment <= now.deployment:
        ready = found[0].ready or now.ready
        found[0] = replace(found[0], run=now.run, ready=ready, failed=not now.active and not ready)
    return [one if one.run else replace(one, run=now.run) for one in found]


def following(now: Now | None, new: Deployment) -> list[Deployment]:
    """Return the deployments with `new` as the newest. A second submission of the same deploy is one deployment."""
    earlier = settled(now) if now else []
    if earlier and (earlier[0].at, earlier[0].by, earlier[0].commit) == (new.at, new.by, new.commit):
        earlier = earlier[1:]
    number = earlier[0].number + 1 if earlier else 1
    deployment = now.deployment + 1 if now and now.active else 0
    return [replace(new, number=number, deployment=deployment), *earlier]


def restored(now: Now, before: str, at: str) -> list[Deployment]:
    """Return the deployments after `inv deploy` rolled back the newest one to the one that `before` has."""
    kept, earlier = read(before) or [Deployment(number=0)], settled(replace(now, ready=False))
    failed = [replace(one, failed=True) if number == 0 else one for number, one in enumerate(earlier)]
    back = replace(kept[0], run="", ready=False, failed=False, automatic=True, back_to=kept[0].number, at=at)
    number = (earlier[0].number if earlier else kept[0].number) + 1
    return [replace(back, number=number, deployment=now.deployment + 1), *failed]
