"""What vLLM itself says of command lines: its argument parser, and its registries for names that the parser lets pass.

`python lines.py < LINES > ANSWER`, run by the interpreter of vLLM's environment: a JSON object of argument lists by
name becomes, by the same names, what is wrong with each. Importing vLLM takes 20 s, a line 10 ms.
"""

from __future__ import annotations

import argparse
import io
import json
import sys
from contextlib import redirect_stderr
from typing import get_args

from vllm.entrypoints.cli.serve import ServeSubcommand
from vllm.model_executor.layers.quantization import QUANTIZATION_METHODS
from vllm.model_executor.model_loader import LoadFormats
from vllm.reasoning import ReasoningParserManager
from vllm.tokenizers import TokenizerRegistry
from vllm.tool_parsers import ToolParserManager
from vllm.transformers_utils.config import ConfigFormat
from vllm.utils.argparse_utils import FlexibleArgumentParser

NAMES = {
    "config_format": set(get_args(ConfigFormat)),
    "load_format": set(get_args(LoadFormats)),
    "quantization": set(QUANTIZATION_METHODS),
    "reasoning_parser": set(ReasoningParserManager.list_registered()),
    "tokenizer_mode": {"auto", "slow", *TokenizerRegistry.tokenizers},
    "tool_call_parser": set(ToolParserManager.list_registered()),
}


def parser() -> argparse.ArgumentParser:
    """That of the command `vllm`, without abbreviations: one may cease to be unique in the next version."""
    whole: argparse.ArgumentParser = FlexibleArgumentParser("vllm")
    serve = ServeSubcommand().subparser_init(whole.add_subparsers(required=True, dest="subparser"))
    serve.allow_abbrev = False
    return whole


def _error(said: str) -> list[str]:
    """The line that says what is wrong; below it vLLM may print a hint."""
    lines = said.strip().splitlines()
    return [line for line in lines if ": error: " in line][-1:] or lines[-1:]


def wrong(vllm: argparse.ArgumentParser, arguments: list[str]) -> list[str]:
    """What vLLM would refuse in `vllm ARGUMENTS`, one line each; empty when it takes them."""
    with redirect_stderr(io.StringIO()) as said:
        try:
            parsed = vllm.parse_args(arguments)
            ServeSubcommand().validate(parsed)
        except SystemExit:
            return _error(said.getvalue())
        except (TypeError, ValueError) as error:
            return [str(error)]
    chosen = {flag: getattr(parsed, flag) for flag in NAMES}
    return [f"{flag}: there is no {name}" for flag, name in chosen.items() if name and name not in NAMES[flag]]


def main() -> None:
    vllm, lines = parser(), json.load(sys.stdin)
    json.dump({name: wrong(vllm, arguments) for name, arguments in lines.items()}, sys.stdout)


if __name__ == "__main__":
    main()
