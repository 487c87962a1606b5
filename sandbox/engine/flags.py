"""The command line that the stand-in takes: the part of vLLM's that the template uses, as data."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

VLLM_VERSION = "0.29.0"  # whose command line this is

_DECIMAL, _BINARY = "kmgt", "KMGT"


def human_int(value: str) -> int:
    """An integer as vLLM writes it: 32768, 32K (1024 times), 32k or 1.5k (1000 times)."""
    if re.fullmatch(r"\d+", value):
        return int(value)
    if match := re.fullmatch(r"(\d+)([KMGT])", value):
        return int(match[1]) << 10 * (_BINARY.index(match[2]) + 1)
    if match := re.fullmatch(r"(\d+(?:\.\d+)?)([kmgt])", value):
        return int(float(match[1]) * 1000 ** (_DECIMAL.index(match[2]) + 1))
    raise argparse.ArgumentTypeError(f"Value {value} cannot be converted to <function human_readable_int>.")


def human_int_or_auto(value: str) -> int | None:
    """None for `auto`, which leaves the length to the memory of the GPU."""
    return None if value in ("auto", "-1") else human_int(value)


def share(value: str) -> float:
    """A share of a GPU's memory, above 0 and up to 1."""
    if not 0 < float(value) <= 1:
        raise argparse.ArgumentTypeError(f"GPU memory utilization must be in (0, 1], got {value}")
    return float(value)


def lora_module(value: str) -> str:
    """The name in NAME=PATH or in {"name": …, "path": …}."""
    name = str(json.loads(value)["name"]) if value.startswith("{") else value.partition("=")[0]
    if not value.startswith("{") and "=" not in value:
        raise argparse.ArgumentTypeError(f"Invalid fields: {value}. Expected NAME=PATH")
    return name


@dataclass(frozen=True)
class Flag:
    """One flag; without a type it is a switch."""

    name: str
    type: Callable[[str], Any] | None = None
    default: Any = None
    choices: tuple[str, ...] | None = None
    many: bool = False


FLAGS = (
    Flag("--host", str),
    Flag("--port", int, 8000),
    Flag("--served-model-name", str, many=True),
    Flag("--max-model-len", human_int_or_auto),
    Flag("--dtype", str, "auto", ("auto", "half", "float16", "bfloat16", "float", "float32")),
    Flag("--quantization", str),
    Flag(
        "--kv-cache-dtype",
        str,
        "auto",
        ("auto", "bfloat16", "fp8", "fp8_e4m3", "fp8_e5m2", "fp8_inc", "fp8_ds_mla"),
    ),
    Flag("--max-num-seqs", int, 256),
    Flag("--max-num-batched-tokens", human_int),
    Flag("--max-num-queued-reqs", int),  # taken, but the stand-in queues nothing
    Flag("--max-num-queued-tokens", human_int),
    Flag("--gpu-memory-utilization", share, 0.92),
    Flag("--tensor-parallel-size", int, 1),
    Flag("--tokenizer-mode", str, "auto"),
    Flag("--config-format", str, "auto"),
    Flag("--load-format", str, "auto"),
    Flag("--enable-auto-tool-choice"),
    Flag("--tool-call-parser", str),
    Flag("--reasoning-parser", str),
    Flag("--shutdown-timeout", int, 0),
    Flag("--enable-server-load-tracking"),
    Flag("--enable-lora"),
    Flag("--lora-modules", lora_module, many=True),
    Flag("--max-lora-rank", int, 16),
    Flag("--max-loras", int, 1),
    Flag("--limit-mm-per-prompt", json.loads),
    Flag("--language-model-only"),
    Flag("--api-key", str, many=True),
    Flag("--download-dir", str),
    Flag("--generation-config", str, "auto"),
    Flag("--seed", int, 0),
    Flag("--trust-remote-code"),
    Flag("--revision", str),
    Flag("--no-enable-log-requests"),
    Flag("--runner", str, "auto", ("auto", "draft", "generate", "pooling")),
    Flag("--hf-overrides", json.loads),
    Flag("--chat-template", str),
    Flag("--omni"),  # of vLLM-Omni: pictures
)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags of `vllm serve MODEL …`; exits with code 2 and vLLM's message when they are not accepted."""
    parser = argparse.ArgumentParser("vllm", description="A stand-in for vLLM: it has flags, but no models.")
    parser.add_argument("-v", "--version", action="version", version=VLLM_VERSION)
    commands = parser.add_subparsers(required=True, metavar="{serve}")
    # vLLM takes abbreviations; the stand-in doesn't, because an abbreviation may cease to be unique in the next version
    serve = commands.add_parser("serve", usage="vllm serve [model_tag] [options]", allow_abbrev=False)
    serve.add_argument("model_tag", help="id of the model on Hugging Face")
    for flag in FLAGS:
        if flag.type is None:
            serve.add_argument(flag.name, action="store_true")
        else:
            serve.add_argument(
                flag.name,
                type=flag.type,
                default=flag.default,
                choices=flag.choices,
                nargs="+" if flag.many else None,
            )
    parsed = parser.parse_args(arguments)
    if parsed.enable_auto_tool_choice and not parsed.tool_call_parser:
        serve.error("--enable-auto-tool-choice requires --tool-call-parser")
    return parsed


def without_defaults(parsed: argparse.Namespace) -> dict[str, Any]:
    """What the command line says, for the log: flags that keep their defaults and API keys are left out."""
    defaults = {flag.name.removeprefix("--").replace("-", "_"): flag.default or False for flag in FLAGS}
    values = {name: value or False for name, value in vars(parsed).items() if name != "api_key"}
    return {name: value for name, value in values.items() if value != defaults.get(name)}
