"""Endpoints that answer, and endpoints that only look like it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from endpoint import Endpoint, serving

from console.errors import ExitCode, Failure
from operate import smoke


def models(*names: str) -> tuple[int, str]:
    return 200, json.dumps({"data": [{"id": name} for name in names]})


def says(**message: Any) -> tuple[int, str]:
    return 200, json.dumps({"choices": [{"message": message}]})


def calls(arguments: str) -> tuple[int, str]:
    return says(content=None, tool_calls=[{"function": {"name": "weather", "arguments": arguments}}])


def deltas(**pieces: str) -> str:
    return "".join(f"data: {json.dumps({'choices': [{'delta': {kind: text}}]})}\n\n" for kind, text in pieces.items())


DELTAS = deltas(content="Hel") + deltas(content="lo")
GOOD = {
    "models": models("m"),
    "m": says(content="Hi"),
    "stream": (200, f"{DELTAS}data: [DONE]\n\n"),
    "json": says(content='{"city": "Paris"}'),
    "tool": calls('{"city": "Paris"}'),
}


def kind(body: dict[str, Any]) -> str:
    kinds = {"stream": "stream", "response_format": "json", "tools": "tool"}
    return next((kind for key, kind in kinds.items() if key in body), str(body["model"]))


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with serving(dict(GOOD), kind) as server:
        yield server


def service(*, tools: bool = True) -> dict[str, Any]:
    """What the smoke test reads of the service's document."""
    flags = "--enable-auto-tool-choice --tool-call-parser hermes" if tools else ""
    return {"model": "m", "env": {"TOOL_FLAGS": flags}}


def check(endpoint: Endpoint, patience: float = 0.0, *, tools: bool = True) -> dict[str, Any]:
    return smoke.check(endpoint.url, "t", service(tools=tools), patience).as_json()


def test_an_endpoint_that_answers_passes(endpoint: Endpoint) -> None:
    report = check(endpoint)
    assert report["text"] == "Hello"
    assert 0 <= report["first_token_ms"] <= report["stream_ms"]
    assert {"json_ms", "tool_ms"} <= report.keys()


def test_thoughts_count_as_an_answer(endpoint: Endpoint) -> None:
    """32 tokens are over before a reasoning model has said anything."""
    endpoint.answers["m"] = says(content=None, reasoning="H")
    endpoint.answers["stream"] = (200, deltas(reasoning="Hm") + "data: [DONE]\n")
    assert check(endpoint)["text"] == "Hm"


def test_a_service_without_tools_is_not_asked_for_one(endpoint: Endpoint) -> None:
    endpoint.answers["tool"] = (400, "auto tool choice requires --enable-auto-tool-choice")
    assert "tool_ms" not in check(endpoint, tools=False)


def test_a_model_may_be_written_as_a_mapping(endpoint: Endpoint) -> None:
    assert smoke.check(endpoint.url, "t", {"model": {"type": "chat", "name": "m"}}).model == "m"


def test_a_service_that_does_not_name_its_model_is_not_asked(endpoint: Endpoint) -> None:
    with pytest.raises(Failure, match=r"service\.model is missing") as failed:
        smoke.check(endpoint.url, "t", {"env": None})
    assert failed.value.code == ExitCode.SETTINGS_INVALID
    assert endpoint.tokens == set()


def test_an_adapter_has_to_answer_as_well(endpoint: Endpoint) -> None:
    endpoint.answers |= {"models": models("m", "sql"), "sql": says(content="SELECT")}
    check(endpoint)
    endpoint.answers["sql"] = (200, '{"choices": []}')
    with pytest.raises(Failure, match="for sql without a choice"):
        check(endpoint)


