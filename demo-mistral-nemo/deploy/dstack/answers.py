"""The parts of the dstack server's answers that are read here. Other fields are ignored."""

from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import AliasChoices, AliasPath, BaseModel, Field, PrivateAttr

from capacity import machines
from capacity.machines import Gpu
from deploy.deployments import Now
from deploy.documents.files import Document

FINISHED = {"terminated", "failed", "done"}  # of runs
JOB_OVER = FINISHED | {"aborted", "terminating"}  # of jobs: neither serves nor will
SLEEPING = {None, "scaled_down"}  # dstack's reasons for the end of a replica that is not needed now
AVAILABLE = {"unknown", "available", "idle"}  # the availability of offers that dstack tries


def _resource(*path: str) -> AliasChoices:
    return AliasChoices(*(AliasPath(where, "resources", *path) for where in ("instance", "instance_type")))


class ServerInfo(BaseModel):
    server_version: str


class Named(BaseModel):
    """A cloud or a secret of a project."""

    name: str


class Project(BaseModel):
    project_id: str = ""
    project_name: str
    backends: list[Named]


class Machine(machines.Machine):
    """The machine of a replica, or of an offer. Only offers have an `availability`."""

    availability: str = ""
    gpus: list[Gpu] = Field(validation_alias=_resource("gpus"))
    disk_mib: int | None = Field(default=None, validation_alias=_resource("disk", "size_mib"))


class Submission(BaseModel):
    """One attempt at running a replica."""

    id: str
    deployment_num: int
    status: str
    submitted_at: datetime
    finished_at: datetime | None = None
    status_message: str = ""
    termination_reason: str | None = None
    termination_reason_message: str | None = None
    exit_status: int | None = None
    error: str | None = None
    machine: Machine | None = Field(default=None, validation_alias="job_provisioning_data")
    streaks: list[dict[str, int]] = Field(default=[], validation_alias="probes")


class Job(BaseModel):
    """A replica and its attempts, the oldest first. `group` is "0" in a service without groups."""

    group: str = Field(default="0", validation_alias=AliasPath("job_spec", "replica_group"))
    number: int = Field(validation_alias=AliasPath("job_spec", "replica_num"))
    probes: list[dict[str, Any]] = Field(default=[], validation_alias=AliasPath("job_spec", "probes"))
    submissions: list[Submission] = Field(validation_alias="job_submissions")

    @property
    def latest(self) -> Submission:
        return self.submissions[-1]

    @property
    def passed(self) -> bool:
        """Whether each probe has passed as often as the service asks for. dstack keeps that after the replica's end."""
        streaks = [streak["success_streak"] for streak in self.latest.streaks]
        wanted = [probe["ready_after"] for probe in self.probes]
        return len(streaks) == len(wanted) and all(map(int.__ge__, streaks, wanted))

    @property
    def ready(self) -> bool:
        """Whether it runs and its probes have passed."""
        return self.latest.status == "running" and self.passed


class Run(BaseModel):
    """A run with its replicas.

    `cost` is in USD so far, for all replicas that ever ran. Without a gateway, `url` is a path on the dstack server.
    """

    id: str
    submitted_at: str
    run_spec: Document
    status: str
    status_message: str = ""
    deployment_num: int
    jobs: list[Job]
    cost: float
    error: str | None = None
    termination_reason: str | None = None
    url: str | None = Field(default=None, validation_alias=AliasPath("service", "url"))
    _served: bool = PrivateAttr(default=False)  # dstack does not send it

    def remembered(self, *, served: bool) -> Self:
        """Return this run, which has ended, with what is known of its last deployment: whether it became ready."""
        copy = self.model_copy()
        copy._served = served
        return copy

    @property
    def active(self) -> bool:
        return self.status not in FINISHED

    @property
    def now(self) -> Now:
        """What the next deployment has to know of this one; it became ready when any of its replicas serves."""
        replicas = [job for job in self.replicas if job.latest.deployment_num == self.deployment_num]
        ready = self._served or self.asleep or any(job.ready for job in replicas)
        path = str(self.run_spec.get("configuration_path") or "")
        return Now(path, self.id, self.deployment_num, ready, self.active and self.status != "terminating")

    @property
    def gateway(self) -> str | None:
        """The run's gateway as it is written in the service: `NAME` or `<project>/NAME`."""
        found = self.run_spec["configuration"].get("gateway")
        if isinstance(found, dict):
            return "/".join(part for part in (found.get("project"), found["name"]) if part)
        return found or None

    @property
    def host(self) -> str | None:
        """The host name under which its gateway serves it. A new domain of the gateway changes only later runs."""
        return urlsplit(self.url or "").hostname

    @property
    def newest(self) -> list[Submission]:
        """The last attempt of each replica of the latest deployment, including attempts that ended."""
        return [job.latest for job in self.jobs if job.latest.deployment_num == self.deployment_num]

    @property
    def asleep(self) -> bool:
        """Whether it is deployed and wants no replica: `replicas` is 0, or dstack scaled it down to 0."""
        ended = {attempt.termination_reason for attempt in self.newest} - SLEEPING
        return self.status == "pending" and not self.replicas and not ended

    @property
    def replicas(self) -> list[Job]:
        """The replicas that serve or are being started, the newest deployment first."""
        jobs = [job for job in self.jobs if job.latest.status not in JOB_OVER]
        return sorted(jobs, key=lambda job: (-job.latest.deployment_num, job.number))

    @property
    def price(self) -> float:
        """The present price of its machines in USD per hour."""
        return sum(job.latest.machine.price for job in self.replicas if job.latest.machine)


class ResourcePlan(BaseModel):
    """What applying a fleet or a gateway would do.

    `action` is "update" or "create". "create" with a `current_resource` means that it can't be updated.
    `current_resource` and `spec` go back to the server unchanged.
    """

    action: str
    spec: Document
    effective_spec: Document
    current_resource: dict[str, Any] | None = None


class RunPlan(ResourcePlan):
    """What applying the service would do."""

    spec: Document = Field(validation_alias="run_spec")
    effective_spec: Document = Field(validation_alias="effective_run_spec")
    listed: list[Machine] = Field(default=[], validation_alias=AliasPath("job_plans", 0, "offers"))

    @property
    def current(self) -> Run | None:
        return Run.model_validate(self.current_resource) if self.current_resource else None

    @property
    def offers(self) -> list[Machine]:
        """The offers for a new replica, in the order in which dstack tries them."""
        return [offer for offer in self.listed if offer.availability in AVAILABLE]


class Fleet(BaseModel):
    """A fleet of the project."""

    id: str = ""
    name: str
    spec: Document
    status: str
