"""The questions of the smoke test to a chat model: its name, one token, a stream, JSON by a schema, a tool call."""

import json
import time
from dataclasses import dataclass

import requests

from console.connection import quoted
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from operate.calling import Example
from operate.endpoint import SEE, Answer, Endpoint, entries, failed, milliseconds

PATH = "chat/completions"
THINKING_TOKENS = 1024  # a model with a reasoning parser thinks before it calls or writes JSON
HELLO = [{"role": "user", "content": "Say hello."}]
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": CITY}}


@dataclass(frozen=True)
class Stream:
    """A streamed text, with the thoughts of a reasoning model, and the milliseconds until its first and last token."""

    text: str
    first_token_ms: int
    stream_ms: int


def ask(endpoint: Endpoint, service: Document) -> Answer:
    """Ask for the models, one token of each model, a stream, JSON, and with TOOL_FLAGS a tool call.

    Fails with SMOKE_FAILED, and with SETTINGS_INVALID when the service's document does not name its model.
    """
    model = _model_name(service)
    listed, models_ms = endpoint.models()
    if model not in listed:
        problem = f"{endpoint.url}/models lists {', '.join(listed) or 'nothing'}, not {model}"
        raise failed(problem, "correct service.model, or the model in service.commands")
    times = {"models_ms": models_ms, "chat_ms": _chats(endpoint, listed)[model]}
    stream = _stream(endpoint, {"model": model, "messages": HELLO, "max_tokens": 32, "stream": True})
    question: Document = {"model": model, "messages": WEATHER, "max_tokens": THINKING_TOKENS}
    times["json_ms"] = _city(endpoint, question | {"response_format": SCHEMA})
    if (service.get("env") or {}).get("TOOL_FLAGS"):
        times["tool_ms"] = _city(endpoint, question | {"tools": [TOOL]})
    times |= {"first_token_ms": stream.first_token_ms, "stream_ms": stream.stream_ms}
    return Answer(endpoint.url, model, times, stream.text)


def example(model: str) -> Example:
    """Return a request for a person to try."""
    return Example(PATH, {"model": model, "messages": HELLO, "max_tokens": 64})


def _model_name(service: Document) -> str:
    if not (model := service.get("model")):
        remedy = "write the name of the model into dstack/service.dstack.yml"
        raise Failure(ExitCode.SETTINGS_INVALID, "service.model is missing", remedy)
    return str(model["name"] if isinstance(model, dict) else model)


def _chats(endpoint: Endpoint, models: list[str]) -> dict[str, int]:
    """Return the milliseconds until one token of each model. vLLM lists LoRA adapters as models, too."""
    times = {}
    for model in models:
        answer = endpoint.ask(PATH, {"model": model, "messages": HELLO, "max_tokens": 1})
        if not entries(answer, "choices"):
            raise failed(f"{answer.url} answered for {model} without a choice: {quoted(answer.text)}", SEE)
        times[model] = milliseconds(answer)
    return times


def _city(endpoint: Endpoint, body: Document) -> int:
    """Return the milliseconds until an answer with a city in JSON, in its text or in the arguments of a tool call."""
    answer = endpoint.ask(PATH, body)
    try:
        message = entries(answer, "choices")[0]["message"]
        text = message["tool_calls"][0]["function"]["arguments"] if "tools" in body else message["content"]
        json.loads(text)["city"]
    except (ValueError, KeyError, TypeError, IndexError):
        asked, remedy = "a JSON schema", SEE
        if "tools" in body:
            asked, remedy = "a tool", "check TOOL_FLAGS in dstack/service.dstack.yml"
        problem = f"{answer.url}, asked with {asked}, answers without a city: {quoted(answer.text, 400)}"
        raise failed(problem, remedy) from None
    return milliseconds(answer)


def _stream(endpoint: Endpoint, body: Document) -> Stream:
    started, first_ms, text, done = time.monotonic(), 0, "", False
    with endpoint.ask(PATH, body) as answer:
        try:
            for raw in answer.iter_lines(chunk_size=None):
                line = raw.decode()
                done = done or line == "data: [DONE]"
                if line.startswith("data: ") and not done:
                    first_ms = first_ms or _milliseconds_since(started)
                    text += _piece(line)
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
            raise failed(f"{answer.url}: the stream broke off after {text!r}: {quoted(str(error))}", SEE) from None
    if not done or not text:
        problem = f"{answer.url}: the stream ended without {'text' if done else '[DONE]'}, after {text!r}"
        raise failed(problem, SEE)
    return Stream(text, first_ms, _milliseconds_since(started))


def _piece(line: str) -> str:
    """Return the text in a line of a stream: a thought, or a part of the answer."""
    deltas = [choice["delta"] for choice in json.loads(line.removeprefix("data: "))["choices"]]
    return "".join(delta.get("content") or delta.get("reasoning") or "" for delta in deltas)


def _milliseconds_since(started: float) -> int:
    return round((time.monotonic() - started) * 1000)
