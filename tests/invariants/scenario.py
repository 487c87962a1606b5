"""One life of a service as a list of calls, for the real server and its stand-in, and what of it to compare."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

FLEET: dict[str, Any] = {"type": "fleet", "name": "record", "nodes": "0..3", "backends": ["runpod", "vastai"]}
SERVICE: dict[str, Any] = {
    "type": "service",
    "name": "record",
    "image": "vllm/vllm-openai:v0.28.0",
    "env": {"ROLLOUT": 1},
    "commands": ["exec vllm serve mistralai/Mistral-Nemo-Instruct-2407 --port 8000"],
    "port": 8000,
    "model": "mistralai/Mistral-Nemo-Instruct-2407",
    "probes": [{"type": "http", "url": "/health", "interval": "5s"}],
    "gateway": False,
    "fleets": ["record"],
    "backends": ["runpod", "vastai"],
    "spot_policy": "on-demand",
    "retry": {"on_events": ["no-capacity", "interruption", "error"], "duration": "3650d"},
    "resources": {"gpu": "40GB..", "disk": "100GB.."},
}
PROFILE = {"name": "default"}
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_FOLDER = re.compile(r"^/tmp/.*")  # of a machine in the sandbox
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\S*")

Post = Callable[[str, dict[str, Any]], tuple[int, Any]]  # path below the project, body: status and answer
Wait = Callable[[Callable[[], bool]], None]  # let time pass until something holds


@dataclass(frozen=True)
class Exchange:
    """One call of the scenario: `name` says what it shows."""

    name: str
    path: str
    status: int
    answer: Any


class Scenario:
    """Asks the calls, in their order, through `post`."""

    def __init__(self, post: Post, wait: Wait) -> None:
        self._post = post
        self._wait = wait

    def play(self) -> Iterator[Exchange]:
        """Every exchange; nothing is left of it at its end."""
        yield self._ask("no fleet", "fleets/get", name="record")
        yield self._ask("no run", "runs/get", run_name="record")
        yield self._ask("no gateway", "gateways/get", name="record")
        yield self._ask("a word that no service has", "runs/get_plan", run_spec=self._spec(nonsense=1))
        yield (planned := self._ask("plan of a new fleet", "fleets/get_plan", spec=self._fleet()))
        yield self._ask("a new fleet", "fleets/apply", **_apply(planned.answer, "spec"))
        yield (planned := self._plan("plan of a new run"))
        yield self._ask("a new run", "runs/apply", **_apply(planned.answer, "run_spec"))
        self._until(0, 1)
        yield self._ask("a run that serves", "runs/get", run_name="record")
        yield (rolling := self._plan("plan of a rolling update", env={"ROLLOUT": 2}))
        yield self._ask("a rolling update", "runs/apply", **_apply(rolling.answer, "run_spec"))
        yield self._ask("a plan that is out of date", "runs/apply", **_apply(rolling.answer, "run_spec"))
        self._until(1, 1)
        yield self._ask("a run after its update", "runs/get", run_name="record")
        yield (planned := self._plan("plan of a restart", env={"ROLLOUT": 2}, stop_duration="4m"))
        yield self._ask("a restart while it runs", "runs/apply", **_apply(planned.answer, "run_spec"))
        yield (planned := self._plan("plan of a change in place", env={"ROLLOUT": 2}, replicas=2))
        yield self._ask("a change in place", "runs/apply", **_apply(planned.answer, "run_spec"))
        self._until(2, 2)
        yield self._ask("a run with two replicas", "runs/get", run_name="record")
        self._wait(lambda: {machine["status"] for machine in self._machines()} == {"busy"})
        yield self._ask("a fleet in use", "fleets/get", name="record")
        yield self._ask("deleting a fleet in use", "fleets/delete", names=["record"])
        yield self._ask("stopping the run", "runs/stop", runs_names=["record"], abort=False)
        self._wait(lambda: self._run().get("status") == "terminated")
        yield self._ask("a run that was stopped", "runs/get", run_name="record")
        self._wait(lambda: not self._machines())
        yield self._ask("deleting the fleet", "fleets/delete", names=["record"])
        self._wait(lambda: self._post("fleets/get", {"name": "record"})[0] == 400)
        yield self._ask("a fleet that was deleted", "fleets/get", name="record")

    def _ask(self, name: str, path: str, /, **body: Any) -> Exchange:
        return Exchange(name, path, *self._post(path, body))

    def _plan(self, name: str, /, **changes: Any) -> Exchange:
        return self._ask(name, "runs/get_plan", run_spec=self._spec(**changes), max_offers=1)

    def _spec(self, **changes: Any) -> dict[str, Any]:
        configuration = copy.deepcopy(SERVICE) | changes
        path = "dstack/service.dstack.yml"
        return {"run_name": "record", "configuration": configuration, "configuration_path": path, "profile": PROFILE}

    def _fleet(self) -> dict[str, Any]:
        return {"configuration": FLEET, "configuration_path": "dstack/fleet.dstack.yml", "profile": PROFILE}

    def _machines(self) -> list[dict[str, Any]]:
        machines: list[dict[str, Any]] = self._post("fleets/get", {"name": "record"})[1]["instances"]
        return machines

    def _run(self) -> dict[str, Any]:
        run: dict[str, Any] = self._post("runs/get", {"run_name": "record"})[1]
        return run

    def _until(self, deployment: int, replicas: int) -> None:
        """Until so many replicas of the deployment serve, and no others are left."""
        self._wait(lambda: _serving(self._run()) == [deployment] * replicas)


def _apply(plan: Any, spec: str) -> dict[str, Any]:
    return {"plan": {spec: plan[spec], "current_resource": plan["current_resource"]}, "force": False}


def _serving(run: dict[str, Any]) -> list[int]:
    """Deployments of the replicas that are not over; -1 of one that is not ready."""
    over = {"terminated", "failed", "aborted", "done"}
    latest = [job["job_submissions"][-1] for job in run["jobs"]]
    alive = [one for one in latest if one["status"] not in over]
    return [one["deployment_num"] if _passed(one) else -1 for one in alive]


def _passed(submission: dict[str, Any]) -> bool:
    streaks = [probe["success_streak"] for probe in submission["probes"]]
    return submission["status"] == "running" and bool(streaks) and all(streaks)


def masked(answer: Any) -> Any:
    """An answer without what differs from one server to the next: ids, times, keys, money."""
    if isinstance(answer, dict):
        return {key: _mask(key, value) for key, value in answer.items()}
    if isinstance(answer, list):
        return [masked(one) for one in answer]
    if isinstance(answer, str):
        return _FOLDER.sub("FOLDER", _TIME.sub("TIME", _UUID.sub("ID", answer)))
    return answer


def _mask(key: str, value: Any) -> Any:
    secret = {"ssh_key_pub", "ssh_key", "instance_id", "hostname", "user", "project_key"}
    measured = {"ssh_port", "cost", "price", "max_price", "max_offer_price", "success_streak", "total_offers"}
    if value is not None and key in secret:
        return "SOMETHING"
    if value is not None and key in measured and not isinstance(value, dict):
        return 1
    return masked(value)


def shape(answer: Any, path: str = "") -> dict[str, str]:
    """The JSON type at every path of an answer; lists count as what their first member is, null as nothing."""
    if isinstance(answer, dict):
        return {name: kind for key, value in answer.items() for name, kind in shape(value, f"{path}.{key}").items()}
    if isinstance(answer, list):
        return shape(answer[0], f"{path}[]") if answer else {}
    kinds = {bool: "boolean", int: "number", float: "number", str: "text"}
    return {} if answer is None else {path: kinds[type(answer)]}


def values(exchange: Exchange) -> dict[str, Any]:
    """What has to be the same at the real server and the stand-in."""
    answer = exchange.answer
    found: dict[str, Any] = {"status": exchange.status}
    if exchange.status != 200 or not isinstance(answer, dict):
        return found | {"answer": json.dumps(answer)}
    keys = ("action", "effective_run_spec", "effective_spec", "run_spec", "spec", "deployment_num", "service", "error")
    found |= {key: answer[key] for key in keys if key in answer}
    if "jobs" in answer:
        found["replicas"] = [[_state(one) for one in job["job_submissions"]] for job in answer["jobs"]]
        found["jobs"] = [job["job_spec"] for job in answer["jobs"]]
    if "job_plans" in answer:
        found["jobs"] = [plan["job_spec"] for plan in answer["job_plans"]]
        found["offers"] = [len(plan["offers"]) for plan in answer["job_plans"]]
    if "instances" in answer:
        found["machines"] = [machine["status"] for machine in answer["instances"]]
    return found


def _state(submission: dict[str, Any]) -> list[Any]:
    keys = ("submission_num", "deployment_num", "status", "termination_reason", "exit_status", "error")
    return [submission[key] for key in keys] + [submission["job_provisioning_data"] is not None]
