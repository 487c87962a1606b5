"""What was deployed: the deployments that ride along in the run, with what dstack's events say about each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from console.errors import ExitCode, Failure
from deploy import environments, git, observing
from deploy.api import Api
from deploy.deployments import Deployment, read
from deploy.documents.files import Document
from deploy.dstack.answers import Run
from deploy.dstack.client import Notify
from deploy.dstack.observations import Event
from deploy.environments import Environment


@dataclass(frozen=True)
class Row:
    """A deployment, what it changed, and its result, in the words of docs/change.md."""

    deployment: Deployment
    changed: str
    result: str

    def as_json(self) -> Document:
        """Return the row as `inv history --json` prints it."""
        return asdict(self.deployment) | {"changed": self.changed, "result": self.result}


def of(api: Api, run: Run | None) -> list[Row]:
    """Ask dstack for the events of a run, and return its deployments, the newest first."""
    return rows(run, observing.events(api, "run", run.id)) if run else []


def rows(run: Run | None, events: Iterable[Event]) -> list[Row]:
    """Return the deployments of a run, the newest first. `events`: those of the run."""
    if run is None:
        return []
    listed, events = read(run.now.path), list(events)
    changed = {int(match[1]): match[2] for one in events if (match := observing.UPDATED.match(one.message))}
    was_ready, served = observing.ready_deployments(events), observing.served(run, events)
    found = []
    for index, one in enumerate(listed):
        here = one.run in ("", run.id)
        fields = "first deployment of the run" if one.deployment == 0 else changed.get(one.deployment, "")
        newer = listed[index - 1] if index else None
        became_ready = one.ready or (here and one.deployment in was_ready) or (newer is None and served)
        result = _result_now(run, became_ready=became_ready) if newer is None else _result(one, newer, became_ready)
        found.append(Row(one, _changed(fields) if here or not one.deployment else "", result))
    return found


def _changed(fields: str) -> str:
    """Return the fields of the service's file, from dstack's list, without the metadata."""
    named = (field.removeprefix("configuration.") for field in fields.split(", "))
    return ", ".join(field for field in named if field != "configuration_path")


def _result_now(run: Run, *, became_ready: bool) -> str:
    if not run.active:
        return "stopped" if became_ready else "failed"
    return "ready" if run.now.ready else "not ready any more" if became_ready else "in progress"


def _result(one: Deployment, newer: Deployment, became_ready: bool) -> str:
    if newer.automatic:
        return "rolled back"
    return "ready" if became_ready else "failed" if one.failed else "overtaken"


def recorded(environment: Environment, notify: Notify, *, allow_dirty: bool = False) -> Environment:
    """Return the environment with what this deploy writes down about itself.

    Fails with UNCOMMITTED_CHANGES when the environment is protected and its files are not what a commit has.
    """
    found = git.state(environments.ROOT, environment.name)
    if found.problem:
        notify(f"git can't say what is deployed: {found.problem}")
    if environment.protected and not allow_dirty and (found.dirty or found.problem):
        what = f"git can't read this repository ({found.problem})" if found.problem else "there are uncommitted changes"
        why = f"{what} in dstack/, {environment.file} or engine/, and {environment.name} is protected"
        remedy = f"commit them, or allow it with `inv deploy --env {environment.name} --allow-dirty`"
        raise Failure(ExitCode.UNCOMMITTED_CHANGES, why, remedy)
    deployment = Deployment(found.commit, found.subject, found.branch, found.dirty or bool(found.problem))
    return signed(environment, deployment)


def signed(environment: Environment, deployment: Deployment) -> Environment:
    """Return the environment with a deployment that says who deploys, and when."""
    by, page = git.person(environments.ROOT)
    at = datetime.now(UTC).isoformat(timespec="milliseconds")
    return replace(environment, deployment=replace(deployment, by=by, ci=page, at=at))
