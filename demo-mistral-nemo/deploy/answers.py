"""What the dstack server answers, as far as a deployment reads it. Unknown fields are ignored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import BaseModel

from deploy.environments import Document

FINISHED = {"terminated", "failed", "done"}  # of runs; jobs have "aborted" too
AVAILABLE = {"unknown", "available", "idle"}  # of offers: those that dstack tries


class Gpu(BaseModel):
    name: str
    memory_mib: int


class Resources(BaseModel):
    gpus: list[Gpu] = []


class Instance(BaseModel):
    name: str
    resources: Resources

    @property
    def gpu(self) -> str:
        """Such as `2x A100 80 GB`, or the instance's name when it has no GPU."""
        if not self.resources.gpus:
            return self.name
        count, first = len(self.resources.gpus), self.resources.gpus[0]
        return f"{f'{count}x ' if count > 1 else ''}{first.name} {first.memory_mib / 1024:.0f} GB"


class Offer(BaseModel):
    """A machine that a cloud would rent out now; `price` in USD per hour."""

    backend: str
    region: str
    price: float
    instance: Instance
    availability: str

    @property
    def available(self) -> bool:
        return self.availability in AVAILABLE


class Machine(BaseModel):
    """Where a replica runs; `price` in USD per hour."""

    backend: str
    region: str
    price: float
    instance_type: Instance
    hostname: str | None = None


class Probe(BaseModel):
    success_streak: int


class ProbeSpec(BaseModel):
    ready_after: int


class JobSpec(BaseModel):
    replica_num: int
    probes: list[ProbeSpec] = []


class Submission(BaseModel):
    """One attempt at running a replica."""

    id: str
    deployment_num: int
    status: str
    submitted_at: datetime
    status_message: str = ""
    termination_reason: str | None = None
    termination_reason_message: str | None = None
    exit_status: int | None = None
    error: str | None = None
    job_provisioning_data: Machine | None = None
    probes: list[Probe] = []

    @property
    def active(self) -> bool:
        return self.status not in FINISHED | {"aborted", "terminating"}


class Job(BaseModel):
    job_spec: JobSpec
    job_submissions: list[Submission]

    @property
    def latest(self) -> Submission:
        return self.job_submissions[-1]

    @property
    def ready(self) -> bool:
        """It runs, and each probe has passed as often as asked."""
        streaks = [probe.success_streak for probe in self.latest.probes]
        wanted = [spec.ready_after for spec in self.job_spec.probes]
        return (
            self.latest.status == "running"
            and len(streaks) == len(wanted)
            and all(streak >= want for streak, want in zip(streaks, wanted, strict=True))
        )


class Model(BaseModel):
    name: str
    base_url: str


class Endpoint(BaseModel):
    """`url` is a path on the dstack server when there is no gateway."""

    url: str
    model: Model | None = None


class Run(BaseModel):
    """`cost` in USD so far, of all replicas that ever ran."""

    id: str
    user: str
    run_spec: Document
    status: str
    status_message: str = ""
    deployment_num: int
    submitted_at: datetime
    jobs: list[Job]
    cost: float
    error: str | None = None
    termination_reason: str | None = None
    service: Endpoint | None = None

    @property
    def active(self) -> bool:
        return self.status not in FINISHED

    @property
    def price(self) -> float:
        """What its machines cost now, in USD per hour."""
        machines = (job.latest.job_provisioning_data for job in self.replicas)
        return sum(machine.price for machine in machines if machine)

    @property
    def replicas(self) -> list[Job]:
        """Replicas that exist or are being made, the newest deployment first."""
        jobs = [job for job in self.jobs if job.latest.active]
        return sorted(jobs, key=lambda job: (-job.latest.deployment_num, job.job_spec.replica_num))


class JobPlan(BaseModel):
    offers: list[Offer]
    total_offers: int


class RunPlan(BaseModel):
    """`action` is "create" or "update"; `current_resource` and `run_spec` go back to the server as they came."""

    action: str
    run_spec: Document
    effective_run_spec: Document
    current_resource: dict[str, Any] | None = None
    job_plans: list[JobPlan]

    @property
    def current(self) -> Run | None:
        return Run.model_validate(self.current_resource) if self.current_resource else None

    @property
    def offers(self) -> list[Offer]:
        """What a new replica would run on, in the order in which dstack tries them."""
        return [offer for offer in self.job_plans[0].offers if offer.available] if self.job_plans else []


class Fleet(BaseModel):
    name: str
    status: str
    spec: Document
    instances: list[dict[str, Any]] = []


class FleetPlan(BaseModel):
    """Like RunPlan, for the fleet."""

    action: str
    spec: Document
    effective_spec: Document
    current_resource: dict[str, Any] | None = None

    @property
    def giving_back(self) -> bool:
        """Whether machines of the fleet are on their way back to their cloud."""
        instances = self.current_resource["instances"] if self.current_resource else []
        return any(instance["status"] == "terminating" for instance in instances)
