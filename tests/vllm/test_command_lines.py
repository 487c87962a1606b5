"""vLLM's argument parser and registries, of the image's version, on every command line that the template renders."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from sandbox.engine.flags import FLAGS, VLLM_VERSION, Flag, parse
from sandbox.vllm import install
from sandbox.vllm.install import Installation
from template_catalogue import known_model
from tests.rendered import engine_words, rendered
from tests.test_catalogue import CHATS, OTHERS

MODEL = "somebody/Unknown-70B"
OURS = [*CHATS, *OTHERS, (MODEL, "fp8")]  # vLLM-Omni, which draws, has a command line of its own
SERVICE = "dstack/service.dstack.yml"
SHARED = [flag for flag in FLAGS if flag.name != "--omni"]  # that one is vLLM-Omni's
REMOVED = (
    *("--swap-space 4", "--num-scheduler-steps 8", "--guided-decoding-backend xgrammar", "--task generate"),
    *("--device cpu", "--max-seq-len-to-capture 8192", "--enable-reasoning", "--use-v2-block-manager"),
    *("--disable-frontend-multiprocessing", "--rope-scaling {}", "--calculate-kv-scales", "--max-model 8K"),
)
UNKNOWN_NAMES = (
    *("--quantization fp9", "--enable-auto-tool-choice --tool-call-parser misstral", "--reasoning-parser qwen33"),
    *("--load-format safetensor", "--kv-cache-dtype fp7", "--tokenizer-mode mistrall", "--config-format toml"),
)
REFUSED_BY_BOTH = (
    *("--port x", "--dtype fp4", "--enable-auto-tool-choice", "--lora-modules sql", "--max-model-len 8KB"),
    *("--swap-space 4", "--rope-scaling {}", "--task generate", "--max-model 8K"),
)
VALUES = {
    *(("--limit-mm-per-prompt", '{"image": 2}'), ("--lora-modules", "sql=/lora/sql"), ("--quantization", "fp8")),
    *(("--tokenizer-mode", "mistral"), ("--tool-call-parser", "mistral"), ("--reasoning-parser", "mistral")),
    *(("--gpu-memory-utilization", "0.9"), ("--max-model-len", "32K"), ("--max-num-batched-tokens", "1.5k")),
    *(("--max-num-queued-tokens", "100K"), ("--hf-overrides", '{"num_labels":1}')),
    ("--chat-template", "{{messages}}"),
}


def samples(flag: Flag) -> list[str]:
    """Uses of a flag that the stand-in takes: each of its choices, or a value of its kind."""
    if flag.type is None:
        return [f"{flag.name} --tool-call-parser mistral" if flag.name == "--enable-auto-tool-choice" else flag.name]
    value = dict(VALUES).get(flag.name) or str(flag.default or ("7" if flag.type is int else "text"))
    return [f"{flag.name} {choice}" for choice in flag.choices or (value,)]


def line(flags: str) -> list[str]:
    return ["serve", MODEL, *flags.replace('": ', '":').split()]


@pytest.fixture(scope="session")
def lines() -> dict[str, list[str]]:
    """The command line of every model that the template knows, of one that it doesn't, and flags to try."""
    found = {
        f"{model_id} {precision}": engine_words(rendered(SERVICE, model_id, precision))[1:]
        for model_id, precision in OURS
    }
    tried = (*REMOVED, *UNKNOWN_NAMES, *REFUSED_BY_BOTH, *(use for flag in SHARED for use in samples(flag)))
    return found | {flags: line(flags) for flags in tried}


@pytest.fixture(scope="session")
def wrong(vllm: Installation, lines: dict[str, list[str]]) -> dict[str, list[str]]:
    """What vLLM says of each of them; it is imported once."""
    return vllm.wrong(lines)


def test_cpu_build_and_stand_in_are_of_the_images_version() -> None:
    for model_id, precision in OURS:
        service = yaml.safe_load(rendered(SERVICE, model_id, precision))
        assert service["image"] == f"vllm/vllm-openai:v{install.VERSION}-cu129"
    assert install.VERSION == VLLM_VERSION


@pytest.mark.parametrize(("model_id", "precision"), OURS)
def test_vllm_takes_the_command_line(
    wrong: dict[str, list[str]], lines: dict[str, list[str]], model_id: str, precision: str
) -> None:
    assert lines[f"{model_id} {precision}"][:2] == ["serve", known_model(model_id, precision)["id"]]
    assert wrong[f"{model_id} {precision}"] == []


@pytest.mark.parametrize(("model_id", "precision"), OURS)
def test_the_stand_in_takes_it_too(lines: dict[str, list[str]], model_id: str, precision: str) -> None:
    assert parse(lines[f"{model_id} {precision}"]).model_tag == known_model(model_id, precision)["id"]


@pytest.mark.parametrize("flags", REMOVED)
def test_a_flag_that_vllm_dropped_is_noticed(wrong: dict[str, list[str]], flags: str) -> None:
    assert wrong[flags] == [f"vllm: error: unrecognized arguments: {flags}"]


@pytest.mark.parametrize("flags", UNKNOWN_NAMES)
def test_a_name_that_vllm_does_not_know_is_noticed(wrong: dict[str, list[str]], flags: str) -> None:
    [problem] = wrong[flags]
    assert flags.split()[-1] in problem


@pytest.mark.parametrize("flag", SHARED, ids=lambda flag: flag.name)
def test_what_the_stand_in_takes_vllm_takes(wrong: dict[str, list[str]], flag: Flag) -> None:
    for use in samples(flag):
        parse(line(use))
        assert wrong[use] == []


@pytest.mark.parametrize("flags", REFUSED_BY_BOTH)
def test_what_the_stand_in_refuses_vllm_refuses(wrong: dict[str, list[str]], flags: str) -> None:
    with pytest.raises(SystemExit):
        parse(line(flags))
    assert wrong[flags]


NOT_SIZED = {  # flags that sizing refuses, whatever their value is
    *("config", "diffusion_config", "eplb_config", "kv_cache_dtype_skip_layers", "kv_transfer_config"),
    *("cpu_offload_params", "mamba_block_size", "mm_ipc_gpu_memory_gb", "offload_num_in_group", "offload_params"),
    *("offload_prefetch_step", "prefix_cache_retention_interval", "quantization_config", "spec_method", "spec_model"),
    *("spec_tokens", "ubatch_size", "enable_return_routed_experts"),
}


def test_sizing_knows_every_flag_of_vllm_or_refuses_it(vllm: Installation, capacity: Any) -> None:
    """A flag that a new version adds shows here, and one that sizing names and vLLM does not have any more."""
    actions = vllm.flag_names()
    names = {name[2:].replace("-", "_") for words in actions for name in words if name.startswith("--")}
    names = {name for name in names if not name.startswith("no_")}
    known, read = capacity.known_flags, capacity.keys.names_of(capacity.flags.Flags)
    assert {name for name in names - read if known.unknown(name, "")} == NOT_SIZED | known.REFUSED.keys()
    for words in actions:
        long = {word[2:].replace("-", "_") for word in words if word.startswith("--")}
        assert all(known.SHORT[word[1:]] in long for word in words if not word.startswith("--"))
