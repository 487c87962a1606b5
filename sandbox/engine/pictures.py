"""What the stand-in draws: a request's JSON in, pictures out, as vLLM-Omni's diffusion models do."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import dataclass
from typing import Any

from PIL import Image, ImageDraw

from sandbox.engine.reply import NOTICE, BadRequestError

_DEFAULT_SIZE = "1024x1024"
_DEFAULT_STEPS = 8
_LARGEST = 4096  # pixels a side


@dataclass(frozen=True)
class PictureRequest:
    """`count` pictures of `width` x `height` pixels, each in so many `steps`."""

    width: int
    height: int
    count: int
    steps: int

    def draw(self) -> list[str]:
        """The pictures: base64 of a PNG that says what it is."""
        picture = Image.new("RGB", (self.width, self.height), "lightgrey")
        ImageDraw.Draw(picture).text((4, 4), NOTICE, fill="black")
        file = io.BytesIO()
        picture.save(file, "PNG")
        return [base64.b64encode(file.getvalue()).decode()] * self.count


def read_request(body: dict[str, Any]) -> PictureRequest:
    """What a request asks for. Raises BadRequestError."""
    if not isinstance(body.get("prompt"), str):
        raise BadRequestError("1 validation error: 'prompt': Field required", "prompt")
    if body.get("response_format", "b64_json") != "b64_json":
        raise BadRequestError("the stand-in answers with b64_json", "response_format")
    size = re.fullmatch(r"(\d{1,4})x(\d{1,4})", str(body.get("size") or _DEFAULT_SIZE))
    if not size or not 0 < min(int(size[1]), int(size[2])) <= max(int(size[1]), int(size[2])) <= _LARGEST:
        raise BadRequestError(f"Invalid size format: {body['size']!r}. Expected format: 'WIDTHxHEIGHT'.", "size")
    count, steps = body.get("n") or 1, body.get("num_inference_steps") or _DEFAULT_STEPS
    if not isinstance(count, int) or not 1 <= count <= 10:
        raise BadRequestError("n must be 1 to 10", "n")
    if not isinstance(steps, int) or steps < 1:
        raise BadRequestError("num_inference_steps must be at least 1", "num_inference_steps")
    return PictureRequest(int(size[1]), int(size[2]), count, steps)
