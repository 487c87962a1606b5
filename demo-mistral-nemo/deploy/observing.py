"""Asks the dstack server what it has seen of a service. Nothing here changes anything."""

import re
from collections.abc import Iterable
from datetime import datetime
from urllib.parse import urlencode

from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.answers import Project, Run
from deploy.dstack.observations import Event, LogPage, Metrics

UPDATED = re.compile(r"Run updated\. Deployment: (\d+)\. Changed fields: (.*)")
SUBMITTED = "Run submitted"
READY = "Service replica ready to receive requests"  # the probes of a replica have passed
MOST_EVENTS = 100  # dstack's limits for one answer
MOST_PIECES = 1000
SAMPLES = 400  # dstack measures every 10 s: somewhat more than an hour


def events(api: Api, kind: str, identifier: str) -> list[Event]:
    """Return the latest events of a run, a gateway or a fleet (`kind`) and of its parts, the newest first."""
    body: Document = {f"within_{kind}s": [identifier], "limit": MOST_EVENTS}
    found: list[Event] = api.ask("/api/events/list", list[Event], body)
    return found


def gateway_events(api: Api) -> list[Event]:
    """Return the latest events of the project's gateways, the newest first. One that was deleted has only its name."""
    project: Project = api.ask(f"/api/projects/{api.project}/get", Project, {})
    body: Document = {"within_projects": [project.project_id], "include_target_types": ["gateway"]}
    found: list[Event] = api.ask("/api/events/list", list[Event], body | {"limit": MOST_EVENTS})
    return found


def ready_deployments(found: Iterable[Event]) -> set[int]:
    """Return the deployments of a run during which a replica became ready, from the run's events in any order."""
    current: int | None = None  # unknown where the answer has no longer all events
    ready = set()
    for event in sorted(found, key=lambda one: one.recorded_at):
        if event.message.startswith(SUBMITTED):
            current = 0
        elif updated := UPDATED.match(event.message):
            current = int(updated[1])
        elif event.message == READY and current is not None:
            ready.add(current)
    return ready


def served(run: Run, found: Iterable[Event]) -> bool:
    """Return whether the last deployment of a run ever became ready, as probes and events say, also when it has ended.

    A deployment in place has no event of its own, and a replica that was lost has no probes.
    """
    last = [job for job in run.jobs if job.latest.deployment_num == run.deployment_num]
    return any(job.probes and job.passed for job in last) or run.deployment_num in ready_deployments(found)


def remembered(api: Api, run: Run | None) -> Run | None:
    """Return the run, which says of its last deployment whether it became ready, also when it has ended."""
    if run is None or run.now.active:
        return run
    return run.remembered(served=served(run, events(api, "run", run.id)))


def metrics(api: Api, run_name: str, replica: int, after: datetime) -> Metrics:
    """Return what dstack measured on a replica's machine after that time."""
    query = urlencode({"replica_num": replica, "limit": SAMPLES, "after": after.isoformat()})
    found: Metrics = api.ask(f"/api/project/{api.project}/metrics/job/{run_name}?{query}", Metrics)
    return found


def log_page(
    api: Api,
    run_name: str,
    submission_id: str,
    *,
    after: datetime | None = None,
    token: str | None = None,
    newest_first: bool = True,
) -> LogPage:
    """Return a page of what one attempt's container wrote after that time. `token`: the page before's `next_token`."""
    body: Document = {"run_name": run_name, "job_submission_id": submission_id, "limit": MOST_PIECES}
    body |= {"descending": newest_first, "start_time": after.isoformat() if after else None, "next_token": token}
    found: LogPage = api.ask(f"/api/project/{api.project}/logs/poll", LogPage, body)
    return found
