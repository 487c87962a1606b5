"""What vLLM's parsers make of a model's answers: `python parsing.py < CASES > ANSWER`, run by vLLM's interpreter.

A case has `text`, the answer as the model writes it, `special`, the tokens of the model that the text or the parser
needs, and `tool_parser` or `reasoning_parser`. `tokenizer`, a folder, is for parsers that ask for Mistral's own. The
answer to a case is the calls as `[name, arguments]`, or the thoughts and the rest of the text.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from typing import Any

from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.reasoning import ReasoningParserManager
from vllm.tokenizers import get_tokenizer
from vllm.tool_parsers import ToolParserManager

TOOL = {
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"city": {"type": "string"}, "days": {"type": "integer"}}},
}


class Tokenizer:
    """The part of a tokenizer that parsers ask: each special token is one token, and so is each other character."""

    def __init__(self, special: Sequence[str]) -> None:
        self.all_special_tokens = list(special)
        self._ids = {chr(number): number for number in range(256)}
        self._ids |= {token: 1000 + number for number, token in enumerate(special)}
        self._tokens = {number: token for token, number in self._ids.items()}
        self.all_special_ids = [self._ids[token] for token in special]

    def get_vocab(self) -> dict[str, int]:
        return self._ids

    def encode(self, text: str, **options: Any) -> list[int]:
        parts = re.split(f"({'|'.join(map(re.escape, self.all_special_tokens))})", text)
        split = [[part] if part in self.all_special_tokens else list(part) for part in parts]
        return [self._ids[token] for tokens in split for token in tokens]

    def decode(self, ids: int | Sequence[int], **options: Any) -> str:
        return "".join(self._tokens[number] for number in ([ids] if isinstance(ids, int) else ids))

    def convert_tokens_to_ids(self, token: str) -> int | None:
        return self._ids.get(token)


def parsed(case: dict[str, Any]) -> Any:
    """What the case's parser finds in its text."""
    tools = [{"type": "function", "function": TOOL}]
    request = ChatCompletionRequest(model="m", messages=[{"role": "user", "content": "Hi"}], tools=tools)
    folder = case.get("tokenizer")
    tokenizer = get_tokenizer(folder, tokenizer_mode="mistral") if folder else Tokenizer(case["special"])
    if "reasoning_parser" in case:
        reasoning = ReasoningParserManager.get_reasoning_parser(case["reasoning_parser"])(tokenizer)
        return list(reasoning.extract_reasoning(case["text"], request))
    parser = ToolParserManager.get_tool_parser(case["tool_parser"])(tokenizer, request.tools)
    calls = parser.extract_tool_calls(case["text"], request=request).tool_calls
    return [[call.function.name, json.loads(call.function.arguments)] for call in calls]


def main() -> None:
    json.dump([parsed(case) for case in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
