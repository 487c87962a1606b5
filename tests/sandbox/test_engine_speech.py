"""What the stand-in engine writes down of a recording: its title."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.engine.speech import UNTITLED
from tests.rendered import TEMPLATE
from tests.sandbox.test_engine import engine

MODEL = "openai/whisper-large-v3-turbo"
[RECORDING] = (path for path in (TEMPLATE / "operate").iterdir() if "sentence.wav" in path.name)
SENTENCE = "The capital of France is Paris."
UNTITLED_WAV = b"RIFF\x24\0\0\0WAVEfmt "


@pytest.fixture(scope="module")
def vllm() -> Iterator[httpx.Client]:
    with engine(model=MODEL, SANDBOX_TOKEN_SECONDS="0") as (client, _):
        yield client


def written(vllm: httpx.Client, recording: bytes, **fields: str) -> httpx.Response:
    return vllm.post("/v1/audio/transcriptions", files={"file": ("sentence.wav", recording)}, data=fields)


def test_the_title_of_a_recording_is_what_was_said(vllm: httpx.Client) -> None:
    answer = written(vllm, RECORDING.read_bytes(), model=MODEL, language="en").json()
    assert answer == {"text": SENTENCE, "usage": {"type": "duration", "seconds": 3}}
    assert written(vllm, RECORDING.read_bytes(), response_format="text").text == SENTENCE


def test_a_recording_without_a_title_is_answered_with_what_the_stand_in_is(vllm: httpx.Client) -> None:
    assert written(vllm, UNTITLED_WAV).json()["text"] == UNTITLED


@pytest.mark.parametrize(
    ("recording", "fields", "status", "said"),
    [
        (b"no sound", {}, 400, "Invalid or unsupported audio file"),
        (b"", {}, 400, "Invalid or unsupported audio file"),
        (UNTITLED_WAV + bytes(26 * 1024**2), {}, 400, "Maximum file size exceeded"),
        (UNTITLED_WAV, {"response_format": "srt"}, 400, "json or text"),
        (UNTITLED_WAV, {"stream": "true"}, 400, "does not stream"),
        (UNTITLED_WAV, {"model": "another"}, 404, "does not exist"),
    ],
)
def test_a_wrong_recording_is_refused(
    vllm: httpx.Client, recording: bytes, fields: dict[str, str], status: int, said: str
) -> None:
    answer = written(vllm, recording, **fields)
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


@pytest.mark.parametrize("body", [{"data": {"model": MODEL}}, {"json": {"file": "x"}}, {"content": b"\0"}])
def test_a_request_without_a_recording_is_refused(vllm: httpx.Client, body: dict[str, Any]) -> None:
    assert vllm.post("/v1/audio/transcriptions", **body).status_code == 400


def test_other_paths_are_unknown(vllm: httpx.Client) -> None:
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/rerank"):
        assert vllm.post(path, json={}).status_code == 404
