"""A copy of this repository to spoil, and answers of a dstack server to judge; nothing here uses a network."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from answering import Server

from console.terminal import console, progress
from deploy.api import Api
from deploy.dstack.answers import Run
from deploy.environments import ROOT, Environment, load

if TYPE_CHECKING:
    from person import Person

VARIABLES = {"DSTACK_SERVER_URL": "https://dstack.example.com", "DSTACK_TOKEN": "t0ken"}
Write = Callable[[str, str], None]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Poll without waiting: nothing here takes time."""
    monkeypatch.setattr("deploy.dstack.polling.POLL_SECONDS", 0.01)
    monkeypatch.setattr("deploy.dstack.client.PAUSES", (0.01,))
    monkeypatch.setattr("deploy.rollout.POLL_SECONDS", 0.01)
    monkeypatch.setattr("deploy.gateways.TTL_SECONDS", 0.01)
    monkeypatch.setattr("deploy.reaching.UNSEEN_SECONDS", 0.01)
    monkeypatch.setattr("operate.recovering.WAIT_SECONDS", 0.01)
    monkeypatch.setattr("operate.recovering.TTL_SECONDS", 0.01)
    monkeypatch.setattr("operate.recovering.PATIENCE_SECONDS", 0.01)


@pytest.fixture(autouse=True)
def as_in_a_pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Show tables as wide as they are, also where a shell or a test runner has set COLUMNS."""
    for screen in (console, progress):
        monkeypatch.setattr(screen, "columns", 0)


def copied(folder: Path) -> Path:
    """dstack/ and environments/ of this repository, copied, with the server that VARIABLES names."""
    for name in ("dstack", "environments"):
        shutil.copytree(ROOT / name, folder / name)
    for path in (folder / "environments").glob("*.yml"):
        document = read_yaml(path)
        document["server"].pop("url", None)
        path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A copy of this repository's files that a test may change."""
    return copied(tmp_path)


@pytest.fixture
def write(root: Path) -> Write:
    """write("environments/dev.yml", text) replaces a file of the copy."""

    def replace(name: str, text: str) -> None:
        (root / name).write_text(text, encoding="utf-8")

    return replace


@pytest.fixture(scope="session")
def prod(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The environment `prod` of this repository, read once."""
    return load("prod", copied(tmp_path_factory.mktemp("prod")), VARIABLES)


@pytest.fixture
def environment(prod: Environment) -> Environment:
    """The environment `prod`, a test's own to change."""
    return deepcopy(prod)


@contextmanager
def running(server: Server) -> Iterator[None]:
    """Serve, in another thread, until the block ends."""
    with server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        yield
        server.shutdown()


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    with running(server):
        yield server


@pytest.fixture
def person(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Person]:
    """A person who types `inv` in a copy of this repository, before a server on which nothing is deployed."""
    from person import Person  # dstack's server takes longer to import than most tests take
    from stand_in.server import Dstack

    monkeypatch.setattr("operate.smoke.RESOLVE_SECONDS", 0.05)
    monkeypatch.setattr("operate.smoke.REGISTRATION_SECONDS", 0.05)
    dstack = Dstack()
    with running(dstack):
        yield Person(tmp_path / "copy", dstack, monkeypatch)


@pytest.fixture
def api(server: Server, environment: Environment) -> Api:
    return Api(replace(environment, server_url=server.url, project="main"))


@pytest.fixture
def deployed(person: Person) -> Person:
    """A person whose `dev` is deployed; what was sent for it is forgotten."""
    done = person.inv("deploy", "--yes")
    assert done.code == 0, done.errors
    person.dstack.asked.clear()
    return person


@pytest.fixture
def in_production(person: Person) -> Person:
    """A person whose `prod` is deployed; what was sent for it is forgotten."""
    done = person.inv("deploy", "--yes", "--env", "prod")
    assert done.code == 0, done.errors
    person.dstack.asked.clear()
    person.records.written.clear()
    return person


def machine(backend: str = "runpod", price: float = 0.4) -> dict[str, Any]:
    gpu = {"name": "A40", "memory_mib": 49152}
    instance = {"name": "A40", "resources": {"gpus": [gpu]}}
    return {"backend": backend, "region": "CA-MTL-1", "price": price, "instance_type": instance}


def offer(availability: str = "available") -> dict[str, Any]:
    """An offer as dstack lists it."""
    found = machine()
    found["instance"] = found.pop("instance_type")
    return {**found, "availability": availability}


def job(
    *,
    replica: int = 0,
    deployment: int = 0,
    status: str = "running",
    streak: int = 1,
    ended: tuple[str, ...] = (),
    placed: bool = True,
) -> dict[str, Any]:
    """A replica: attempts that `ended` for these reasons, then one in `status` whose probe passed `streak` times."""

    def attempt(number: int, status: str, reason: str | None) -> dict[str, Any]:
        return {
            "id": f"job-{replica}-{number}",
            "deployment_num": deployment,
            "status": status,
            "submitted_at": f"2026-11-01T00:00:{number:02}Z",
            "termination_reason": reason,
            "job_provisioning_data": machine() if placed else None,
            "probes": [{"success_streak": streak}] if status == "running" else [],
        }

    attempts = [attempt(number, "failed", reason) for number, reason in enumerate(ended)]
    attempts += [] if status == "none" else [attempt(len(ended), status, None)]
    return {"job_spec": {"replica_num": replica, "probes": [{"ready_after": 1}]}, "job_submissions": attempts}


SCALED = job(status="none", ended=("scaled_down",))


def run(*jobs: dict[str, Any], **values: Any) -> Run:
    """A run with these replicas."""
    return Run.model_validate(run_json(*jobs, **values))


def two(*jobs: dict[str, Any]) -> Run:
    """A run that is to have two replicas."""
    found = run(*jobs)
    found.run_spec["configuration"]["replicas"] = {"min": 2, "max": 2}
    return found


def run_json(*jobs: dict[str, Any], status: str = "running", deployment: int = 0, **values: Any) -> dict[str, Any]:
    """The same, as dstack sends it."""
    spec = {"run_name": "x", "configuration": {"replicas": {"min": 1, "max": 1}}, "ssh_key_pub": "ssh-ed25519 first"}
    return {
        "id": "run-1",
        "submitted_at": "2026-11-01T00:00:00Z",
        "run_spec": spec,
        "status": status,
        "deployment_num": deployment,
        "jobs": list(jobs),
        "cost": 1.25,
        "service": {"url": "/proxy/services/main/x/"},
        **values,
    }


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))
