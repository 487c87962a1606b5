"""The stand-in as its callers see it: calls with a path and a body, answers with a status and a body, and a clock."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any

from tests.invariants.stand_in import endpoint, fleets, gateways, refusals, replicas, rollout, runs
from tests.invariants.stand_in.state import PROJECT, USER, State, timestamp

URL = "http://127.0.0.1:1"  # nobody listens there: what reaches the network fails
VERSION = "0.22.5"
CALL_SECONDS = 0.05
_WRITES = ("apply", "stop", "delete", "create_or_update", "create", "update")


@dataclass(frozen=True)
class Call:
    """One call to the server's API, as it was asked: `path` below the project, such as `runs/apply`."""

    path: str
    status: int

    @property
    def write(self) -> bool:
        return self.path.rsplit("/", 1)[-1] in _WRITES


@dataclass
class Server:
    """The server; `keys` are its users' public SSH keys, by token."""

    state: State = field(default_factory=State)
    keys: dict[str, str] = field(default_factory=lambda: {"token": "ssh-ed25519 AAAA admin"})
    calls: list[Call] = field(default_factory=list)

    def advance(self, seconds: float) -> None:
        """Let so much time pass, in steps of at most a second."""
        until = self.state.now + seconds
        while self.state.now < until:
            self.state.now = min(until, self.state.now + 1.0)
            for run in list(self.state.runs.values()):
                if not run.finished:
                    for attempt in run.attempts:
                        replicas.step(self.state, run, attempt)
                    rollout.step(self.state, run)
            gateways.step(self.state)
            fleets.step(self.state)

    def answer(self, host: str, path: str, token: str | None, content: bytes) -> tuple[int, str, bytes]:
        """Status, content type and body."""
        body = json.loads(content) if content else {}
        if path.startswith("/proxy/") or host != URL.split("//")[1]:
            return endpoint.answer(self.state, host, path, body)
        status, answered = self._api(path, token, body)
        self.calls.append(Call(path.removeprefix("/api/").removeprefix(f"project/{PROJECT}/"), status))
        return status, "application/json", json.dumps(answered).encode()

    def _api(self, path: str, token: str | None, body: dict[str, Any]) -> tuple[int, Any]:
        if token not in self.keys:
            return 403, {"detail": {"msg": "Invalid token", "code": "invalid_credentials"}}
        if path == "/api/server/get_info":
            return 200, {"server_version": VERSION}
        if path == "/api/events/list":
            return 200, []  # it keeps none: the probes of an ended run say whether it was ready
        if path == "/api/runs/list":
            return 200, runs.every(self.state, body)
        if path in (f"/api/projects/{PROJECT}/get", "/api/projects/list"):
            return 200, _project() if path.endswith("get") else [_project()]
        if not path.startswith(f"/api/project/{PROJECT}/"):
            return 404, {"detail": {"msg": "Not found", "code": None}}
        try:
            return 200, self._project_call(path.removeprefix(f"/api/project/{PROJECT}/"), self.keys[token], body)
        except Exception as error:
            return refusals.answer_of(error)

    def _project_call(self, name: str, key: str, body: dict[str, Any]) -> Any:
        state = self.state
        match name.split("/"):
            case ["runs", "get"]:
                return runs.get(state, body)
            case ["runs", "get_plan"]:
                return runs.plan(state, body, key)
            case ["runs", "apply"]:
                return runs.apply(state, body, key)
            case ["runs", "stop"]:
                return runs.stop(state, body)
            case ["instances", "list"]:
                return fleets.instances(state)
            case ["secrets", "list"]:
                return [{"id": state.new_id(), "name": secret, "value": None} for secret in state.secrets]
            case ["logs", "poll"]:
                line = base64.b64encode(b"ValueError: a flag that vLLM does not know\n").decode()
                events = [{"timestamp": timestamp(state.now), "log_source": "stdout", "message": line}]
                return {"logs": events, "external_url": None, "next_token": None}
            case [("fleets" | "gateways") as kind, verb]:
                return _resource_call(state, {"fleets": fleets, "gateways": gateways}[kind], verb, body)
        raise AssertionError(f"the stand-in does not know {name}")


def _resource_call(state: State, module: Any, verb: str, body: dict[str, Any]) -> Any:
    """Answer a call about fleets or gateways."""
    if verb == "list":
        return module.every(state)
    if verb == "delete":
        return module.delete(state, body)
    return {"get": module.get, "get_plan": module.plan, "apply": module.apply}[verb](state, body)


def _project() -> dict[str, Any]:
    backends = [{"name": name, "config": {"type": name}} for name in ("runpod", "vastai", "aws")]
    return {
        "project_id": "00000000-0000-4000-8000-000000000000",
        "project_name": PROJECT,
        "owner": {"username": USER, "global_role": "admin"},
        "created_at": timestamp(State().now),
        "backends": backends,
        "members": [],
        "is_public": False,
    }
