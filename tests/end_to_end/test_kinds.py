"""Models for embeddings, reranking and speech: baked, deployed, asked, and watched by their monitor."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.project import Environment
from tests.rendered import ROOT
from tests.sandbox.deployment import wait_for
from tests.test_rendering import OTHERS

ANSWERED = {  # what the smoke test says
    "embeddings": "embeddings of 1,024 numbers",
    "reranking": "the right order of 3 documents",
    "transcription": "The capital of France is Paris.",
}


@pytest.fixture(scope="module")
def deployed(sandbox: Sandbox, cookies_session: Any) -> dict[str, Environment]:
    """A service of each kind, by its model's id. They are deployed at the same time."""
    found = {}
    for model_id, kind in OTHERS.items():
        answers = {"model_id": model_id, "project_slug": "mistral-nemo"}  # the name that Environment expects
        project = Path(cookies_session.bake(template=str(ROOT), extra_context=answers).project_path)
        found[model_id] = Environment(project, sandbox, kind)
        found[model_id].write()
    with ThreadPoolExecutor() as pool:
        list(pool.map(Environment.deploy, found.values()))
    return found


@pytest.mark.parametrize("model_id", OTHERS)
def test_a_model_of_another_kind_answers_and_is_watched(deployed: dict[str, Environment], model_id: str) -> None:
    environment = deployed[model_id]
    report = json.loads(environment.inv("smoke", "--json").stdout)
    assert (report["model"], report["text"]) == (model_id, ANSWERED[OTHERS[model_id]])
    wait_for(lambda: watched(environment) is not None)
    assert watched(environment) == {"running": 0, "waiting": 0}


def watched(environment: Environment) -> dict[str, Any] | None:
    """What the monitor of the only replica said last of the requests; None before its first line."""
    [replica] = json.loads(environment.inv("metrics", "--json").stdout)["replicas"]
    said = replica["engine"]
    return said and {name: said[name] for name in ("running", "waiting")}
