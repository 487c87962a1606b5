"""Runs: what a plan says, what a deployment starts, and how replicas become ready or crash, a step at each look."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from types import SimpleNamespace
from typing import Any

from dstack._internal.core.errors import ResourceNotExistsError, ServerClientError
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.core.services.diff import format_diff_fields_for_event
from dstack._internal.server.services.runs.spec import (
    can_update_run_spec,
    check_can_update_run_spec,
    validate_run_spec_and_set_defaults,
)

from stand_in.machines import rented

Json = dict[str, Any]
STALE = "Failed to apply plan. Resource has been changed. Try again or use force apply."
READY = "Service replica ready to receive requests"
FINISHED = ("terminated", "failed")
STAGES = (("submitted", 0), ("provisioning", 0), ("running", 0), ("running", 1))  # status, probes passed in a row
USER = SimpleNamespace(ssh_public_key="ssh-ed25519 AAAA person")
IN_PLACE = {"replicas", "groups", "scaling", "gateway", "priority"}  # fields that take no new replica
identifiers = (f"{number:08}-0000-4000-8000-000000000000" for number in count(1))


@dataclass
class Attempt:
    """One submission of a replica: how far it has come, or the reason of its end."""

    number: int
    deployment: int
    machine: Json
    stage: int = 0
    reason: str | None = None
    id: str = field(default_factory=lambda: next(identifiers))

    @property
    def ready(self) -> bool:
        return self.reason is None and self.stage == len(STAGES) - 1


@dataclass
class Run:
    """`replicas` holds the attempts of each replica."""

    spec: RunSpec
    url: str
    deployment: int = 0
    status: str = "submitted"
    replicas: list[list[Attempt]] = field(default_factory=list)
    id: str = field(default_factory=lambda: next(identifiers))
    events: list[str] = field(default_factory=lambda: ["Run submitted. Status: SUBMITTED"])

    @property
    def bounds(self) -> tuple[int, int]:
        replicas = self.spec.configuration.replicas
        return (replicas.min or 0, replicas.max) if replicas else (1, 1)

    @property
    def active(self) -> list[Attempt]:
        return [attempts[-1] for attempts in self.replicas if attempts[-1].reason is None]

    def start(self, machine: Json) -> None:
        """Submit the replicas that the latest deployment lacks."""
        have = sum(attempt.deployment == self.deployment for attempt in self.active)
        for _ in range(self.bounds[0] - have):
            self.replicas.append([Attempt(len(self.replicas), self.deployment, machine)])

    def step(self, *, crashing: bool) -> None:
        """Let a moment pass."""
        if self.status in FINISHED:
            return
        if self.status == "terminating":
            self._end(self.active, "terminated_by_user")
            self.status = "terminated"
            return
        for attempt in self.active:
            attempt.stage = min(attempt.stage + 1, len(STAGES) - 1)
            if attempt.ready and attempt.deployment == self.deployment and self.events[-1] != READY:
                self.events.append(READY)
            if crashing and attempt.stage == 2 and attempt.deployment == self.deployment:
                attempt.reason = "container_exited_with_error"
                self.replicas[attempt.number].append(Attempt(attempt.number, attempt.deployment, attempt.machine))
        new = [attempt for attempt in self.active if attempt.deployment == self.deployment]
        if len([attempt for attempt in new if attempt.ready]) >= self.bounds[0]:
            self._end([attempt for attempt in self.active if attempt.deployment < self.deployment], "scaled_down")
            self._end(new[self.bounds[1] :], "scaled_down")
        asleep = "pending" if self.bounds[0] == 0 else "submitted"
        self.status = "running" if any(attempt.stage > 1 for attempt in self.active) else asleep

    def _end(self, attempts: list[Attempt], reason: str) -> None:
        for attempt in attempts:
            attempt.reason = reason

    def happened(self) -> list[Json]:
        """Return the events as dstack lists them, the newest first."""
        target = {"type": "run", "id": self.id, "name": "nemo"}
        listed = [
            {
                "id": next(identifiers),
                "message": text,
                "recorded_at": f"2026-11-01T00:00:{number:02}Z",
                "targets": [target],
            }
            for number, text in enumerate(self.events)
        ]
        return listed[::-1]

    def as_json(self, project: str) -> Json:
        jobs = [
            {"job_spec": job_spec(self.spec, number), "job_submissions": list(map(_submission, attempts))}
            for number, attempts in enumerate(self.replicas)
        ]
        return {
            "id": self.id,
            "project_name": project,
            "user": "person",
            "submitted_at": "2026-11-01T00:00:00Z",
            "last_processed_at": "2026-11-01T00:00:00Z",
            "status": self.status,
            "status_message": self.status,
            "run_spec": self.spec.model_dump(mode="json"),
            "jobs": jobs,
            "cost": 1.25,
            "service": {"url": self.url},
            "deployment_num": self.deployment,
        }


def job_spec(spec: RunSpec, replica: int = 0) -> Json:
    """Return what dstack makes of a replica, as far as anybody reads it."""
    configuration = spec.configuration
    return {
        "replica_num": replica,
        "job_num": 0,
        "job_name": f"{spec.run_name}-{replica}-0",
        "commands": configuration.commands,
        "env": {},
        "image_name": configuration.image,
        "requirements": {"resources": configuration.resources.model_dump(mode="json")},
        "probes": [{"type": "http", "url": "/", "method": "get", "timeout": 10, "interval": 15, "ready_after": 1}],
    }


def _submission(attempt: Attempt) -> Json:
    status, streak = STAGES[attempt.stage]
    crashed = attempt.reason == "container_exited_with_error"
    ended = None if attempt.reason is None else "failed" if crashed else "terminated"
    return {
        "id": attempt.id,
        "deployment_num": attempt.deployment,
        "submission_num": 0,
        "submitted_at": f"2026-11-01T00:00:00.{attempt.id[2:8]}Z",  # a later one has a greater id
        "last_processed_at": "2026-11-01T00:00:00Z",
        "status": ended or status,
        "status_message": ended or status,
        "termination_reason": attempt.reason,
        "exit_status": 1 if crashed else None,
        "job_provisioning_data": rented(attempt.machine) if attempt.stage else None,
        "probes": [{"success_streak": streak}] if attempt.stage > 1 else [],
    }


def effective(spec: RunSpec) -> RunSpec:
    """Return `spec` with dstack's defaults."""
    copied = RunSpec.model_validate(spec.model_dump(mode="json"))
    validate_run_spec_and_set_defaults(USER, copied)
    return copied


