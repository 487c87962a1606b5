"""How requests, answers and errors look in vLLM's JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from aiohttp import web

from sandbox.engine.reply import BadRequestError, Reply


@dataclass(frozen=True)
class Shape:
    """How one of the two kinds of completion looks in JSON."""

    prefix: str  # of its id
    whole: str  # its `object`
    chunk: str  # the `object` of one event of its stream
    content: Callable[[Reply], dict[str, Any]]
    delta: Callable[[Reply, int], dict[str, Any]]  # of the reply's piece with that number


CHAT = Shape(
    prefix="chatcmpl",
    whole="chat.completion",
    chunk="chat.completion.chunk",
    content=lambda reply: {"message": reply.message()},
    delta=lambda reply, number: {"delta": reply.delta(number)},
)
COMPLETION = Shape(
    prefix="cmpl",
    whole="text_completion",
    chunk="text_completion",
    content=lambda reply: {"text": "".join(reply.pieces)},
    delta=lambda reply, number: {"text": "".join(reply.pieces[number : number + 1])},
)


async def read_json(request: web.Request) -> dict[str, Any]:
    """The body of a request. Raises BadRequestError."""
    try:
        body = await request.json()
    except json.JSONDecodeError as broken:
        raise BadRequestError(f"JSON decode error: {broken}") from None
    if not isinstance(body, dict):
        raise BadRequestError("Input should be a valid dictionary")
    return body


def choice(content: dict[str, Any], finish_reason: str | None) -> dict[str, Any]:
    return {"index": 0, **content, "logprobs": None, "finish_reason": finish_reason, "stop_reason": None}


def error_body(status: HTTPStatus, message: str, parameter: str | None) -> dict[str, Any]:
    kind = {HTTPStatus.NOT_FOUND: "NotFoundError", HTTPStatus.BAD_REQUEST: "BadRequestError"}.get(status)
    kind = kind or status.phrase.title().replace(" ", "")
    return {"error": {"message": message, "type": kind, "param": parameter, "code": status.value}}


def error(status: HTTPStatus, message: str, parameter: str | None = None) -> web.Response:
    return web.json_response(error_body(status, message, parameter), status=status.value)
