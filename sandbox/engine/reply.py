"""What the stand-in says: a request's JSON in, the pieces of its answer out."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

NOTICE = "I am the sandbox's stand-in for vLLM: no model runs here."

THOUGHTS = "Let me think about what to say. " * 6  # of a model that has a reasoning parser; longer than a short answer

_PIECE = re.compile(r"\s*\S+")  # a word with the space before it is the stand-in's token
_TOKENS_PER_MESSAGE = 4  # of a chat template: begin, role, role's end, end


class BadRequestError(ValueError):
    """What vLLM answers with 400; the message is for the client, `parameter` the field that is wrong."""

    def __init__(self, message: str, parameter: str | None = None) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True)
class Reply:
    """An answer to give piece by piece: first `thoughts` pieces of thinking, then text, or a call's arguments."""

    pieces: tuple[str, ...]  # one token each
    finish_reason: Literal["stop", "length", "tool_calls"]
    prompt_tokens: int
    thoughts: int = 0
    tool: str | None = None  # the function that is called

    @property
    def usage(self) -> dict[str, int]:
        completion = len(self.pieces)
        total = self.prompt_tokens + completion
        return {"prompt_tokens": self.prompt_tokens, "total_tokens": total, "completion_tokens": completion}

    def message(self) -> dict[str, Any]:
        """The chat's message."""
        thoughts, said = "".join(self.pieces[: self.thoughts]), "".join(self.pieces[self.thoughts :])
        message: dict[str, Any] = {"role": "assistant", "content": said or None}
        message |= {"reasoning": thoughts} if thoughts else {}
        return message | ({"content": None, "tool_calls": [self._call(said)]} if self.tool else {})

    def delta(self, number: int) -> dict[str, Any]:
        """What a chat's stream says of piece `number`; nothing after the last one."""
        piece = self.pieces[number] if number < len(self.pieces) else ""
        if number < self.thoughts:
            return {"role": "assistant", "reasoning": piece}
        if self.tool:
            return {"role": "assistant", "tool_calls": [{"index": 0, **self._call(piece)}]}
        return {"role": "assistant", "content": piece}

    def _call(self, arguments: str) -> dict[str, Any]:
        return {"id": "call-1", "type": "function", "function": {"name": self.tool, "arguments": arguments}}


def chat(body: dict[str, Any], context_tokens: int, *, tools: bool, thinks: bool) -> Reply:
    """The answer to a chat completion of an engine that was started with `tools` enabled and `thinks`, or not.

    Raises BadRequestError.
    """
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise _field_required("messages")
    if not messages:
        raise BadRequestError("messages must hold at least one message", "messages")
    choice = body.get("tool_choice", "auto") if body.get("tools") else "none"
    if choice == "auto" and not tools:
        raise BadRequestError('"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set')
    texts = [_text(message.get("content")) for message in messages]
    prompt_tokens = sum(len(_pieces(text)) + _TOKENS_PER_MESSAGE for text in texts)
    thoughts = THOUGHTS if thinks and (body.get("chat_template_kwargs") or {}).get("enable_thinking", True) else ""
    if choice != "none":
        function = body["tools"][0].get("function") or {}
        arguments = json.dumps(_example(function.get("parameters") or {}))
        return _reply(arguments, prompt_tokens, body, context_tokens, thoughts, str(function.get("name")))
    schema = (body.get("response_format") or {}).get("json_schema")
    text = json.dumps(_example(schema["schema"])) if schema else f"{NOTICE} You said: {texts[-1]}"
    return _reply(text, prompt_tokens, body, context_tokens, thoughts)


def completion(body: dict[str, Any], context_tokens: int) -> Reply:
    """The answer to a plain completion. Raises BadRequestError."""
    prompt = body.get("prompt")
    if not isinstance(prompt, str):
        raise _field_required("prompt")
    return _reply(f" {NOTICE}", len(_pieces(prompt)), {"max_tokens": 16, **body}, context_tokens)


def _reply(
    text: str,
    prompt_tokens: int,
    body: dict[str, Any],
    context_tokens: int,
    thoughts: str = "",
    tool: str | None = None,
) -> Reply:
    if body.get("n") not in (None, 1):
        raise BadRequestError("the stand-in gives one choice (n=1)", "n")
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    if body.get("max_tokens") == 0 or (limit is not None and (not isinstance(limit, int) or limit < 1)):
        raise BadRequestError(f"max_tokens must be at least 1, got {body.get('max_tokens')}.", "max_tokens")
    room = context_tokens - prompt_tokens
    if room < (limit or 1):
        raise BadRequestError(
            f"This model's maximum context length is {context_tokens} tokens. However, you requested {limit or 1} "
            f"output tokens and your prompt contains {prompt_tokens} input tokens.",
            "max_tokens",
        )
    stopped = text if body.get("ignore_eos") else _before_stop(text, body.get("stop"))
    thinking = _pieces(thoughts)
    pieces = thinking + _pieces(stopped)
    endless = itertools.cycle(pieces) if body.get("ignore_eos") else pieces
    taken = tuple(itertools.islice(endless, limit or room))
    if body.get("ignore_eos") or len(taken) < len(pieces):
        return Reply(taken, "length", prompt_tokens, len(thinking), tool if len(taken) > len(thinking) else None)
    return Reply(taken, "tool_calls" if tool else "stop", prompt_tokens, len(thinking), tool)


def _example(schema: dict[str, Any]) -> Any:
    """Something that a JSON schema describes; of the schemas that a smoke test has."""
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: _example(value) for name, value in schema.get("properties", {}).items()}
        case "array":
            return [_example(schema.get("items", {}))]
        case "integer" | "number":
            return 1
        case "boolean":
            return True
        case _:
            return "stand-in"


def _before_stop(text: str, stop: str | Sequence[str] | None) -> str:
    stops = [stop] if isinstance(stop, str) else list(stop or ())
    return text[: min((text.index(s) for s in stops if s in text), default=len(text))]


def _pieces(text: str) -> list[str]:
    return _PIECE.findall(text)


def _text(content: Any) -> str:
    """Of a message, whose content is a text or a list of parts, some of them texts."""
    if isinstance(content, list):
        return " ".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return str(content or "")


def _field_required(field: str) -> BadRequestError:
    return BadRequestError(
        f"1 validation error: {{'type': 'missing', 'loc': ('body', '{field}'), 'msg': 'Field required'}}"
    )