def plan(current: Run | None, asked: Any, offers: list[Json], project: str) -> Json:
    wanted = effective(asked.run_spec)
    updates = current is not None and current.status not in FINISHED and can_update_run_spec(current.spec, wanted)
    job = {"job_spec": job_spec(wanted), "offers": offers, "total_offers": len(offers)}
    return {
        "project_name": project,
        "user": "person",
        "run_spec": asked.run_spec.model_dump(mode="json"),
        "effective_run_spec": wanted.model_dump(mode="json"),
        "job_plans": [job],
        "current_resource": current.as_json(project) if current else None,
        "action": "update" if updates else "create",
    }


def apply(current: Run | None, asked: Any, url: str, machine: Json) -> Run:
    """Return the run after a deployment. Raises ServerClientError for a plan that is outdated or can't be applied."""
    wanted, planned = effective(asked.plan.run_spec), asked.plan.current_resource
    if current is None or current.status in FINISHED:
        made = Run(wanted, url)
        made.start(machine)
        return made
    if not can_update_run_spec(current.spec, wanted):
        raise ServerClientError("Cannot override active run. Stop the run first.")
    if planned is None or str(planned.id) != current.id or planned.deployment_num != current.deployment:
        raise ServerClientError(STALE)
    fields = format_diff_fields_for_event(check_can_update_run_spec(current.spec, wanted))
    current.events.append(f"Run updated. Deployment: {current.deployment + 1}. Changed fields: {fields}")
    rolling = _of_replicas(current.spec) != _of_replicas(wanted)
    current.spec, current.url, current.deployment = wanted, url, current.deployment + 1
    for attempt in [] if rolling else current.active:
        attempt.deployment = current.deployment
    current.start(machine)
    return current


def _of_replicas(spec: RunSpec) -> Json:
    """Return what a replica is made from."""
    return {key: value for key, value in spec.configuration.model_dump(mode="json").items() if key not in IN_PLACE}


def found(runs: dict[str, Run], name: str | None) -> Run:
    """Return the run of that name. Raises ResourceNotExistsError."""
    if name not in runs:
        raise ResourceNotExistsError("Run not found")
    return runs[str(name)]
