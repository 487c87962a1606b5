"""What follows from an answer: names from the model, a model from its page, one cloud's files, the summary."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from template_answers import AWS_REGIONS, edits, hub_id, nearest_region
from template_catalogue import catalogue, known_model, machines
from template_summary import summary
from template_text import service_name, valid_slug
from tests.rendered import ROOT, Bake, files

NAMES = {
    "mistralai/Mistral-Nemo-Instruct-2407": ("Mistral Nemo", "mistral-nemo"),
    "mistralai/Mistral-Small-3.2-24B-Instruct-2506": ("Mistral Small 3.2 24B", "mistral-small-3-2-24b"),
    "meta-llama/Llama-3.1-8B-Instruct": ("Llama 3.1 8B", "llama-3-1-8b"),
    "RedHatAI/Llama-3.3-70B-Instruct-FP8-dynamic": ("Llama 3.3 70B", "llama-3-3-70b"),
    "google/gemma-3-12b-it": ("Gemma 3 12B", "gemma-3-12b"),
    "openai/gpt-oss-20b": ("GPT OSS 20B", "gpt-oss-20b"),
    "Qwen/Qwen3-14B-AWQ": ("Qwen3 14B", "qwen3-14b"),
    "Qwen/Qwen3-30B-A3B": ("Qwen3 30B A3B", "qwen3-30b-a3b"),
    "Qwen/Qwen3.8-27B-FP8": ("Qwen3.8 27B", "qwen3-8-27b"),
    "nvidia/NVIDIA-Nemotron-3-Nano-30B-A3B-BF16": ("NVIDIA Nemotron 3 Nano 30B A3B", "nvidia-nemotron-3-nano-30b-a3b"),
    "mistralai/Mistral-Small-4-119B-2603": ("Mistral Small 4 119B", "mistral-small-4-119b"),
    "Tongyi-MAI/Z-Image-Turbo": ("Z Image Turbo", "z-image-turbo"),
    "black-forest-labs/FLUX.1-schnell": ("FLUX.1 Schnell", "flux-1-schnell"),
    "deepseek-ai/DeepSeek-R1-Distill-Qwen-14B": ("DeepSeek R1 Distill Qwen 14B", "deepseek-r1-distill-qwen-14b"),
    # not in the catalogue
    "somebody/Chat-7B": ("Chat 7B", "chat-7b"),
    "somebody/7B": ("7B", "model-7b"),
    "01-ai/Yi-34B-Chat": ("Yi 34B", "yi-34b"),
    "_1/2": ("2", "model-2"),
    "x/no": ("NO", "model-no"),
    "x/true": ("True", "model-true"),
    "x/y": ("Y", "model-y"),
    "x/_": ("Service", "service"),
    "tiiuae/falcon-7b-instruct": ("Falcon 7B", "falcon-7b"),
    "nvidia/Llama-3_1-Nemotron-Ultra-253B-v1-FP8": (
        "Llama 3 1 Nemotron Ultra 253B V1",
        "llama-3-1-nemotron-ultra-253b-v1",
    ),
    "unsloth/Qwen2.5-Coder-32B-Instruct-bnb-4bit": ("Qwen2.5 Coder 32B BNB", "qwen2-5-coder-32b-bnb"),
    "a/very-long-name-of-a-model-that-never-seems-to-end-8b": (
        "Very Long Name OF A Model That",
        "very-long-name-of-a-model-that",
    ),
    "a/" + "m" * 96: ("M" + "m" * 31, "m" * 32),
    "a/1" + "m" * 95: ("1" + "M" * 31, "model-1" + "m" * 25),
}


@pytest.mark.parametrize(("model_id", "names"), NAMES.items(), ids=lambda value: str(value)[:40])
def test_name_and_short_name_follow_from_the_model(model_id: str, names: tuple[str, str]) -> None:
    context = {"model_id": model_id}
    assert _asked("project_name", context) == names[0]
    assert _asked("project_slug", context | {"project_name": names[0]}) == names[1]


@pytest.mark.parametrize("model_id", [*catalogue(), *NAMES])
def test_every_model_has_a_short_name_that_dstack_takes(model_id: str) -> None:
    name = service_name(model_id)
    assert 0 < len(name) <= 32
    slug = _asked("project_slug", {"project_name": name})
    assert re.fullmatch(r"(?!.*--)[a-z][a-z0-9-]{0,30}[a-z0-9]", slug)
    assert isinstance(yaml.safe_load(slug), str)
    assert valid_slug(slug) == slug


def test_a_name_in_another_script_has_a_short_name_too() -> None:
    assert _asked("project_slug", {"project_name": "日本語"}) == "ri-ben-yu"
    assert _asked("project_slug", {"project_name": "🚀"}) == "model"


def _asked(question: str, answers: dict[str, str]) -> str:
    """The default that cookiecutter offers for a question after these answers."""
    from cookiecutter.utils import create_env_with_context

    questions = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
    environment = create_env_with_context({"cookiecutter": questions})
    return str(environment.from_string(questions[question]).render(cookiecutter=answers))


@pytest.mark.parametrize(
    "pasted",
    [
        "https://huggingface.co/Qwen/Qwen3-8B",
        "https://huggingface.co/Qwen/Qwen3-8B/",
        "https://huggingface.co/Qwen/Qwen3-8B/tree/main",
        "https://huggingface.co/Qwen/Qwen3-8B?library=vllm",
        "https://huggingface.co/Qwen/Qwen3-8B/blob/main/config.json?x=1#L2",
        "https://huggingface.co/Qwen/Qwen3-8B#usage",
        "http://www.huggingface.co/Qwen/Qwen3-8B",
        "huggingface.co/Qwen/Qwen3-8B",
        "https://hf.co/Qwen/Qwen3-8B",
        " https://huggingface.co/Qwen/Qwen3-8B ",
        "Qwen/Qwen3-8B",
    ],
)
def test_the_page_of_a_model_is_understood(pasted: str) -> None:
    assert hub_id(pasted) == "Qwen/Qwen3-8B"


@pytest.mark.parametrize(
    "pasted",
    [
        "https://huggingface.co/datasets/somebody/data",
        "https://huggingface.co/spaces/somebody/demo",
        "https://huggingface.co/Qwen",
        "https://example.com/Qwen/Qwen3-8B",
        "https://huggingface.co.example.com/Qwen/Qwen3-8B",
    ],
)
def test_another_page_is_not_taken_for_a_model(pasted: str) -> None:
    assert hub_id(pasted) == pasted


def test_a_pasted_page_renders_what_the_id_renders(baked: Bake) -> None:
    project = baked(model_id="https://huggingface.co/Qwen/Qwen3-8B/tree/main")
    assert project.name == "qwen3-8b"
    assert files(project) == files(baked(model_id="Qwen/Qwen3-8B"))


@pytest.mark.parametrize(
    ("typed", "meant", "errors"),
    [("us-esat-1", "us-east-1", 1), ("us-east1", "us-east-1", 1), ("us-east--1", "us-east-1", 1), ("", "ab", 2)],
)
def test_two_swapped_characters_are_one_error(typed: str, meant: str, errors: int) -> None:
    assert edits(typed, meant) == edits(meant, typed) == errors


def test_each_region_with_two_swapped_letters_is_the_nearest_to_itself() -> None:
    for region in AWS_REGIONS:
        typed = region.replace("-", "#", 1)
        start = typed.index("#") + 1
        swapped = region[:start] + region[start + 1] + region[start] + region[start + 2 :]
        assert nearest_region(swapped) == region
    assert nearest_region("Frankfurt") == "us-east-1"


@pytest.mark.parametrize(("only", "other"), [("runpod", r"vast"), ("vastai", r"runpod")])
@pytest.mark.parametrize("model_id", ["mistralai/Mistral-Nemo-Instruct-2407", "Tongyi-MAI/Z-Image-Turbo"])
def test_who_rents_from_one_cloud_is_not_told_of_the_other(baked: Bake, only: str, other: str, model_id: str) -> None:
    """README.md names both where it explains the sandbox."""
    rendered = files(baked(gpu_clouds=only, model_id=model_id))
    named = {name for name, text in rendered.items() if re.search(other, text, re.IGNORECASE)}
    assert {name for name in named if not name.endswith((".py", ".md")) and name != "requirements.txt"} == set()


def _summary(model_id: str, precision: str = "published") -> str:
    return summary(known_model(model_id, precision), model_id, machines("cards"))


def test_the_summary_of_a_known_model_has_card_price_context_and_licence() -> None:
    lines = _summary("mistralai/Mistral-Nemo-Instruct-2407").splitlines()
    assert lines[0] == (
        "mistralai/Mistral-Nemo-Instruct-2407 is in the template's catalogue: 12.25 billion parameters, served in bf16:"
    )
    assert [line.split()[0] for line in lines[1:]] == ["GPU:", "price:", "context:", "able", "licence:", "check:"]
    assert lines[1].endswith("1 card with 48 GB or more, such as L40S")
    assert "$0.90 an hour, $657 a month, at the expensive end of price lists of March to June 2026" in lines[2]
    assert lines[3].endswith("32K tokens")
    assert lines[4].endswith("chat, call tools")
    assert "Apache 2.0; gated: accept the terms at https://huggingface.co/mistralai/" in lines[5]
    assert "`inv size` shows how the model fits each card" in lines[6]
    assert "not gated" in _summary("Qwen/Qwen3-8B")


def test_the_summary_says_when_all_of_it_is_a_guess() -> None:
    guessed = _summary("somebody/Chat-120b")
    assert "is NOT in the template's catalogue. This is GUESSED from the size in its name, 120 billion" in guessed
    assert "4 cards, each with 80 GB or more" in guessed
    assert "$11.20 an hour, $8,176 a month" in guessed
    assert "inv size --config somebody/Chat-120b" in guessed
    assert "able to" not in guessed
    assert "its name has no size. All of this is GUESSED" in _summary("deepseek-ai/DeepSeek-R1")


def test_the_summary_names_the_checkpoint_that_is_served() -> None:
    lines = _summary("Qwen/Qwen3.8-27B", "fp8").splitlines()
    assert lines[0].endswith("served in fp8:")
    assert lines[1].split()[:2] == ["weights:", "Qwen/Qwen3.8-27B-FP8;"]
    assert "think before it answers" in "".join(lines)
    assert "read pictures" in _summary("google/gemma-4-31B-it")
    assert "`inv offers` says on which machines" in _summary("Qwen/Qwen-Image")


@pytest.mark.parametrize("model_id", catalogue())
def test_every_known_model_has_a_summary(model_id: str) -> None:
    said = _summary(model_id)
    assert "None" not in said
    assert "GUESSED" not in said
    assert catalogue()[model_id]["licence"] in said


def test_the_summary_is_shown_after_generation(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "cookiecutter", "--no-input", "--default-config", "-o", str(tmp_path), str(ROOT)]
    said = subprocess.run([*command, "precision=fp8"], capture_output=True, text=True, check=True, timeout=60).stdout
    assert _summary("mistralai/Mistral-Nemo-Instruct-2407", "fp8") in said
