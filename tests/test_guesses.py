"""What the template makes of a model that is not in the catalogue: its size, its machine, or a reason to refuse it."""

from __future__ import annotations

import pytest
import yaml
from dstack._internal.core.models.configurations import ServiceConfiguration, parse_apply_configuration

from sandbox.engine.flags import parse
from template_catalogue import CHAT, known_model, refused_model, refused_precision
from template_names import billions, bytes_per_parameter
from tests.rendered import engine_words, rendered

SERVICE = "dstack/service.dstack.yml"


def service(model_id: str) -> ServiceConfiguration:
    configuration = parse_apply_configuration(yaml.safe_load(rendered(SERVICE, model_id)))
    assert isinstance(configuration, ServiceConfiguration)
    return configuration


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Chat-7B", 7),
        ("chat-7b-instruct", 7),
        ("gemma2b", 2),
        ("Qwen3-0.6B", 0.6),
        ("gemma-3-270m-it", 0.27),
        ("Chat-1T", 1000),
        ("Mixtral-8x7B", 56),
        ("Qwen3-30B-A3B", 30),
        ("LFM2.5-8B-A1B", 8),
        ("A3B-30B-Chat", 30),
        ("gemma-4-E4B-it", 8),
        ("Qwen2.5-7B-Instruct-1M", 7),
        # no size, or one that leaves out what matters
        ("Chat", None),
        ("chat-v2base", None),
        ("DeepSeek-R1", None),
        ("Phi-3-medium-128k", None),
        ("Kimi-VL-A3B-Instruct", None),
        ("Llama-4-Scout-17B-16E-Instruct", None),
        ("Chat-70Bit", None),
    ],
)
def test_the_size_is_read_from_the_name(name: str, size: float | None) -> None:
    assert billions(f"70B-Labs/{name}") == size, "the organisation's name is none"


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("Chat-7B", None),
        ("Chat-7B-FP8-dynamic", 1.05),
        ("Chat-7B-GPTQ-Int8", 1.05),
        ("Chat-7B-w8a8", 1.05),
        ("Chat-7B-NVFP4", 0.95),
        ("Chat-7B-quantized.w4a16", 0.7),
        ("Chat-7B-AWQ", 0.7),
        ("Chat-7B-bnb-4bit", 0.7),
        ("Chat-7B-MXFP4", 0.7),
    ],
)
def test_the_number_format_is_read_from_the_name(name: str, size: float | None) -> None:
    assert bytes_per_parameter(f"fp8-labs/{name}") == size


@pytest.mark.parametrize(
    ("name", "precision", "memory", "count"),
    [
        ("Chat-7B", "published", "24GB..48GB", 1),
        ("chat-7b-instruct", "fp8", "24GB..48GB", 1),
        ("Chat-13B", "published", "48GB..96GB", 1),
        ("Chat-70B", "published", "141GB..", 2),
        ("Chat-70B", "fp8", "141GB..", 1),
        ("Chat-30B-A3B", "published", "80GB..", 1),
        ("Mixtral-8x7B", "published", "141GB..", 1),
        ("Chat-1.5B", "published", "24GB..48GB", 1),
        ("Chat-405B", "published", "141GB..", 8),
        ("Chat-480B", "published", "180GB..", 8),
        ("Chat-480B-FP8", "published", "141GB..", 8),
        ("Chat-70B-AWQ", "published", "80GB..", 1),
        ("Chat-70B-NVFP4", "published", "141GB..", 1),
        ("Chat-671B", "fp8", "141GB..", 8),
        ("Chat-1T", "fp8", "180GB..", 8),
        ("Chat", "published", "80GB..", 1),
        ("chat-v2base", "fp8", "80GB..", 1),
    ],
)
def test_an_unknown_model_gets_cards_for_the_size_in_its_name(
    name: str, precision: str, memory: str, count: int
) -> None:
    guess = known_model(f"somebody/{name}", precision)
    assert (guess["memory"], guess["count"]) == (memory, count)
    assert not guess["known"]
    assert guess["gated"]
    assert refused_model(f"somebody/{name}") is None
    assert refused_precision(f"somebody/{name}", precision) is None


NOT_SERVED = {
    "llama.cpp": ("unsloth/Qwen3-8B-GGUF", "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF", "somebody/Chat-8B.Q4_K_M"),
    "Apple's chips": ("mlx-community/Qwen3-8B-4bit", "somebody/Chat-8B-MLX-8bit"),
    "safetensors only": ("turboderp/Chat-8B-exl2", "onnx-community/Chat-8B-ONNX", "somebody/Chat-7B-int4-ov"),
    "adapter": ("somebody/sql-lora", "somebody/Chat-8B-QLoRA"),
    "drafts tokens": ("mistralai/Mistral-Small-4-119B-2603-eagle", "yuhuili/EAGLE3-LLaMA3.1-Instruct-8B"),
    "makes videos": ("Wan-AI/Wan2.2-T2V-A14B", "tencent/HunyuanVideo", "Lightricks/LTX-2.5-Diffusers", "x/Mochi"),
    "speech synthesis": ("hexgrad/Kokoro-82M", "Qwen/Qwen3-TTS-12Hz-1.7B", "suno/bark", "microsoft/VibeVoice-1.5B"),
    "makes sounds": ("facebook/musicgen-large", "stabilityai/stable-audio-open-1.0"),
    "does not write text": (
        "google-bert/bert-base-uncased",
        "FacebookAI/roberta-large",
        "openai/clip-vit-base-patch32",
    ),
}


