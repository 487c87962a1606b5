"""A generated service's own command line starts real vLLM in a pod, on a small model of Mistral Nemo's architecture."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from dstack._internal.core.models.runs import JobStatus

from sandbox.engine.telemetry import Telemetry
from sandbox.pods.metrics import Activity
from sandbox.vllm.install import Installation
from tests.sandbox.server_view import finished, output, pull_until, states
from tests.vllm.serving import HELLO, MODEL, Engine, started

STREAM_SECONDS = 5.0  # longer than vLLM takes to end without grace, shorter than the service's SHUTDOWN_TIMEOUT
WEATHER = {
    "type": "object",
    "properties": {"sunny": {"type": "boolean"}, "wind": {"enum": ["north", "south"]}},
    "required": ["sunny", "wind"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def engine(vllm: Installation, service: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    with started(vllm, service, tmp_path_factory.mktemp("cloud")) as engine:
        yield engine


def test_it_is_vllm_of_the_pinned_version_with_the_services_own_command_line(
    engine: Engine, vllm: Installation
) -> None:
    said = output(engine.runner.pull(0))
    assert f"real vLLM on the CPU, with --enforce-eager; {MODEL} is the model in {vllm.random_model}" in said
    assert engine.http.get("/version").json()["version"].split("+")[0] == vllm.version
    [model] = engine.http.get("/v1/models").json()["data"]
    assert (model["id"], model["max_model_len"]) == (MODEL, 32 * 1024)


def test_the_services_probe_passes(engine: Engine) -> None:
    [probe] = engine.service["probes"]
    headers = {header["name"]: header["value"] for header in probe["headers"]}
    assert engine.http.request(probe["method"], probe["url"], content=probe["body"], headers=headers).status_code == 200


def test_it_answers_a_chat(engine: Engine) -> None:
    choice = engine.chat()
    assert (choice["message"]["role"], choice["finish_reason"]) == ("assistant", "length")
    assert choice["message"]["content"]


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"min_tokens": 10**7}, "min_tokens must be less than or equal to max_tokens=16"),
        ({"min_tokens": 4, "stop_token_ids": [10**7]}, "out-of-vocab token ids"),
        ({"structured_outputs": {"regex": "((("}}, "invalid regex"),
        ({"structured_outputs": {"choice": []}}, "cannot be an empty list"),
    ],
)
def test_a_request_that_once_ended_an_engine_is_refused(engine: Engine, wrong: dict[str, Any], why: str) -> None:
    """What docs/security.md says of this version; the engine answers afterwards."""
    answer = engine.http.post("/v1/chat/completions", json=HELLO | wrong)
    assert answer.status_code == 400
    assert why in answer.json()["error"]["message"]
    assert engine.chat()["finish_reason"] == "length"


def test_a_stream_has_the_pieces_of_the_answer(engine: Engine) -> None:
    body = HELLO | {"stream": True, "temperature": 0}
    with engine.http.stream("POST", "/v1/chat/completions", json=body) as response:
        *events, done = [line.removeprefix("data: ") for line in response.iter_lines() if line]
    assert done == "[DONE]"
    pieces = [json.loads(event)["choices"][0]["delta"].get("content") or "" for event in events]
    assert len(pieces) > 2
    assert "".join(pieces) == engine.chat(temperature=0)["message"]["content"]


def test_an_answer_follows_a_json_schema(engine: Engine) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "weather", "schema": WEATHER, "strict": True}}
    choice = engine.chat(response_format=schema, max_tokens=200, ignore_eos=False)
    answer = json.loads(choice["message"]["content"])
    assert answer.keys() == {"sunny", "wind"}
    assert answer["wind"] in ("north", "south")


def test_a_tool_is_called_with_the_arguments_that_it_takes(engine: Engine) -> None:
    tool = {"type": "function", "function": {"name": "report", "description": "The weather.", "parameters": WEATHER}}
    choice = engine.chat(
        tools=[tool],
        tool_choice={"type": "function", "function": {"name": "report"}},
        max_tokens=200,
        ignore_eos=False,
    )
    [call] = choice["message"]["tool_calls"]
    assert call["function"]["name"] == "report"
    assert re.fullmatch(r"[a-zA-Z0-9]{9}", call["id"])  # Mistral's form, which a next turn has to repeat
    assert json.loads(call["function"]["arguments"]).keys() == {"sunny", "wind"}


def test_the_stand_ins_metrics_are_vllms(engine: Engine) -> None:
    real = engine.http.get("/metrics").text
    stand_in = Telemetry(MODEL, Activity(0.0, 0.0, 1, 0.9), None).exposition().decode()
    of_type = re.compile(r"^# TYPE (vllm:\S+) (\S+)$", re.MULTILINE)
    assert set(of_type.findall(stand_in)) <= set(of_type.findall(real))
    waiting = re.compile(r'^vllm:num_requests_waiting\{engine="0",model_name="[^"]+"\} 0.0$', re.MULTILINE)
    assert waiting.search(stand_in)
    assert waiting.search(real)


def test_a_stop_lets_a_stream_in_flight_finish(engine: Engine) -> None:
    engine.chat(max_tokens=100)
    tokens = int(STREAM_SECONDS / _token_seconds(engine))
    body = HELLO | {"stream": True, "max_tokens": tokens, "stream_options": {"include_usage": True}}
    with engine.http.stream("POST", "/v1/chat/completions", json=body) as response:
        lines = filter(None, response.iter_lines())
        said = [next(lines)]
        engine.runner.stop()
        said.extend(lines)
    assert '"error"' not in "".join(said)
    assert said[-1] == "data: [DONE]"
    assert f'"completion_tokens":{tokens}' in said[-2]
    ended = pull_until(engine.runner, finished)
    assert states(ended) == [JobStatus.RUNNING, JobStatus.TERMINATED]
    assert "draining in-flight requests count=1" in output(ended), "it was over before the stop could break it off"


def _token_seconds(engine: Engine) -> float:
    """The mean time from token to token in the engine, which a slow reader of its answers does not change."""
    metrics = engine.http.get("/metrics").text
    found = re.findall(r"^vllm:inter_token_latency_seconds_(sum|count)\{.*\} (\S+)$", metrics, re.MULTILINE)
    values = {name: float(value) for name, value in found}
    return values["sum"] / values["count"]
