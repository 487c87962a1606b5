"""Describes how the service runs: its replicas, their machines, what they cost, where the service answers."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urljoin

from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.dstack.answers import Job, Machine, Run
from deploy.dstack.observations import Event
from deploy.environments import Environment
from deploy.reaching import Reached
from operate.incidents import Incident, ending, incident, remedy_after


@dataclass(frozen=True)
class Replica:
    """A replica that serves or is being started. `probes` is "passing", "failing", or "-" before it runs."""

    number: int
    deployment: int
    status: str
    probes: str
    machine: Machine | None
    age: float  # seconds since it was submitted

    @property
    def cloud(self) -> str:
        return self.machine.backend if self.machine else "-"

    @property
    def region(self) -> str:
        return self.machine.region if self.machine else "-"

    @property
    def gpu(self) -> str:
        """Return the name and the memory of its GPUs."""
        return self.machine.gpu if self.machine else "-"

    @property
    def price_per_hour(self) -> float:
        """Return the price of its machine, in USD an hour; 0 before it has one."""
        return self.machine.price if self.machine else 0.0

    def as_json(self) -> Document:
        """Return the replica as `inv status --json` prints it."""
        return {
            "replica": self.number,
            "deployment": self.deployment,
            "status": self.status,
            "probes": self.probes,
            "cloud": self.cloud,
            "region": self.region,
            "gpu": self.gpu,
            "price_per_hour": self.price_per_hour,
            "age_seconds": round(self.age),
        }


@dataclass(frozen=True)
class Status:
    """The state of a run. Prices are in USD per hour, `cost` is in USD since it was submitted, `age` seconds ago.

    `commit`: the commit that was deployed, "" if nobody wrote it down. Without an `incident`, it serves or sleeps.
    `alarms`: those that have gone off, None if AWS did not say it.
    """

    run: str
    url: str
    status: str
    deployment: int
    price_per_hour: float
    cost: float
    replicas: tuple[Replica, ...]
    age: float
    commit: str = ""
    incident: Incident | None = None
    gateway: tuple[Reached, ...] = ()
    records: str = ""
    alarms: tuple[Document, ...] | None = ()

    def as_json(self) -> Document:
        """Return the status as `inv status --json` prints it."""
        known = {
            key: value
            for key, value in vars(self).items()
            if key not in ("age", "replicas", "incident", "gateway", "records", "alarms")
        }
        return {
            **known,
            "age_seconds": round(self.age),
            "serving": any(replica.probes == "passing" for replica in self.replicas),
            "gateway": [{**vars(one), "verdict": one.verdict.value} for one in self.gateway],
            "records": self.records or None,
            "alarms": None if self.alarms is None else list(self.alarms),
            "incident": self.incident.as_json() if self.incident else None,
            "replicas": [replica.as_json() for replica in self.replicas],
        }


def deployed(environment: Environment, run: Run | None) -> tuple[Run, str]:
    """Return the run and the base URL of its API, which ends in `/v1`. Fails with NOT_DEPLOYED."""
    if run is None or not run.active or run.url is None:
        how = ending(run, datetime.now(UTC))
        problem = f"{environment.run_name} is not deployed" + (f"; {how}" if how else "")
        raise Failure(ExitCode.NOT_DEPLOYED, problem, remedy_after(run, environment.name))
    return run, urljoin(f"{environment.server_url}/", run.url).rstrip("/") + "/v1"


def summarize(environment: Environment, found: Run | None, events: Collection[Event] = ()) -> Status:
    """Return the status of a run. Fails with NOT_DEPLOYED. `events` of the run explain an incident better."""
    run, url = deployed(environment, found)
    now = datetime.now(UTC)
    return Status(
        run=environment.run_name,
        url=url,
        status=run.status,
        deployment=run.deployment_num,
        price_per_hour=run.price,
        cost=run.cost,
        replicas=tuple(_replica(job, now) for job in run.replicas),
        age=(now - datetime.fromisoformat(run.submitted_at)).total_seconds(),
        commit=commit_of(run),
        incident=incident(run, events, environment.name, now),
    )


def commit_of(run: Run) -> str:
    """Return the commit that rides along in the run's configuration_path; "" if there is none."""
    found = re.search(r"(?:^|\s)commit=([0-9a-f]{7,64})(?![^\s,;])", run.run_spec.get("configuration_path") or "")
    return found[1] if found else ""


def _replica(job: Job, now: datetime) -> Replica:
    latest = job.latest
    probes = "-" if latest.status != "running" else "passing" if job.ready else "failing"
    age = (now - latest.submitted_at).total_seconds()
    return Replica(job.number, latest.deployment_num, latest.status, probes, latest.machine, age)