@pytest.mark.parametrize(
    ("model_id", "why", "kind"),
    [
        ("jinaai/jina-reranker-m0", "puts documents in an order", "reranking"),
        ("intfloat/multilingual-e5-large", "computes embeddings", "embeddings"),
        ("sentence-transformers/all-mpnet-base-v2", "computes embeddings", "embeddings"),
        ("nomic-ai/nomic-embed-text-v1.5", "computes embeddings", "embeddings"),
        ("Qwen/Qwen3-ASR-1.7B", "turns speech into text", "transcription"),
        ("distil-whisper/distil-large-v3", "turns speech into text", "transcription"),
        ("nvidia/parakeet-tdt-0.6b-v2", "turns speech into text", "transcription"),
        ("somebody/FLUX.1-tuned", "seems to draw", "pictures"),
        ("krea/Krea-2-Turbo", "seems to draw", "pictures"),
    ],
)
def test_a_kind_that_is_served_is_refused_where_the_catalogue_does_not_have_the_model(
    model_id: str, why: str, kind: str
) -> None:
    """There is nothing to guess from; the refusal names the models of that kind that are known."""
    refused = refused_model(model_id)
    assert refused is not None
    assert why in refused[0]
    assert "only those in the template's README" in refused[0]
    examples = refused[1].split(", ")
    assert len(examples) > 1
    assert all(known_model(example, "published")["kind"] == kind for example in examples)


@pytest.mark.parametrize(
    ("model_id", "why"), [(model_id, why) for why, model_ids in NOT_SERVED.items() for model_id in model_ids]
)
def test_a_model_that_is_no_chat_is_refused_with_a_reason(model_id: str, why: str) -> None:
    refused = refused_model(model_id)
    assert refused is not None
    assert why in refused[0]
    assert refused[1] == CHAT
    assert refused_model(refused[1]) is None


@pytest.mark.parametrize(
    "model_id",
    [
        *("somebody/FluxLM-7B", "somebody/Imagery-7B", "somebody/Robert-7B", "somebody/Embedded-C-Coder-7B"),
        *("Qwen/Qwen2.5-VL-7B-Instruct", "meta-llama/Llama-Guard-4-12B", "mistralai/Voxtral-Small-24B-2507"),
        *("deepseek-ai/DeepSeek-OCR", "DAMO-NLP-SG/VideoLLaMA3-7B", "baidu/ERNIE-4.5-21B-A3B-PT", "somebody/Sam-I-7B"),
        *(
            "nvidia/Eagle2-9B",
            "microsoft/Phi-4-mini-instruct",
            "tiiuae/Falcon-H1-34B-Instruct",
            "x/Ovis2-8B",
            "a/Bge3B",
        ),
    ],
)
def test_what_writes_is_not_refused_for_its_name(model_id: str) -> None:
    assert refused_model(model_id) is None


@pytest.mark.parametrize("model_id", ["somebody/Chat-7B", "somebody/Chat"])
def test_an_unknown_model_has_no_precision_of_4_bits(model_id: str) -> None:
    assert "give its id as model_id" in (refused_precision(model_id, "4bit") or "")


def test_the_host_grows_with_its_gpus() -> None:
    """8 x 141 GB: a process a GPU, and 810 GB of weights to stream."""
    hosts = [service(f"somebody/Chat-{size}").resources for size in ("7B", "70B", "405B")]
    assert [(host.cpu.count.min, host.memory.min) for host in hosts] == [(4, 32), (8, 128), (32, 512)]


def test_a_guess_reserves_disk_for_the_weights_as_published() -> None:
    """fp8 is made while loading: the download has two bytes a parameter all the same."""
    published, fp8 = (known_model("somebody/Chat-70B", precision)["disk_gb"] for precision in ("published", "fp8"))
    assert fp8 == published > 70 * 2 + 30


def test_a_guessed_service_spreads_over_its_cards() -> None:
    resources = service("somebody/Chat-70B").resources
    assert parse(engine_words(rendered(SERVICE, "somebody/Chat-70B"))[1:]).tensor_parallel_size == 2
    assert resources.gpu is not None
    assert resources.gpu.count.min == 2


def test_the_first_screen_of_the_readme_says_how_to_be_sure() -> None:
    first = rendered("README.md", "somebody/Chat-70B").splitlines()[:15]
    assert any("is a guess" in line and "`inv size --config somebody/Chat-70B`" in line for line in first)
    assert "is a guess" not in rendered("README.md", "Qwen/Qwen3-8B")
