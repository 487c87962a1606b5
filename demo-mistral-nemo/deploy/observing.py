"""Asks the dstack server what it has seen of a service. Nothing here changes anything."""

from datetime import datetime
from urllib.parse import urlencode

from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.observations import Event, LogPage, Metrics

MOST_EVENTS = 100  # dstack's limits for one answer
MOST_PIECES = 1000
SAMPLES = 400  # dstack measures every 10 s: somewhat more than an hour


def events(api: Api, kind: str, identifier: str) -> list[Event]:
    """Return the latest events of a run, a gateway or a fleet (`kind`) and of its parts, the newest first."""
    body: Document = {f"within_{kind}s": [identifier], "limit": MOST_EVENTS}
    found: list[Event] = api.ask("/api/events/list", list[Event], body)
    return found


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
