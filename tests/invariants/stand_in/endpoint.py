"""The service's own answers: an OpenAI API that says which deployed value answered."""

from __future__ import annotations

import json
from typing import Any

from tests.invariants.stand_in.replicas import receives_traffic
from tests.invariants.stand_in.state import PROJECT, Attempt, Run, State

VALUE = "ROLLOUT"  # the variable of the service whose value every answer names


def serving(state: State, run: Run) -> list[Attempt]:
    """The replicas that requests reach now; those of a run behind a gateway that is gone are reached by nobody."""
    if run.finished or run.status == "terminating":
        return []
    behind = str(run.service["url"]).startswith("http")
    if behind and run.gateway is None:
        return []
    return [attempt for attempt in run.latest if receives_traffic(state, run, attempt)]


def values(state: State, name: str) -> list[str]:
    """The deployed values that answer now, one of each serving replica of the run."""
    run = state.runs.get(name)
    return [attempt.env[VALUE] for attempt in serving(state, run)] if run else []


def answer(state: State, host: str, path: str, body: Any) -> tuple[int, str, bytes]:
    """Status, content type and body of the answer to a request at a gateway, or at the server's own proxy."""
    run, rest = _addressed(state, host, path)
    replicas = serving(state, run) if run else []
    if run is None or not replicas:
        return 404, "application/json", b'{"detail": "Service not found"}'
    model = run.spec.configuration.model.name
    if rest == "/v1/models":
        return _json({"object": "list", "data": [{"id": model, "object": "model"}]})
    value = replicas[len(json.dumps(body)) % len(replicas)].env[VALUE]
    text = f"{VALUE} is {value}"
    if body.get("stream"):
        chunks = [{"choices": [{"index": 0, "delta": {"content": word + " "}}]} for word in text.split()]
        lines = [f"data: {json.dumps(chunk)}\n\n" for chunk in chunks]
        return 200, "text/event-stream", "".join([*lines, "data: [DONE]\n\n"]).encode()
    message: dict[str, Any] = {"role": "assistant", "content": text}
    place = json.dumps({"city": "Paris"})
    if body.get("tools"):
        call = {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": place}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    elif body.get("response_format"):
        message["content"] = place
    usage = {"prompt_tokens": 4, "completion_tokens": 4, "total_tokens": 8}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return _json({"id": "chat-1", "object": "chat.completion", "model": model, "choices": [choice], "usage": usage})


def _addressed(state: State, host: str, path: str) -> tuple[Run | None, str]:
    """The run that a request is for, and the path that its container sees."""
    prefix = f"/proxy/services/{PROJECT}/"
    if path.startswith(prefix):
        name, _, rest = path.removeprefix(prefix).partition("/")
        run = state.runs.get(name)
        return (run if run and run.gateway is None else None), f"/{rest}"
    for run in state.runs.values():
        if run.service["url"] == f"http://{host}":
            return run, path
    return None, path


def _json(document: dict[str, Any]) -> tuple[int, str, bytes]:
    return 200, "application/json", json.dumps(document).encode()
