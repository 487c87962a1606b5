"""The calls of the dstack server's HTTP API that a deploy needs. A running server documents all calls at /api/docs.

These are plain requests. `dstack.api` takes two seconds to import and has no types, and its apply stops and overrides a
run that it can't update. dstack/answers.py reads the answers; what goes back to the server unchanged stays JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from console.errors import ExitCode, Failure
from deploy.changes import Change, classify_fleet, classify_gateway, differences
from deploy.deployments import following, read, restored, write
from deploy.documents.files import Document
from deploy.dstack.answers import Fleet, Named, Project, ResourcePlan, Run, RunPlan, ServerInfo
from deploy.dstack.client import Client, Notify, T
from deploy.dstack.gateway import Gateway
from deploy.dstack.observations import LogPage
from deploy.dstack.polling import poll
from deploy.dstack.refusals import Missing
from deploy.environments import Environment

PATIENCE_SECONDS = 120.0  # how long the server may be away, e.g. for a restart, before a deploy ends
PROFILE = {"name": "default"}  # dstack compares it with the run's: never change it, a change restarts services
SHAPES: dict[str, Any] = {"fleet": Fleet, "gateway": Gateway}
LISTED = 100  # runs that dstack lists at a time


class Api:
    """One project on one dstack server. Every method raises the Failure that the server's answer means."""

    def __init__(self, environment: Environment, *, patience: float = 0.0, notify: Notify = lambda line: None) -> None:
        self._environment = environment
        self._client = Client(environment, patience=patience, notify=notify)
        self.project, self._path = environment.project, f"/api/project/{environment.project}/"

    def patient(self, notify: Notify, seconds: float = PATIENCE_SECONDS) -> Api:
        """Return an Api that asks again for so many seconds when an answer is bad or lost. `notify` shows each try."""
        patient = Api(self._environment, patience=seconds, notify=notify)
        patient._client.reached, patient._client.known = self._client.reached, self._client.known
        return patient

    def server_version(self) -> str:
        info: ServerInfo = self._client.read("/api/server/get_info", None, ServerInfo)
        return info.server_version

    def clouds(self) -> set[str]:
        """Return the clouds that the project has keys for."""
        project: Project = self._client.read(f"/api/projects/{self.project}/get", None, Project)
        return {backend.name for backend in project.backends}

    def secret_names(self) -> set[str]:
        """Return the names of the project's secrets. The user must be a manager of the project."""
        return {secret.name for secret in self._read("secrets/list", list[Named])}

    def set_secret(self, name: str, value: str) -> None:
        self._write("secrets/create_or_update", Named, lambda: None, name=name, value=value)

    def run(self, name: str) -> Run | None:
        """Return the latest run of that name with all its replicas; None when there was never one."""
        return self._find("runs/get", Run, run_name=name)

    def active_runs(self) -> list[Run]:
        """Return the project's runs that have not ended, without their replicas."""
        body: Document = {"project_name": self.project, "only_active": True, "include_jobs": False, "limit": LISTED}
        runs: list[Run] = []
        while True:
            page: list[Run] = self._client.read("/api/runs/list", body, list[Run])
            runs += page
            if len(page) < LISTED:
                return runs
            body |= {"prev_submitted_at": page[-1].submitted_at, "prev_run_id": page[-1].id}

    def fleets(self) -> list[Fleet]:
        """Return the project's fleets."""
        return self._read("fleets/list", list[Fleet])

    def fleet(self, name: str) -> Fleet | None:
        return self._find("fleets/get", Fleet, name=name)

    def plan_run(
        self, service: Document, current: Run | None, *, any_fleet: bool = False, back_to: Run | None = None
    ) -> RunPlan:
        """Return what applying `service` would do, and the offers for it. With `any_fleet`, only the offers.

        `back_to`: the run before the failed deployment that this rolls back.

        The `ssh_key_pub` of an active run is sent again. Without it, the server takes the key of the token's user. Then
        the same file, applied by a colleague, would be a change and restart the run.
        """
        configuration = {key: value for key, value in service.items() if not (any_fleet and key == "fleets")}
        if isinstance(service.get("gateway"), str) and not any_fleet:
            configuration["gateway"] = self._reference(service["gateway"], current)
        if not service.get("gateway") and "https" not in service and current and current.active:
            # without a gateway `https` has no effect, but dstack restarts a service when it changes
            configuration["https"] = current.run_spec["configuration"].get("https")
        spec: Document = {
            "run_name": service["name"],
            "configuration": configuration,
            "configuration_path": self._service_path(current, back_to),
            "profile": PROFILE,
            "ssh_key_pub": current.run_spec["ssh_key_pub"] if current and current.active else None,
        }
        return self._read("runs/get_plan", RunPlan, run_spec=spec, max_offers=100, for_offers_only=any_fleet)

    def _service_path(self, current: Run | None, back_to: Run | None) -> str:
        """Return the path to store with the service: its mark, and what was deployed. Only a deploy adds itself."""
        now, new = current.now if current else None, self._environment.deployment
        if now and back_to:
            listed = restored(now, back_to.now.path, datetime.now(UTC).isoformat(timespec="milliseconds"))
        else:
            listed = following(now, new) if new else read(now.path) if now else []
        return write(self._environment.marked("dstack/service.dstack.yml"), listed)

    def _reference(self, written: str, current: Run | None) -> str:
        """Return the reference to the service's gateway as the run has it, if the run is behind that gateway.

        `NAME` and `<project>/NAME` are the same gateway, but for dstack the other one is a change.
        """
        name = written.removeprefix(f"{self.project}/")
        kept = current.gateway if current and current.active else None
        return kept if kept in (name, f"{self.project}/{name}") else written

    def apply_run(self, plan: RunPlan) -> Run:
        """Apply exactly that plan of a run, and return the submitted run.

        Fails with PLAN_OUTDATED when somebody changed the run since. dstack compares the run with the plan's
        `current_resource`, so a second try can't overwrite anything.
        """
        before = plan.current

        def done() -> Run | None:
            run = self.run(str(plan.spec["run_name"]))
            newer = run and (before is None or run.id != before.id or run.deployment_num > before.deployment_num)
            return run if run and newer and not list(differences(plan.effective_spec, run.run_spec)) else None

        body = {"run_spec": plan.spec, "current_resource": plan.current_resource}
        run: Run = self._write("runs/apply", Run, done, plan=body, force=False)
        return run

    def stop_run(self, name: str) -> None:
        def done() -> bool | None:
            run = self.run(name)
            return True if run is None or not run.active or run.status == "terminating" else None

        self._write("runs/stop", None, done, runs_names=[name], abort=False)

    def gateway(self, name: str) -> Gateway | None:
        return self._find("gateways/get", Gateway, name=name)

    def exists(self, kind: str, name: str) -> bool:
        """Return whether there is a fleet or a gateway (`kind`) of that name."""
        return self._find(f"{kind}s/get", SHAPES[kind], name=name) is not None

    def plan(self, kind: str, document: Document) -> ResourcePlan:
        """Return what applying a fleet or a gateway would do."""
        path = self._environment.marked(f"dstack/{kind}.dstack.yml")
        spec: Document = {"configuration": document, "configuration_path": path}
        spec |= {"profile": PROFILE} if kind == "fleet" else {}
        return self._read(f"{kind}s/get_plan", ResourcePlan, spec=spec)

    def apply(self, kind: str, plan: ResourcePlan) -> None:
        """Apply exactly that plan of a fleet or a gateway. Fails with PLAN_OUTDATED when it has changed since."""
        classify = classify_gateway if kind == "gateway" else classify_fleet

        def done() -> bool | None:
            now = classify(self.plan(kind, plan.spec["configuration"]))
            return True if now.change == Change.UNCHANGED else None

        body = {"spec": plan.spec, "current_resource": plan.current_resource}
        self._write(f"{kind}s/apply", SHAPES[kind], done, plan=body, force=False)

    def delete(self, kind: str, name: str, notify: Notify) -> None:
        """Delete a fleet or a gateway, and wait until its machines are gone. A second call does nothing."""
        if self.exists(kind, name):
            self._write(f"{kind}s/delete", None, lambda: None if self.exists(kind, name) else True, names=[name])
            self.wait_gone(f"{kind} {name}", lambda: not self.exists(kind, name))
            notify(f"{kind} {name}: deleted")

    def wait_gone(self, what: str, gone: Callable[[], bool]) -> None:
        """Wait until `gone`. Fails with STILL_THERE after timeouts.stop: dstack stops trying without a message."""
        limit = self._environment.timeouts.stop
        for _ in poll(limit):
            if gone():
                return
        why = f"{what} is still there after {limit} s and may be billed, and dstack stops trying after 15 minutes"
        raise Failure(ExitCode.STILL_THERE, why, "run it again, and check the clouds' consoles")

    def log_tail(self, run_name: str, submission_id: str, lines: int = 20) -> list[str]:
        """Return the last lines that a replica's container wrote."""
        body: Document = {"run_name": run_name, "job_submission_id": submission_id, "descending": True, "limit": lines}
        page = self._read("logs/poll", LogPage, **body)
        text = b"".join(piece.content for piece in reversed(page.logs))
        return [line.rstrip() for line in text.decode(errors="replace").splitlines()][-lines:]

    def configure(self, cloud_keys: dict[str, str]) -> None:
        """Create the project if there is none, and set the clouds' keys in it. The token must be an admin's."""
        projects: list[Project] = self._client.read("/api/projects/list", None, list[Project])
        if self.project not in {project.project_name for project in projects}:
            self._client.write("/api/projects/create", {"project_name": self.project}, Project, lambda: None)
        present = self.clouds()
        for cloud, key in cloud_keys.items():
            creds = {"type": "api_key", "api_key": key}
            change = "update" if cloud in present else "create"
            # data centres only: dstack's default for Vast.ai is anybody's machine
            body: Document = {"type": cloud, "creds": creds, "community_cloud": False}
            self._write(f"backends/{change}", Document, lambda: None, **body)

    def _find(self, path: str, shape: type[T], **body: Any) -> T | None:
        """Return the answer; None when the resource does not exist."""
        try:
            return self._read(path, shape, **body)
        except Missing:
            return None

    def ask(self, path: str, shape: Any, body: Document | None = None) -> Any:
        """Return the answer to a question about the whole server or a project; without a body, to a GET."""
        return self._client.read(path, body, shape, method="GET" if body is None else "POST")

    def _read(self, path: str, shape: type[T], **body: Any) -> T:
        answer: T = self._client.read(self._path + path, body, shape)
        return answer

    def _write(self, path: str, shape: Any, done: Callable[[], Any], **body: Any) -> Any:
        return self._client.write(self._path + path, body, shape, done)
