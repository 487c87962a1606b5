"""How the service is: replicas, where they run, what they cost, where it answers."""

from urllib.parse import urljoin

from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.dstack.answers import Job, Run, Submission
from deploy.environments import Environment


def deployed(environment: Environment, run: Run | None) -> tuple[Run, str]:
    """The run, and the base URL of the service's API, which ends in `/v1`. Fails with NOT_DEPLOYED."""
    if run is None or not run.active or run.url is None:
        command = f"inv deploy --env {environment.name}"
        raise Failure(ExitCode.NOT_DEPLOYED, f"{environment.run_name} is not deployed; run `{command}`")
    return run, urljoin(f"{environment.server_url}/", run.url).rstrip("/") + "/v1"


def of(environment: Environment, found: Run | None) -> Document:
    """The status as `--json` prints it; prices in USD per hour, `cost` in USD so far. Fails with NOT_DEPLOYED."""
    run, url = deployed(environment, found)
    return {
        "run": environment.run_name,
        "url": url,
        "status": run.status,
        "deployment": run.deployment_num,
        "price_per_hour": run.price,
        "cost": run.cost,
        "replicas": [_replica(job) for job in run.replicas],
    }


def attempts(environment: Environment, run: Run | None, replica: int | None = None) -> list[tuple[int, Submission]]:
    """Replicas' numbers and their attempts, those that ended too, the newest first. Fails with NOT_DEPLOYED."""
    jobs = [job for job in run.jobs if replica in (None, job.number)] if run else []
    if not jobs:
        which = environment.run_name if replica is None else f"replica {replica} of {environment.run_name}"
        raise Failure(ExitCode.NOT_DEPLOYED, f"{which} never ran; see `inv status --env {environment.name}`")
    found = [(job.number, submission) for job in jobs for submission in job.submissions]
    return sorted(found, key=lambda attempt: attempt[1].submitted_at, reverse=True)


def _replica(job: Job) -> Document:
    none = {"cloud": "-", "region": "-", "gpu": "-", "price_per_hour": 0.0}
    return {
        "replica": job.number,
        "deployment": job.latest.deployment_num,
        "status": job.latest.status,
        "probes": "-" if job.latest.status != "running" else "passing" if job.ready else "failing",
        **(job.latest.machine.as_json() if job.latest.machine else none),
    }
