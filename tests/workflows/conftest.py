"""Repositories on a GitHub of their own, whose workflows are executed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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


@dataclass
class Team:
    """A team with a dstack server, and a repository whose main branch is deployed to `staging`, which is protected."""

    sandbox: Sandbox
    forge: Forge

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

    def push(self, **settings: Any) -> Execution:
        """Push main with these settings of `staging`, and let the pipeline run."""
        self.environment(**settings)
        self.forge.push("a change")
        return self.forge.run("push", "deploy.yml")

    def ask(self) -> str:
        """The answer to a chat, as a backend of the team gets it."""
        url = f"{self.sandbox.url}/proxy/services/{self.sandbox.project}/mistral-nemo-{ENVIRONMENT}/v1/chat/completions"
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
def team(baked: Bake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    with Sandbox(load_seconds=1) as sandbox:
        forge = Forge(tmp_path_factory.mktemp("github") / "forge", baked())
        forge.secrets = {"DSTACK_TOKEN": sandbox.add_user("ci")}
        forge.variables = {
            "DSTACK_SERVER_URL": sandbox.url,
            "MAIN_ENVIRONMENT": ENVIRONMENT,
            "ENVIRONMENTS": json.dumps([ENVIRONMENT]),
        }
        yield Team(sandbox, forge)
