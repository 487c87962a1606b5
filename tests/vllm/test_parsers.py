"""The parser of each known model finds the model's own tool calls and thoughts, tried with vLLM's own parsers."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox.vllm.install import Installation
from template_catalogue import catalogue
from tests.vllm import formats
from tests.vllm.formats import ANSWER, CALL, CALLS, THINKS, THOUGHT, XML, Format

HARMONY = ("openai", "openai_gptoss")  # vLLM reads gpt-oss with the vocabulary that openai-harmony would download
NEMO = "mistralai/Mistral-Nemo-Instruct-2407"
Cases = dict[str, dict[str, Any]]


def with_parser(kind: str) -> dict[str, str]:
    """The name of the parser by model."""
    return {
        model: entry[kind] for model, entry in catalogue().items() if entry.get(kind) and entry[kind] not in HARMONY
    }


TOOLS, REASONING = with_parser("tool_parser"), with_parser("reasoning_parser")


def case(kind: str, parser: str, format: Format) -> dict[str, Any]:
    return {kind: parser, "text": format.text, "special": format.special}


@pytest.fixture(scope="session")
def found(vllm: Installation) -> dict[str, Any]:
    """What vLLM finds in each model's text, and in a text for another parser; vLLM is imported once."""
    cases: Cases = {f"{m} calls": case("tool_parser", parser, formats.of(m, CALLS)) for m, parser in TOOLS.items()}
    cases[f"{NEMO} calls"]["tokenizer"] = str(vllm.random_model)
    for model, parser in REASONING.items():
        cases[f"{model} thinks"] = case("reasoning_parser", parser, formats.of(model, THINKS))
    cases["another parser"] = case("tool_parser", "hermes", XML)
    script = Path(__file__).with_name("parsing.py")
    variables = {"HOME": str(vllm.root), "VLLM_LOGGING_STREAM": "ext://sys.stderr", "PYTHONDONTWRITEBYTECODE": "1"}
    command, question = [str(vllm.python), "-P", str(script)], json.dumps(list(cases.values()))
    done = subprocess.run(command, input=question, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return dict(zip(cases, json.loads(done.stdout), strict=True))


@pytest.mark.parametrize("model_id", TOOLS)
def test_the_parser_finds_the_models_tool_calls(found: dict[str, Any], model_id: str) -> None:
    assert found[f"{model_id} calls"] == [CALL]


@pytest.mark.parametrize("model_id", REASONING)
def test_the_parser_finds_the_models_thoughts(found: dict[str, Any], model_id: str) -> None:
    assert found[f"{model_id} thinks"] == [THOUGHT, ANSWER]


def test_another_parser_finds_nothing_and_says_nothing(found: dict[str, Any]) -> None:
    """`hermes` served Qwen3, and is wrong for Qwen3.5 and later."""
    assert found["another parser"] == []
