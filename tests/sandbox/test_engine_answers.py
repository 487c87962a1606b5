"""What the stand-in engine answers besides plain text: thoughts, tool calls, JSON after a schema, pictures."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from PIL import Image

from tests.sandbox.test_engine import HELLO, MODEL, engine, events

TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
    },
}
SCHEMA = {"type": "object", "properties": {"colours": {"type": "array", "items": {"enum": ["red", "blue"]}}}}


@pytest.fixture(scope="module")
def thinker() -> Iterator[httpx.Client]:
    flags = ("--reasoning-parser", "qwen3", "--enable-auto-tool-choice", "--tool-call-parser", "hermes")
    with engine(*flags, SANDBOX_TOKEN_SECONDS="0") as (client, _):
        yield client


@pytest.fixture(scope="module")
def painter() -> Iterator[httpx.Client]:
    with engine("--omni", SANDBOX_TOKEN_SECONDS="0") as (client, _):
        yield client


def answer(client: httpx.Client, **body: Any) -> Any:
    response = client.post("/v1/chat/completions", json=HELLO | body)
    assert response.status_code == 200, response.text
    return response.json()["choices"][0]


def test_a_reasoning_model_thinks_first_and_its_thoughts_are_no_content(thinker: httpx.Client) -> None:
    message = answer(thinker)["message"]
    assert message["reasoning"].startswith("Let me think")
    assert message["content"].strip().startswith("I am the sandbox's stand-in")
    cut = answer(thinker, max_tokens=8)
    assert (cut["message"]["content"], cut["finish_reason"]) == (None, "length")
    assert "reasoning" not in answer(thinker, chat_template_kwargs={"enable_thinking": False})["message"]


def test_the_stream_of_a_reasoning_model_has_thoughts_before_content(thinker: httpx.Client) -> None:
    with thinker.stream("POST", "/v1/chat/completions", json=HELLO | {"stream": True}) as response:
        *chunks, _ = events(response)
    kinds = ["reasoning" if "reasoning" in chunk["choices"][0]["delta"] else "content" for chunk in chunks]
    assert kinds == sorted(kinds, reverse=True)
    assert set(kinds) == {"reasoning", "content"}


def test_a_tool_is_called_with_arguments_of_its_schema(thinker: httpx.Client) -> None:
    choice = answer(thinker, tools=[TOOL])
    [call] = choice["message"]["tool_calls"]
    assert (choice["finish_reason"], choice["message"]["content"]) == ("tool_calls", None)
    assert call["function"]["name"] == "weather"
    assert json.loads(call["function"]["arguments"]) == {"city": "stand-in", "days": 1}
    assert "tool_calls" not in answer(thinker, tools=[TOOL], tool_choice="none")["message"]


def test_an_answer_follows_the_schema_that_was_asked_for(thinker: httpx.Client) -> None:
    form = {"type": "json_schema", "json_schema": {"name": "palette", "schema": SCHEMA}}
    assert json.loads(answer(thinker, response_format=form)["message"]["content"]) == {"colours": ["red"]}


def test_a_picture_is_a_png_of_the_size_that_was_asked_for(painter: httpx.Client) -> None:
    body = {"model": MODEL, "prompt": "a hare", "size": "64x32", "n": 2}
    data = painter.post("/v1/images/generations", json=body).json()["data"]
    pictures = [Image.open(io.BytesIO(base64.b64decode(one["b64_json"]))) for one in data]
    assert [(picture.format, picture.size) for picture in pictures] == [("PNG", (64, 32))] * 2
    assert painter.get("/health").status_code == 200
    assert painter.get("/v1/models").json()["data"][0]["id"] == MODEL
    assert painter.post("/v1/chat/completions", json=HELLO).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"model": MODEL}, 400),
        ({"prompt": "a hare", "size": "big"}, 400),
        ({"prompt": "a hare", "size": "9999x1"}, 400),
        ({"prompt": "a hare", "size": "0x1"}, 400),
        ({"prompt": "a hare", "n": 11}, 400),
        ({"prompt": "a hare", "response_format": "url"}, 400),
        ({"prompt": "a hare", "num_inference_steps": 0}, 200),
        ({"prompt": "a hare", "num_inference_steps": -1}, 400),
        ({"prompt": "a hare", "model": "dall-e-2"}, 404),
    ],
)
def test_a_wrong_order_is_refused(painter: httpx.Client, body: dict[str, Any], status: int) -> None:
    assert painter.post("/v1/images/generations", json=body).status_code == status
