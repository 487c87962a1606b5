"""What the stand-in writes down of a recording: the title in its WAV file.

No model is behind it, and nothing is heard. A recording without a title is answered with a text that says so.
"""

from __future__ import annotations

import re
import struct
from typing import Any

from aiohttp import web
from aiohttp.web_request import FileField

from sandbox.engine.reply import BadRequestError

LONGEST_BYTES = 25 * 1024**2  # vLLM's VLLM_MAX_AUDIO_CLIP_FILESIZE_MB
UNTITLED = "This is the sandbox's stand-in for a model. It hears nothing, and this recording has no title."
TITLE = re.compile(rb"LIST.{4}INFO.*?INAM(.{4})", re.DOTALL)
BYTES_A_SECOND = 32_000  # of 16 kHz and 16 bits


def hears(model: str) -> bool:
    """Whether such a model turns speech into text."""
    return "whisper" in model.lower()


async def read_form(request: web.Request) -> tuple[dict[str, Any], bytes]:
    """The fields and the recording of a transcription's form. Raises BadRequestError."""
    form = dict(await request.post())
    recording = form.pop("file", None)
    if not isinstance(recording, FileField):
        raise BadRequestError("1 validation error: 'file': Field required", "file")
    if form.get("response_format", "json") not in ("json", "text"):
        raise BadRequestError("the stand-in answers with json or text", "response_format")
    if form.get("stream") not in (None, "false", "False", "0"):
        raise BadRequestError("the stand-in does not stream transcriptions", "stream")
    data = recording.file.read()
    if len(data) > LONGEST_BYTES:
        raise BadRequestError("Maximum file size exceeded", "file")
    if not data.startswith((b"RIFF", b"fLaC", b"OggS", b"ID3", b"\xff\xfb")):
        raise BadRequestError("Invalid or unsupported audio file.", "file")
    return form, data


def words(recording: bytes) -> str:
    """The title of the recording."""
    found = TITLE.search(recording)
    if not found:
        return UNTITLED
    [length] = struct.unpack("<I", found[1])
    return recording[found.end() : found.end() + length].rstrip(b"\0").decode(errors="replace")


def answer(recording: bytes, text: str) -> dict[str, Any]:
    """The answer to a transcription request."""
    return {"text": text, "usage": {"type": "duration", "seconds": -(-len(recording) // BYTES_A_SECOND)}}
