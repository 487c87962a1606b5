"""The deployed model: it answers what a smoke test asks a model for text, or a model that draws."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

from answering import Fault

PLACE = json.dumps({"city": "Paris"})
MODEL = "organisation/model"  # of a service that names none


def answer(body: Any, model: str | None) -> Fault:
    """Return the answer to a GET, which lists the models, or to the POST of `body`."""
    if body is None:
        return _json({"object": "list", "data": [{"id": model or MODEL, "object": "model"}]})
    if "prompt" in body:
        width, height = map(int, body["size"].split("x"))
        return _json({"data": [{"b64_json": base64.b64encode(black(width, height)).decode()}]})
    if body.get("stream"):
        chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "Hello"}}]})
        return Fault(body=f"data: {chunk}\n\ndata: [DONE]\n\n".encode())
    message: dict[str, Any] = {"role": "assistant", "content": PLACE if "response_format" in body else "Hello"}
    if "tools" in body:
        call = {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": PLACE}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return _json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def black(width: int, height: int) -> bytes:
    """Return a black PNG."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (width + 1) * height)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _json(document: Any) -> Fault:
    return Fault(body=json.dumps(document).encode())