@pytest.mark.parametrize(
    ("what", "answer", "said"),
    [
        ("models", (200, '{"data": [{"id": "other"}]}'), "lists other, not m"),
        ("models", (200, '{"data": []}'), "lists nothing, not m"),
        ("models", (200, "<html>Welcome to nginx!</html>"), "is no OpenAI API"),
        ("models", (200, '{"data": ["m"]}'), "is no OpenAI API"),
        ("models", (404, "Service not found"), "answers 404"),
        ("models", (403, ""), "DSTACK_TOKEN"),
        ("m", (200, '{"choices": []}'), "without a choice"),
        ("m", (500, "EngineDeadError"), "EngineDeadError"),
        ("stream", (200, DELTAS), "without [DONE], after 'Hello'"),
        ("stream", (200, "data: [DONE]\n\n"), "without text"),
        ("stream", (200, DELTAS + "data: {half"), "broke off after 'Hello'"),
        ("stream", (200, 'data: {"choices": [{"delta": null}]}\n\n'), "broke off"),
        ("stream", (503, "busy"), "answers 503"),
        ("json", says(content="Paris, of course."), "asked with a JSON schema"),
        ("json", says(content='{"town": "Paris"}'), "asked with a JSON schema"),
        ("json", says(content=None, reasoning="Let me think"), "asked with a JSON schema"),
        ("tool", says(content='[TOOL_CALLS]weather{"city": "Paris"}'), "TOOL_FLAGS"),
        ("tool", calls('{"city": '), "TOOL_FLAGS"),
        ("tool", (400, "requires --enable-auto-tool-choice"), "requires --enable-auto-tool-choice"),
    ],
)
def test_an_endpoint_that_only_looks_like_one_fails(
    endpoint: Endpoint, what: str, answer: tuple[int, str], said: str
) -> None:
    endpoint.answers[what] = answer
    with pytest.raises(Failure) as failed:
        check(endpoint)
    assert failed.value.code == ExitCode.SMOKE_FAILED
    assert said in str(failed.value)


def test_a_proxy_that_has_not_heard_of_the_replica_yet_is_asked_again(endpoint: Endpoint) -> None:
    endpoint.answers["models"] = [(404, "not yet"), GOOD["models"]]
    assert check(endpoint, patience=5)["model"] == "m"


def test_a_stream_that_a_leaving_replica_cut_is_asked_again_after_a_deploy(endpoint: Endpoint) -> None:
    endpoint.answers["stream"] = [(200, DELTAS), GOOD["stream"]]
    assert check(endpoint, patience=5)["text"] == "Hello"


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_question_that_the_engine_rejects_is_asked_once(endpoint: Endpoint, status: int) -> None:
    endpoint.answers["m"] = [(status, '{"error": {"message": "too long"}}'), GOOD["m"]]
    with pytest.raises(Failure, match=f"answers {status}: .*too long"):
        check(endpoint, patience=5)


@pytest.mark.parametrize("body", ["<html>nginx</html>", '{"error": "bad"}', "[]"])
def test_a_400_that_is_not_from_the_engine_is_asked_again(endpoint: Endpoint, body: str) -> None:
    endpoint.answers["m"] = [(400, body), GOOD["m"]]
    assert check(endpoint, patience=5)["model"] == "m"


def test_a_web_page_is_quoted_in_one_line(endpoint: Endpoint) -> None:
    page = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<hr>nginx</body>\r\n</html>\r\n"
    for status in (502, 200):
        endpoint.answers["models"] = (status, page)
        with pytest.raises(Failure, match="502 Bad Gateway nginx") as failed:
            check(endpoint)
        assert "\n" not in str(failed.value)


def test_a_redirect_is_not_followed_with_the_token(endpoint: Endpoint) -> None:
    endpoint.answers["models"] = (302, "")
    with pytest.raises(Failure, match=r"redirects to .*server\.url"):
        check(endpoint)


def test_netrc_does_not_replace_the_token(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("default login anonymous password me@example.com\n", encoding="utf-8")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    check(endpoint)
    assert endpoint.tokens == {"Bearer t"}


def test_a_port_where_nobody_listens_fails() -> None:
    with pytest.raises(Failure, match="does not answer"):
        smoke.check("http://127.0.0.1:9/v1", "t", service())
