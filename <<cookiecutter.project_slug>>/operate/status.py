"""Describes how the service runs: its replicas, their machines, what they cost, where the service answers."""

from dataclasses import dataclass
from urllib.parse import urljoin

from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.dstack.answers import Job, Machine, Run, Submission
from deploy.environments import Environment


@dataclass(frozen=True)
class Replica:
    """A replica that serves or is being started. `probes` is "passing", "failing", or "-" before it runs."""

    number: int
    deployment: int
    status: str
    probes: str
    machine: Machine | None

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
        }


@dataclass(frozen=True)
class Status:
    """The state of a run. Prices are in USD per hour, `cost` is in USD so far."""

    run: str
    url: str
    status: str
    deployment: int
    price_per_hour: float
    cost: float
    replicas: tuple[Replica, ...]

    def as_json(self) -> Document:
        """Return the status as `inv status --json` prints it."""
        return {**vars(self), "replicas": [replica.as_json() for replica in self.replicas]}


def deployed(environment: Environment, run: Run | None) -> tuple[Run, str]:
    """Return the run and the base URL of its API, which ends in `/v1`. Fails with NOT_DEPLOYED."""
    if run is None or not run.active or run.url is None:
        remedy = f"run `inv deploy --env {environment.name}`"
        raise Failure(ExitCode.NOT_DEPLOYED, f"{environment.run_name} is not deployed", remedy)
    return run, urljoin(f"{environment.server_url}/", run.url).rstrip("/") + "/v1"


def summarize(environment: Environment, found: Run | None) -> Status:
    """Return the status of a run. Fails with NOT_DEPLOYED."""
    run, url = deployed(environment, found)
    return Status(
        run=environment.run_name,
        url=url,
        status=run.status,
        deployment=run.deployment_num,
        price_per_hour=run.price,
        cost=run.cost,
        replicas=tuple(_replica(job) for job in run.replicas),
    )


def attempts(environment: Environment, run: Run | None, replica: int | None = None) -> list[tuple[int, Submission]]:
    """Return the numbers of the replicas with their attempts, the newest attempt first, including those that ended.

    Fails with NOT_DEPLOYED.
    """
    jobs = [job for job in run.jobs if replica in (None, job.number)] if run else []
    if not jobs:
        subject = environment.run_name if replica is None else f"replica {replica} of {environment.run_name}"
        remedy = f"see `inv status --env {environment.name}`"
        raise Failure(ExitCode.NOT_DEPLOYED, f"{subject} never ran", remedy)
    found = [(job.number, submission) for job in jobs for submission in job.submissions]
    return sorted(found, key=lambda attempt: attempt[1].submitted_at, reverse=True)


def _replica(job: Job) -> Replica:
    latest = job.latest
    probes = "-" if latest.status != "running" else "passing" if job.ready else "failing"
    return Replica(job.number, latest.deployment_num, latest.status, probes, latest.machine)
