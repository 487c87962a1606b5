"""The stand-in's command line: what the template uses is accepted, what vLLM would refuse is refused."""

from __future__ import annotations

import pytest

from sandbox.engine.flags import FLAGS, human_int, parse, without_defaults

MODEL = "mistralai/Mistral-Nemo-Instruct-2407"


def test_the_flags_of_the_template_are_accepted() -> None:
    parsed = parse(
        f"serve {MODEL} --max-model-len 32K --quantization fp8 --kv-cache-dtype fp8 --max-num-seqs 128 "
        "--max-num-batched-tokens 4096 --tokenizer-mode mistral --enable-auto-tool-choice --tool-call-parser mistral "
        "--shutdown-timeout 60 --gpu-memory-utilization 0.9 --tensor-parallel-size 2 --served-model-name nemo chat "
        '--limit-mm-per-prompt {"image":2} --enable-lora --lora-modules sql=/lora/sql --no-enable-log-requests'.split()
    )
    assert (parsed.max_model_len, parsed.shutdown_timeout, parsed.served_model_name) == (32768, 60, ["nemo", "chat"])
    assert (parsed.lora_modules, parsed.limit_mm_per_prompt) == (["sql"], {"image": 2})


@pytest.mark.parametrize(
    "flags",
    [
        *("--swap-space 4", "--rope-scaling {}", "--task generate", "--max-model 8K", "--port x"),
        *("--dtype fp4", "--gpu-memory-utilization 1.5", "--enable-auto-tool-choice", "--lora-modules sql"),
        "--max-model-len 8KB",
    ],
)
def test_what_vllm_would_refuse_is_refused_with_code_2(flags: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        parse(["serve", MODEL, *flags.split()])
    assert exit.value.code == 2
    message = capsys.readouterr().err
    assert "vllm serve: error: " in message or "vllm: error: " in message
    assert flags.split()[0] in message


def test_no_flag_is_listed_twice() -> None:
    assert len({flag.name for flag in FLAGS}) == len(FLAGS)


@pytest.mark.parametrize(("text", "number"), [("4096", 4096), ("32K", 32768), ("32k", 32000), ("1.5k", 1500)])
def test_lengths_are_written_as_in_vllm(text: str, number: int) -> None:
    assert human_int(text) == number


def test_the_log_shows_what_was_set_and_no_key() -> None:
    parsed = parse(["serve", MODEL, "--seed", "7", "--enable-lora", "--dtype", "auto", "--api-key", "secret"])
    assert without_defaults(parsed) == {"model_tag": MODEL, "seed": 7, "enable_lora": True}
