"""How the service is: replicas, where they run, what they cost, where it answers."""

from __future__ import annotations

from urllib.parse import urljoin

from deploy.answers import Job, Run
from deploy.environments import Document, Environment
from deploy.errors import ExitCode, Failure


def endpoint(environment: Environment, run: Run | None) -> str:
    """The base URL of the service's API, which ends in `/v1`. Fails with NOT_DEPLOYED."""
    if run is None or not run.active or run.url is None:
        command = f"inv deploy --env {environment.name}"
        raise Failure(ExitCode.NOT_DEPLOYED, f"{environment.run_name} is not deployed; run `{command}`")
    return urljoin(f"{environment.server_url}/", run.url).rstrip("/") + "/v1"


def of(environment: Environment, run: Run | None) -> Document:
    """The status as `--json` prints it; prices in USD per hour, `cost` in USD so far. Fails with NOT_DEPLOYED."""
    url = endpoint(environment, run)
    return {"run": environment.run_name, "url": url} | (_of(run) if run else {})


def newest(run: Run | None, environment: Environment) -> int:
    """Number of the replica that was made last, running or not. Fails with NOT_DEPLOYED when there never was one."""
    if run is None or not run.jobs:
        raise Failure(ExitCode.NOT_DEPLOYED, f"{environment.run_name} never ran; see `inv status`")
    return max(job.number for job in run.jobs)


def _of(run: Run) -> Document:
    return {
        "status": run.status,
        "deployment": run.deployment_num,
        "price_per_hour": run.price,
        "cost": run.cost,
        "replicas": [_replica(job) for job in run.replicas],
    }


def _replica(job: Job) -> Document:
    machine = job.latest.machine
    return {
        "replica": job.number,
        "deployment": job.latest.deployment_num,
        "status": job.latest.status,
        "probes": "-" if job.latest.status != "running" else "passing" if job.ready else "failing",
        "cloud": machine.backend if machine else "-",
        "region": machine.region if machine else "-",
        "gpu": machine.gpu if machine else "-",
        "price_per_hour": machine.price if machine else 0.0,
    }
