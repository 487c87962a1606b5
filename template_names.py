"""What the name of a model says: how many parameters it has, its number format, and whether it can be served at all.

template_catalogue.py runs this file and takes the functions from it. It imports nothing of the template.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

SIZE = re.compile(r"(?<![a-z0-9.])([ae]?)(?:(\d+)x)?(\d+(?:\.\d+)?)([bt])(?![a-z])")
JOINED_SIZE = re.compile(r"()()(\d+(?:\.\d+)?)([bt])(?![a-z])")  # gemma2b
MILLIONS = re.compile(r"(?<![a-z0-9.])()()(\d+)(m)(?![a-z])")
BILLIONS = {"m": 0.001, "b": 1.0, "t": 1000.0}
EFFECTIVE = 2.0  # parameters of Gemma's E2B and E4B by their "effective" ones: the rest are embeddings of each layer
# Bytes for each parameter, scales included. NVFP4 checkpoints of 27 to 31 billion parameters have 0.8 to 1.07, because
# their makers leave attention, embeddings and more in 8 or 16 bits.
FORMATS = {
    r"fp8|int8|w8a(8|16)|8bit": 1.05,
    r"nvfp4|w4a4": 0.95,
    r"awq|gptq|int4|w4a(8|16)|fp4|nf4|autoround|4bit": 0.7,
}


@dataclass(frozen=True)
class Kind:
    """Models that are not served: why they are refused, and how they are known."""

    why: str
    words: tuple[str, ...]  # regular expressions for whole words of the name in lower case, where `.` and `_` are `-`
    owners: tuple[str, ...] = ()  # whose models are all of this kind
    served: str = ""  # the catalogue's kind: models of it are served when the catalogue has them

    def has(self, model_id: str) -> bool:
        """Return whether the model is of this kind, by its id."""
        owner, _, name = re.sub(r"[._]", "-", model_id.lower()).partition("/")
        return owner in self.owners or re.search(rf"(?:^|-)(?:{'|'.join(self.words)})(?=-|$)", name) is not None


ORIGINAL = "name the original model"
KNOWN_ALONE = "of such models, only those in the template's README can be served"
KINDS = (
    Kind(f"is in the format GGUF, for llama.cpp: {ORIGINAL}", ("gguf", r"i?q\d-k(-[a-z]+)?")),
    Kind(f"is in the format MLX, for Apple's chips: {ORIGINAL}", ("mlx",), ("mlx-community",)),
    Kind(
        f"is in a format of another engine, and vLLM reads safetensors only: {ORIGINAL}",
        (r"exl\d", "onnx", "openvino", "ov", "coreml", "tflite", "litert", "trtllm"),
    ),
    Kind(
        "seems to be an adapter: name the model that it belongs to, and the adapter in LORA_FLAGS of the service",
        ("lora", "qlora", "adapter", "peft"),
    ),
    Kind(
        "drafts tokens for another model, and does not answer itself: name that other model",
        ("eagle3?", "medusa", "dflash", "speculators?"),
    ),
    Kind(
        "makes videos, which the template does not serve",
        ("t2v", "i2v", "ti2v", "s2v", "wan2.*", "hunyuanvideo", "ltx(-?video)?", "cogvideox?", "mochi"),
        ("wan-ai",),
    ),
    Kind(
        "speaks, and the template does not serve speech synthesis",
        ("[a-z0-9]*tts[a-z]*", "kokoro", "bark", "vibevoice", r"cosyvoice\d?", "orpheus", "chatterbox", r"voxcpm\d?"),
    ),
    Kind(
        "makes sounds, which the template does not serve",
        ("musicgen", "audiogen", "stable-audio", "ace-step", "soundeffect"),
    ),
    Kind(
        f"turns speech into text; {KNOWN_ALONE}",
        ("[a-z]*whisper", "asr", r"wav2vec\d?", "parakeet", "canary", "moonshine"),
        ("distil-whisper",),
        served="transcription",
    ),
    Kind(
        f"puts documents in an order; {KNOWN_ALONE}",
        ("[a-z]*rerank(er)?[a-z0-9]*", "cross-encoder"),
        ("cross-encoder",),
        served="reranking",
    ),
    Kind(
        f"computes embeddings; {KNOWN_ALONE}",
        ("[a-z]*embed(ding)?s?", "bge", "e5", "gte", "minilm", "colbert[a-z0-9]*", "stella"),
        ("sentence-transformers",),
        served="embeddings",
    ),
    Kind(
        "does not write text, so it can't be served as a chat",
        (
            *("(x?lm-)?roberta", "deberta", "(distil|al|modern|tiny)?bert", "[a-z]*clip", r"siglip\d?"),
            *(r"dino(v\d)?\d?", "vit", "[a-z]*detr", "yolo[a-z0-9]*", "sam[23]"),
        ),
        ("google-bert",),
    ),
)
DRAWING = Kind(f"seems to draw; {KNOWN_ALONE}", (), served="pictures")  # known by DRAWS
DRAWS = r"flux[._-]?\d|stable-?diffusion|sdxl|sd-turbo|\bimage\b|hunyuanimage|hidream|pixart|kandinsky|krea|omnigen"


def billions(model_id: str) -> float | None:
    """Return the billions of parameters that all experts have together, from the name; None when it has no such size.

    `70B`, `0.6B`, `1T`, `270M` are sizes, and `8x7B` is one. `A3B` counts the parameters that work on a token, so
    `30B-A3B` is 30. `E4B` counts "effective" parameters. In `17B-16E`, each expert's size is missing.
    """
    name = _name(model_id)
    sizes = [found.groups() for found in SIZE.finditer(name)]
    if not sizes:
        sizes = [found.groups() for found in (*JOINED_SIZE.finditer(name), *MILLIONS.finditer(name))]
    totals = [size for size in sizes if size[0] != "a"]
    if not totals or re.search(r"-\d+e(?![a-z0-9])", name):
        return None
    kind, experts, number, unit = totals[0]
    return float(number) * int(experts or 1) * BILLIONS[unit] * (EFFECTIVE if kind == "e" else 1.0)


def bytes_per_parameter(model_id: str) -> float | None:
    """Return the bytes of each parameter, scales included, if the name says that the model is quantised; else None."""
    return next((size for pattern, size in FORMATS.items() if re.search(pattern, _name(model_id))), None)


def not_served(model_id: str) -> Kind | None:
    """Return the kind of model that such a name speaks of, if it is not served; else None."""
    if found := next((kind for kind in KINDS if kind.has(model_id)), None):
        return found
    return DRAWING if re.search(DRAWS, model_id.split("/")[-1], re.IGNORECASE) else None


def _name(model_id: str) -> str:
    return model_id.split("/")[-1].lower()
