"""Repositories on a GitHub of their own, whose workflows are executed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import Sandbox
from tests.end_to_end.project import MODEL, PATIENCE
from tests.rendered import Bake
from tests.workflows.act import Execution
from tests.workflows.forge import Forge

Publish = Callable[..., Forge]
ENVIRONMENT = "staging"
RUN = f"mistral-nemo-{ENVIRONMENT}"
ROLLING: dict[str, Any] = {"service": {"env": {"MAX_NUM_SEQS": 96}}}  # what changes the service so
RESTART: dict[str, Any] = {"service": {"spot_policy": "auto"}}


@dataclass(frozen=True)
class Kept:
    """How a repository on GitHub was at a moment."""

    commit: str
    secrets: dict[str, str]
    variables: dict[str, str]
    prefix: Sequence[str]
    state: dict[str, Any]

    @classmethod
    def of(cls, forge: Forge) -> Kept:
        commit = forge.git("rev-parse", "HEAD")
        return cls(commit, dict(forge.secrets), dict(forge.variables), forge.prefix, forge.state)

    def restore(self, forge: Forge) -> None:
        """Make the repository, its settings, issues and pull requests as they were."""
        forge.secrets, forge.variables, forge.prefix = dict(self.secrets), dict(self.variables), self.prefix
        forge.state = self.state
        forge.git("checkout", "--quiet", "--force", "-B", "main", self.commit)
        forge.git("clean", "--quiet", "--force", "-d")
        forge.git("push", "--quiet", "--force", "origin", "main")


@dataclass
class Team:
    """A team with a dstack server, and a repository whose main branch is deployed to an environment, `target`.

    The tests of a file share it, and each finds it as it was kept last. A test that deploys anything else sets
    `deployed_other`, so that the next test that needs the service deploys it again.
    """

    sandbox: Sandbox
    forge: Forge
    target: str = ENVIRONMENT
    deployed_other: bool = False
    kept: Kept = field(init=False)

    def __post_init__(self) -> None:
        self.keep()

    def keep(self) -> None:
        """Let every test of the file find the repository as it is now."""
        self.kept = Kept.of(self.forge)

    def deploy_again(self) -> None:
        """Deploy what the files of main say, after a test that deployed something else."""
        if self.deployed_other:
            allowed = {"allow-restart": "true", "allow-recreation": "true"}
            execution = self.forge.run("workflow_dispatch", "deploy.yml", inputs={"environment": self.target} | allowed)
            assert execution.ok, str(execution)
            self.deployed_other = False

    def leaks(self) -> list[str]:
        """Return the names of secrets that are in anything that was written, those of the sandbox included."""
        written = [execution.written for execution in self.forge.executions]
        own = self.sandbox.keys | {"the token of dstack's admin": self.sandbox.token}
        return self.forge.leaks() + [name for name, value in own.items() if any(value in text for text in written)]

    def environment(self, name: str = ENVIRONMENT, **settings: Any) -> None:
        """Write an environment's file: a server, and `settings`."""
        service = settings.pop("service", {})
        common = {
            "server": {"project": self.sandbox.project},
            "protected": True,
            "timeouts": PATIENCE,
            "service": service | {"env": {"HF_TOKEN": None} | service.get("env", {})},
        }
        self.forge.write({f"environments/{name}.yml": common | settings})

    def push(self, name: str = ENVIRONMENT, **settings: Any) -> Execution:
        """Push main with these settings of the environment that main is deployed to, and let the pipeline run."""
        self.environment(name, **settings)
        self.forge.variables["MAIN_ENVIRONMENT"] = name
        self.forge.push("a change")
        return self.forge.run("push", "deploy.yml")

    def merge(self, message: str, **settings: Any) -> None:
        """Push main with these settings of `staging`, without deploying them."""
        self.environment(**settings)
        self.forge.push(message)

    def ask_dstack(self, path: str, **body: Any) -> Any:
        """Return the dstack server's answer to a call of this project, to a member."""
        url = f"{self.sandbox.url}/api/project/{self.sandbox.project}/{path}"
        headers = {"Authorization": f"Bearer {self.forge.secrets['DSTACK_TOKEN']}"}
        answer = requests.post(url, json=body, headers=headers, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def ask(self) -> str:
        """The answer to a chat, as a backend of the team gets it."""
        url = f"{self.sandbox.url}/proxy/services/{self.sandbox.project}/{RUN}/v1/chat/completions"
        chat = {"model": MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 8}
        answer = requests.post(
            url, json=chat, headers={"Authorization": f"Bearer {self.forge.secrets['DSTACK_TOKEN']}"}
        )
        answer.raise_for_status()
        text: str = answer.json()["choices"][0]["message"]["content"]
        return text


@pytest.fixture
def publish(baked: Bake, tmp_path: Path) -> Iterator[Publish]:
    """publish(**answers): the repository that is generated from them; at the end, nothing in it may show a secret."""
    forges: list[Forge] = []

    def one(**answers: str) -> Forge:
        forges.append(Forge(tmp_path / f"forge-{len(forges)}", baked(**answers)))
        return forges[-1]

    yield one
    assert [leak for forge in forges for leak in forge.leaks()] == []
    for forge in forges:
        shutil.rmtree(forge.folder)  # each holds a copy of the project for every job


@pytest.fixture
def forge(publish: Publish) -> Forge:
    return publish()


@pytest.fixture(scope="module")
def shared(baked: Bake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """The team that the tests of a file share; `team` is what a test gets."""
    with Sandbox(load_seconds=1) as sandbox:
        forge = Forge(tmp_path_factory.mktemp("github") / "forge", baked())
        forge.secrets = {"DSTACK_TOKEN": sandbox.add_user("ci")}
        forge.variables = {
            "DSTACK_SERVER_URL": sandbox.url,
            "MAIN_ENVIRONMENT": ENVIRONMENT,
            "ENVIRONMENTS": json.dumps([ENVIRONMENT]),
        }
        yield Team(sandbox, forge)


@pytest.fixture
def team(shared: Team) -> Iterator[Team]:
    """The team as it was kept last; at the end nothing that was written may show a secret, and the clouds are well."""
    yield shared
    shared.sandbox.faults.clear()
    leaks = shared.leaks()
    shared.kept.restore(shared.forge)
    assert leaks == []
