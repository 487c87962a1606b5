"""The deployed model: it answers what a smoke test asks a model of any kind."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from typing import Any

from answering import Fault

from capacity.served import served_model

SPOKEN = "The capital of France is Paris."
PLACE = json.dumps({"city": "Paris"})
MODEL = "organisation/model"  # of a service that names none


def answer(body: Any, model: str | None) -> Fault:
    """Return the answer to a GET, which lists the models, or to the POST of `body`."""
    if body is None:
        return _json({"object": "list", "data": [{"id": model or MODEL, "object": "model"}]})
    if "file" in body:
        return _json({"text": SPOKEN})
    if "prompt" in body:
        width, height = map(int, body["size"].split("x"))
        return _json({"data": [{"b64_json": base64.b64encode(black(width, height)).decode()}]})
    if "input" in body:
        return _json({"data": [{"index": index, "embedding": unit(text)} for index, text in enumerate(texts(body))]})
    if "query" in body:
        ranked = sorted(range(len(body["documents"])), key=lambda place: place != 1)  # the smoke test's right answer
        return _json({"results": [{"index": place, "relevance_score": 1 / (2 + n)} for n, place in enumerate(ranked)]})
    if body.get("stream"):
        chunk = json.dumps({"choices": [{"index": 0, "delta": {"content": "Hello"}}]})
        return Fault(body=f"data: {chunk}\n\ndata: [DONE]\n\n".encode())
    message: dict[str, Any] = {"role": "assistant", "content": PLACE if "response_format" in body else "Hello"}
    if "tools" in body:
        call = {"id": "call-1", "type": "function", "function": {"name": "weather", "arguments": PLACE}}
        message = {"role": "assistant", "content": None, "tool_calls": [call]}
    return _json({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})


def texts(body: Any) -> list[str]:
    """Return the texts whose embeddings are asked for."""
    return [body["input"]] if isinstance(body["input"], str) else list(body["input"])


def unit(text: str) -> list[float]:
    """Return an embedding of the model's length, which has a 1 in the place of the text's first letter."""
    length = (served_model().config or {}).get("hidden_size", 1024)
    return [float(place == ord(text[0]) % length) for place in range(length)]


def black(width: int, height: int) -> bytes:
    """Return a black PNG."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\0" * (width + 1) * height)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", rows) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _json(document: Any) -> Fault:
    return Fault(body=json.dumps(document).encode())
