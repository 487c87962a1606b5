"""How models write a tool call, and their thoughts: as the chat templates of their makers have it.

A parser for another format finds nothing and says nothing. So each model of the catalogue is tried with its own format.
"""

from __future__ import annotations

from dataclasses import dataclass

CALL = ["get_weather", {"city": "Berlin", "days": 3}]


@dataclass(frozen=True)
class Format:
    """A text of a model, and the special tokens in it or in what its parser asks for."""

    text: str
    special: tuple[str, ...] = ()


THOUGHTS = ("<think>", "</think>")
TOOL_CALL = ("<tool_call>", "</tool_call>")
GLM = (*TOOL_CALL, "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", *THOUGHTS)
GEMMA = ("<|tool_call>", "<tool_call|>", '<|"|>', "<|channel>", "<channel|>", "<turn|>")
MUSE = ("<|message|>", "<|eom|>", "<|eot|>", "<|start|>")
MISTRAL = ("[TOOL_CALLS]", "[ARGS]", "[THINK]", "[/THINK]")

JSON = Format(
    '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Berlin", "days": 3}}\n</tool_call>', TOOL_CALL
)
XML = Format(
    "<tool_call>\n<function=get_weather>\n<parameter=city>\nBerlin\n</parameter>\n<parameter=days>\n3\n</parameter>\n"
    "</function>\n</tool_call>",
    (*TOOL_CALL, *THOUGHTS, "<|im_end|>"),
)
CALLS = {
    "Qwen/Qwen3-": JSON,
    "Qwen/Qwen3-Coder": XML,
    "Qwen/Qwen3.": XML,  # 3.5 and later
    "nvidia/NVIDIA-Nemotron-3": XML,
    "ibm-granite/granite-4": JSON,
    "meta-llama/Llama-3": Format(
        '{"name": "get_weather", "parameters": {"city": "Berlin", "days": 3}}', ("<|python_tag|>",)
    ),
    "RedHatAI/Llama-3": Format(
        '{"name": "get_weather", "parameters": {"city": "Berlin", "days": 3}}', ("<|python_tag|>",)
    ),
    "google/gemma-4": Format('<|tool_call>call:get_weather{city:<|"|>Berlin<|"|>,days:3}<tool_call|>', GEMMA),
    "zai-org/GLM-4.7": Format(
        "<tool_call>get_weather<arg_key>city</arg_key><arg_value>Berlin</arg_value>"
        "<arg_key>days</arg_key><arg_value>3</arg_value></tool_call>",
        GLM,
    ),
    "zai-org/GLM-4.5": Format(
        "<tool_call>get_weather\n<arg_key>city</arg_key>\n<arg_value>Berlin</arg_value>\n"
        "<arg_key>days</arg_key>\n<arg_value>3</arg_value>\n</tool_call>",
        GLM,
    ),
    "meta-models/Muse-Glimmer": Format(
        "to=self<|message|>The user wants the weather.<|eom|><|start|>assistant to=get_weather<|message|>"
        '<atem:function_calls>\n<atem:invoke name="get_weather">\n<atem:parameter name="city">Berlin</atem:parameter>\n'
        '<atem:parameter name="days">3</atem:parameter>\n</atem:invoke>\n</atem:function_calls><|eom|>',
        MUSE,
    ),
    "mistralai/": Format('[TOOL_CALLS]get_weather[ARGS]{"city": "Berlin", "days": 3}', MISTRAL),
    # Nemo of 2024 writes a list, which vLLM recognises by the version of its tokenizer
    "mistralai/Mistral-Nemo": Format(
        '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Berlin", "days": 3}}]'
    ),
}
THOUGHT, ANSWER = "The user greets me.", "Hello!"
ENDED = Format(f"{THOUGHT}</think>{ANSWER}", (*THOUGHTS, *TOOL_CALL, "<|im_end|>"))  # the template wrote <think>
THINKS = {
    "Qwen/Qwen3-": Format(f"<think>{THOUGHT}</think>{ANSWER}", (*THOUGHTS, *TOOL_CALL, "<|im_end|>")),
    "Qwen/Qwen3.": ENDED,
    "nvidia/NVIDIA-Nemotron-3": ENDED,
    "deepseek-ai/DeepSeek-R1": ENDED,
    "zai-org/GLM-4": Format(f"<think>{THOUGHT}</think>{ANSWER}", GLM),
    "google/gemma-4": Format(f"<|channel>thought\n{THOUGHT}<channel|>{ANSWER}", GEMMA),
    "meta-models/Muse-Glimmer": Format(
        f"to=self<|message|>{THOUGHT}<|eom|><|start|>assistant to=user<|message|>{ANSWER}<|eot|>", MUSE
    ),
    "mistralai/": Format(f"[THINK]{THOUGHT}[/THINK]{ANSWER}", MISTRAL),
}


def of(model_id: str, formats: dict[str, Format]) -> Format:
    """The format of a model: that of the longest beginning of its id. Raises ValueError when it has none."""
    return formats[max((start for start in formats if model_id.startswith(start)), key=len)]
