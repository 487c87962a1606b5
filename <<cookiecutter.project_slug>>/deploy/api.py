"""The dstack server's HTTP API, the part of it that deploying takes; a running server documents all at /api/docs.

Plain requests rather than `dstack.api`: that takes two seconds to import, has no types, and its apply stops and
overrides a run that it can't update. Answers are read through deploy/answers.py; what goes back unchanged stays JSON.
"""

import base64
import re
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, TypeAlias

import requests

from deploy.answers import Gateway, ResourcePlan, Run, RunPlan
from deploy.environments import Document, Environment
from deploy.errors import ExitCode, Failure

CONNECT_SECONDS, ANSWER_SECONDS = 5, 120  # a plan asks the clouds for offers
POLL_SECONDS = 2.0  # between two looks at something that is on its way
Say: TypeAlias = Callable[[str], None]  # shows one line of progress
OUTER = {"body", "run_spec", "spec", "configuration"}  # where a file's content is put when it is sent
PROFILE = {"name": "default"}  # dstack compares it with the run's: never change it, a change restarts services


def during(seconds: float) -> Iterator[None]:
    """Yields at once, and again every POLL_SECONDS until so many have passed; not at all for 0."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        yield
        time.sleep(POLL_SECONDS)


class Api:
    """One project on one dstack server. Every method raises the Failure that the server's answer means."""

    def __init__(self, environment: Environment) -> None:
        self.url, self.project, self._name = environment.server_url, environment.project, environment.name
        self._limits = environment.timeouts
        self._hint = "run `inv server` in another terminal" if environment.name == "dev" else "is the VPN up?"
        self._session = requests.Session()
        self._session.headers["Authorization"] = f"Bearer {environment.token}"
        self._session.headers["X-API-VERSION"] = version("dstack")  # answers come in the form of that version

    def server_version(self) -> str:
        return str(self._post("/api/server/get_info")["server_version"])

    def clouds(self) -> set[str]:
        """Clouds that the project has keys for."""
        return {backend["name"] for backend in self._post(f"/api/projects/{self.project}/get")["backends"]}

    def secret_names(self) -> set[str]:
        """Names of the project's secrets; takes the role of manager."""
        return {secret["name"] for secret in self._call("secrets/list")}

    def set_secret(self, name: str, value: str) -> None:
        self._call("secrets/create_or_update", name=name, value=value)

    def run(self, name: str) -> Run | None:
        """The latest run of that name with all its replicas; None when there never was one."""
        found = self._find("runs/get", run_name=name)
        return Run.model_validate(found) if found else None

    def plan_run(self, service: Document, current: Run | None, *, any_fleet: bool = False) -> RunPlan:
        """What applying `service` would do, and which offers it would take.

        The run's `ssh_key_pub` is sent as it has it: without it the server takes that of the token's user, finds the
        run changed, and the same file applied by a colleague would be an outage.
        """
        configuration = {key: value for key, value in service.items() if not (any_fleet and key == "fleets")}
        if isinstance(service.get("gateway"), str):
            configuration["gateway"] = self._reference(service["gateway"], current)
        spec: Document = {
            "run_name": service["name"],
            "configuration": configuration,
            "configuration_path": "dstack/service.dstack.yml",
            "profile": PROFILE,
            "ssh_key_pub": current.run_spec["ssh_key_pub"] if current and current.active else None,
        }
        answer = self._call("runs/get_plan", run_spec=spec, max_offers=100, for_offers_only=any_fleet)
        return RunPlan.model_validate(answer)

    def _reference(self, written: str, current: Run | None) -> str:
        """The way to write the service's gateway that the gateway asks for, see gateways.py, else the run's own.

        `NAME` and `<project>/NAME` are the same one, and dstack takes them for a change.
        """
        name = written.removeprefix(f"{self.project}/")
        gateway = self.gateway(name)
        if gateway and gateway.reference:
            return gateway.reference
        kept = current.gateway if current and current.active else None
        return kept if kept in (name, f"{self.project}/{name}") else written

    def stop_run(self, name: str) -> None:
        self._call("runs/stop", runs_names=[name], abort=False)

    def gateway(self, name: str) -> Gateway | None:
        found = self._find("gateways/get", name=name)
        return Gateway.model_validate(found) if found else None

    def exists(self, kind: str, name: str) -> bool:
        """Whether there is a fleet or a gateway (`kind`) of that name."""
        return self._find(f"{kind}s/get", name=name) is not None

    def plan(self, kind: str, document: Document) -> ResourcePlan:
        """What applying a fleet or a gateway would do."""
        spec = {"configuration": document, "configuration_path": f"dstack/{kind}.dstack.yml"}
        spec |= {"profile": PROFILE} if kind == "fleet" else {}
        return ResourcePlan.model_validate(self._call(f"{kind}s/get_plan", spec=spec))

    def apply(self, kind: str, plan: ResourcePlan) -> Any:
        """Apply exactly that plan of a fleet, a gateway or a run; PLAN_OUTDATED when it has changed since."""
        body = {"run_spec" if kind == "run" else "spec": plan.spec, "current_resource": plan.current_resource}
        return self._call(f"{kind}s/apply", plan=body, force=False)

    def delete(self, kind: str, name: str, say: Say) -> None:
        """Delete a fleet or a gateway, wait until it and its machines are gone. Doing it twice is doing it once."""
        if self.exists(kind, name):
            self._call(f"{kind}s/delete", names=[name])
            self.wait_gone(f"{kind} {name}", lambda: not self.exists(kind, name))
            say(f"{kind} {name}: deleted")

    def wait_gone(self, what: str, gone: Callable[[], bool]) -> None:
        """Return when `gone`. Fails with STILL_THERE before dstack gives up, after 15 minutes, without telling."""
        for _ in during(self._limits.stop):
            if gone():
                return
        why = f"{what} is still there after {self._limits.stop} s, and may be billed"
        mend = "run it again to go on waiting, and look at the clouds' consoles: dstack tries for 15 minutes"
        raise Failure(ExitCode.STILL_THERE, f"{why}; {mend}")

    def log_tail(self, run_name: str, submission_id: str, lines: int = 20) -> list[str]:
        """The last lines that a replica's container wrote."""
        logs = self._call("logs/poll", run_name=run_name, job_submission_id=submission_id, descending=True, limit=lines)
        text = b"".join(base64.b64decode(event["message"]) for event in reversed(logs["logs"]))
        return [line.rstrip() for line in text.decode(errors="replace").splitlines()][-lines:]

    def configure(self, cloud_keys: dict[str, str]) -> None:
        """Make the project if there is none, and give it the clouds' keys, new over old; takes an admin's token."""
        if self.project not in {project["project_name"] for project in self._post("/api/projects/list")}:
            self._post("/api/projects/create", {"project_name": self.project})
        present = self.clouds()
        for cloud, key in cloud_keys.items():
            creds = {"type": "api_key", "api_key": key}
            change = "update" if cloud in present else "create"
            # data centres alone: dstack's default for Vast.ai is anybody's machine
            self._call(f"backends/{change}", type=cloud, creds=creds, community_cloud=False)

    def _find(self, path: str, **body: Any) -> Any:
        """Like `_call`, but None for what does not exist."""
        try:
            return self._call(path, **body)
        except _ResourceMissing:
            return None

    def _call(self, path: str, **body: Any) -> Any:
        return self._post(f"/api/project/{self.project}/{path}", body)

    def _post(self, path: str, body: Document | None = None) -> Any:
        limits = (CONNECT_SECONDS, ANSWER_SECONDS)
        try:
            response = self._session.post(self.url + path, json=body or {}, timeout=limits, allow_redirects=False)
            if response.ok:
                return response.json() if response.content else None
        except (requests.RequestException, ValueError) as error:
            why = f"no dstack server answers at {self.url} ({type(error).__name__}); {self._hint}"
            raise Failure(ExitCode.SERVER_UNREACHABLE, why) from None
        raise self._failure(response)

    def _failure(self, response: requests.Response) -> Failure:
        """What an answer of 400 and above means."""
        reason, code = _reason(response)
        if response.status_code in (502, 503, 504):  # a proxy before a server that restarts
            return Failure(ExitCode.SERVER_UNREACHABLE, f"{self.url} answers {response.status_code}; {self._hint}")
        if response.status_code == 404:
            mend = "mend server.project in the environment's file, or DSTACK_PROJECT"
            return Failure(ExitCode.PROJECT_MISSING, f"{self.url} has no project {self.project!r}; {mend}")
        if response.status_code in (401, 403):
            unknown = "token" in reason.lower() or "authenticated" in reason.lower()
            mend = "set DSTACK_TOKEN, in .env or the shell" if unknown else f"ask for a role in project {self.project}"
            return Failure(ExitCode.TOKEN_REFUSED, f"{self.url} answers {reason!r}; {mend}")
        if response.status_code == 422 and (asked := re.search(r"(\w+)s/get_plan$", response.url)):
            files = f"environments/{self._name}.yml over dstack/{asked[1].replace('run', 'service')}.dstack.yml"
            return Failure(ExitCode.SETTINGS_INVALID, f"dstack does not take {files}: {reason}")
        if code == "resource_not_exists":
            return _ResourceMissing(ExitCode.SERVER_REFUSED, reason)
        if "is incompatible with the server version" in reason:  # a client of a newer minor version than the server
            mend = 'upgrade the server first: "Upgrading dstack" in the CHANGELOG.md of the template'
            return Failure(ExitCode.SERVER_REFUSED, f"{reason} {mend}")
        if "is being deleted" in reason:
            return Failure(ExitCode.STILL_THERE, f"{reason} Run it again in a minute")
        if "is in FAILED status" in reason:
            mend = "look at `inv gateway.status`, then inv gateway.destroy and inv deploy"
            return Failure(ExitCode.GATEWAY_FAILED, f"the gateway failed to come up earlier; {mend}")
        if "Resource has been changed" in reason or "Cannot override active run" in reason:
            return Failure(ExitCode.PLAN_OUTDATED, f"somebody changed it meanwhile ({reason}); run `inv plan` again")
        return Failure(ExitCode.SERVER_REFUSED, f"the dstack server refused ({response.status_code}): {reason}")


class _ResourceMissing(Failure):
    """The run, fleet or secret asked for does not exist."""


def _reason(response: requests.Response) -> tuple[str, str | None]:
    """The server's own words and its error code; its answers have several shapes."""
    try:
        answer = response.json()
    except ValueError:
        return response.reason or "no reason given", None
    detail = answer.get("detail", answer) if isinstance(answer, dict) else answer
    first = detail[0] if isinstance(detail, list) and detail else detail
    if not isinstance(first, dict):
        return str(first), None
    where = ".".join(str(part) for part in first.get("loc", ()) if part not in OUTER)
    return f"{where}: {first['msg']}" if where else str(first.get("msg", first)), first.get("code")
