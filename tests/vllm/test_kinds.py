"""Services for embeddings, reranking and speech start real vLLM, on small random models of the same architectures."""

from __future__ import annotations

import math
import runpy
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sandbox.vllm.install import Installation
from tests.rendered import ROOT, Bake
from tests.test_rendering import OTHERS
from tests.vllm.conftest import sent
from tests.vllm.serving import Engine, started

MONITOR = runpy.run_path(str(ROOT / "demo-mistral-nemo" / "engine" / "monitor.py"))
PATHS = {"embeddings": "/v1/embeddings", "reranking": "/rerank", "transcription": "/v1/audio/transcriptions"}
TEXTS = ["The cat sleeps on the sofa.", "The cat sleeps on the sofa.", "Interest rates fell in March."]


@dataclass(frozen=True)
class Served:
    """A service of this kind that runs; `project` is its repository."""

    kind: str
    project: Path
    engine: Engine


@pytest.fixture(scope="module", params=list(OTHERS), ids=list(OTHERS.values()))
def served(
    request: pytest.FixtureRequest, vllm: Installation, baked: Bake, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    kind, project, folder = OTHERS[request.param], baked(model_id=request.param), tmp_path_factory.mktemp("cloud")
    model = tmp_path_factory.mktemp("model") / kind
    subprocess.run([vllm.python, "-P", Path(__file__).with_name("random_models.py"), kind, model], check=True)
    with started(vllm, sent(project), folder, model=model) as engine:
        yield Served(kind, project, engine)


def test_the_services_probe_passes(served: Served) -> None:
    [probe] = served.engine.service["probes"]
    headers = {header["name"]: header["value"] for header in probe.get("headers", [])}
    method, body = probe.get("method", "get"), probe.get("body")
    assert served.engine.http.request(method, probe["url"], content=body, headers=headers).status_code == 200


def test_the_monitors_first_question_with_a_path_is_answered(served: Served) -> None:
    for path, kind, body in MONITOR["QUESTIONS"]:
        answer = served.engine.http.post(path, content=body, headers={"Content-Type": kind})
        if answer.status_code != 404:
            break
    assert (path, answer.status_code) == (PATHS[served.kind], 200)


def test_the_answer_has_the_form_that_the_smoke_test_reads(served: Served) -> None:
    asked = {"embeddings": embedded, "reranking": ranked, "transcription": written}
    asked[served.kind](served)


def embedded(served: Served) -> None:
    """Equal texts have equal embeddings, of the model's length and of the norm 1."""
    answer = served.engine.http.post("/v1/embeddings", json={"input": TEXTS}).json()
    one, same, other = (entry["embedding"] for entry in answer["data"])
    assert len(one) == 128
    assert [math.hypot(*vector) for vector in (one, other)] == pytest.approx([1, 1], abs=0.01)
    assert one == pytest.approx(same, abs=0.01)


def ranked(served: Served) -> None:
    """Each document is there, with falling scores between 0 and 1. A random model knows no right order."""
    body = {"query": "What is the capital of France?", "documents": TEXTS, "instruction": "Find the capital"}
    results: list[dict[str, Any]] = served.engine.http.post("/v1/rerank", json=body).json()["results"]
    scores = [result["relevance_score"] for result in results]
    assert sorted(result["index"] for result in results) == [0, 1, 2]
    assert scores == sorted(scores, reverse=True)
    assert 0 <= scores[-1] <= scores[0] <= 1


def written(served: Served) -> None:
    """The words are a text, after the recording was read and heard. A random model hears no right ones."""
    recording = (served.project / "operate" / "sentence.wav").read_bytes()
    form: dict[str, Any] = {"data": {"language": "en"}, "files": {"file": ("sentence.wav", recording)}}
    answer = served.engine.http.post("/v1/audio/transcriptions", **form)
    assert answer.status_code == 200, answer.text
    assert isinstance(answer.json()["text"], str)
    refused = served.engine.http.post("/v1/audio/transcriptions", files={"file": ("a.wav", b"no sound")})
    assert refused.status_code == 400


def test_what_reads_recordings_is_tried_in_the_services_own_versions(baked: Bake) -> None:
    [command] = [line for line in commands(baked(model_id="openai/whisper-large-v3-turbo")) if "uv pip install" in line]
    ours = (ROOT / "sandbox" / "vllm" / "requirements.in").read_text("utf-8").split()
    assert {word for word in command.split() if "==" in word} <= set(ours)


def commands(project: Path) -> list[str]:
    """The lines of the service's command."""
    return [line for command in sent(project)["commands"] for line in command.splitlines()]
