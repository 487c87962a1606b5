"""Which flags of `vllm serve` sizing reads from a service, what they change, and which ones it refuses."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from capacity import memory
from capacity.errors import SizingError, errors_at
from capacity.flags import Flags, service_flags
from capacity.model import Model
from capacity.weights import weights_gib

CONFIG: dict[str, Any] = {"num_hidden_layers": 10, "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 32000}
CONFIG |= {"num_attention_heads": 16, "num_key_value_heads": 4, "head_dim": 64, "max_position_embeddings": 8192}
VISION = {"depth": 4, "hidden_size": 512, "intermediate_size": 2048, "model_type": "qwen3_5", "spatial_merge_size": 2}
DRAFTS = CONFIG | {"num_nextn_predict_layers": 1}
MTP = {"method": "mtp", "num_speculative_tokens": 2}
# of a layer: attention and feed-forward layer; then what joins two vectors
LAYER_BYTES = (1024 * 64 * (2 * 16 + 2 * 4) + 3 * 1024 * 4096) * 2


def written(*lines: str, **env: str) -> Flags:
    return Flags.model_validate(service_flags({"commands": ["vllm serve a/b " + " \\\n  ".join(lines)], "env": env}))


def fit(config: dict[str, Any], gib: float = 24.0, gpu: str = "", **flags: Any) -> memory.Fit:
    return memory.size(Model.from_config(config), Flags.model_validate(flags), gib, 8, gpu)


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        ("--enforce-eager", "enforce_eager", True),
        ("--language-model-only", "language_model_only", True),
        ("--no-enable-prefix-caching", "enable_prefix_caching", False),
        ("--no-async-scheduling --max-num-seqs 4", "async_scheduling", False),
        ("--max-model-len -1", "max_model_len", "-1"),
        ("--block-size=32", "block_size", 32),
        ("--kv-cache-memory-bytes 4M", "kv_cache_memory_bytes", 4 * 2**20),
        ("--mamba-cache-mode all", "mamba_cache_mode", "all"),
        ("--max-num-seqs $SEQS", "max_num_seqs", 7),
        ("--kv-cache-memory-bytes 10G", "kv_cache_memory_bytes", 10 * 2**30),
        ("-tp 2", "tensor_parallel", 2),
        ("-tp=2", "tensor_parallel", 2),
        ("-q fp8", "quantization", "fp8"),
        ("--runner pooling", "pools", True),
    ],
)
def test_a_flag_is_read_with_and_without_a_value(line: str, name: str, value: Any) -> None:
    assert getattr(written(line, "--max-num-batched-tokens 512", SEQS="7"), name) == value
    assert written(line, "--max-num-batched-tokens 512", SEQS="7").max_num_batched_tokens == 512


@pytest.mark.parametrize(
    "lines",
    [
        ("""--speculative-config '{"method": "mtp", "num_speculative_tokens": 2}'""",),
        ("""--speculative-config='{"method":"mtp","num_speculative_tokens":2}'""",),
        ("--speculative-config.method mtp", "--speculative-config.num_speculative_tokens 2"),
    ],
)
def test_the_configuration_of_drafts_is_read_in_each_form(lines: tuple[str, ...]) -> None:
    found = written(*lines)
    assert found.speculative_config
    assert (found.speculative_config.method, found.drafted_tokens) == ("mtp", 2)


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"pipeline_parallel_size": "2"}, "--pipeline-parallel-size 2"),
        ({"decode_context_parallel_size": "8"}, "--decode-context-parallel-size 8"),
        ({"cpu_offload_gb": "10"}, "--cpu-offload-gb 10"),
        ({"enable_lora": "true"}, "--enable-lora"),
        ({"use_replayssm": "true"}, "--use-replayssm"),
        ({"performance_mode": "throughput"}, "--performance-mode throughput"),
        ({"spec_method": "eagle3"}, "--spec-method eagle3"),
        ({"quantization_config": "{}"}, "--quantization-config {}"),
        ({"disable_sliding_window": "true"}, "--disable-sliding-window changes"),
        ({"a_new_idea": "3"}, "--a-new-idea 3"),
        ({"speculative_config": '{"method": "dflash"}'}, "does not know what the method dflash takes"),
        ({"speculative_config": '{"model": "a/b"}'}, "does not know what a model that drafts takes"),
        ({"speculative_config": '{"method": "ngram"}'}, "needs num_speculative_tokens"),
        ({"speculative_config": "{"}, "Expecting property name"),
        ({"kv_cache_dtype": "nvfp4"}, "does not know the type nvfp4 of the KV cache"),
    ],
)
def test_a_flag_that_changes_the_memory_in_an_unknown_way_is_refused(flags: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        Flags.model_validate(flags)


def test_flags_that_change_nothing_are_taken() -> None:
    Flags.model_validate({"pipeline_parallel_size": "1", "cpu_offload_gb": "0", "enable_lora": "false", "port": "8000"})


@pytest.mark.parametrize(
    ("gib", "gpu", "batched", "seqs"),
    [(44.4, "L40S", 2048, 256), (79.18, "H100", 8192, 1024), (79.25, "A100", 2048, 256), (178.35, "B200", 16384, 1024)],
)
def test_the_defaults_of_a_batch_depend_on_the_gpu(gib: float, gpu: str, batched: int, seqs: int) -> None:
    found = fit(CONFIG, gib, gpu)
    assert found == fit(CONFIG, gib, gpu, max_num_batched_tokens=batched, max_num_seqs=seqs)
    assert found.max_num_seqs == seqs


@pytest.mark.parametrize(
    ("flags", "in_flight"),
    [
        ({}, 2),
        ({"async_scheduling": "false"}, 1),
        ({"speculative_config": {"method": "ngram", "num_speculative_tokens": 1}}, 1),
        ({"speculative_config": {"method": "ngram_gpu", "num_speculative_tokens": 1}}, 2),
    ],
)
def test_a_window_keeps_the_tokens_of_every_batch_at_work(flags: dict[str, Any], in_flight: int) -> None:
    sliding = CONFIG | {"layer_types": ["sliding_attention"] * 10, "sliding_window": 128}
    cache = memory.kv_cache(Model.from_config(sliding), Flags.model_validate(flags), 1.0, 256)
    assert cache.needed(8192) == -(-(127 + in_flight * 256) // 16) + 1


def test_layers_for_drafts_are_loaded_only_when_they_draft() -> None:
    plain, drafting = fit(DRAFTS), fit(DRAFTS, speculative_config=MTP)
    extra = (LAYER_BYTES + 2 * 1024 * 1024 * 2) / 2**30
    assert drafting.weights_gib - plain.weights_gib == pytest.approx(extra)
    published = Model.from_config(DRAFTS, 5.0)
    assert weights_gib(published, drafting=1) == 5.0
    assert weights_gib(published) == pytest.approx(5.0 - extra)


def test_a_drafter_of_its_own_is_a_layer_with_a_small_vocabulary() -> None:
    own = fit(CONFIG, speculative_config={"method": "eagle3", "num_speculative_tokens": 3}).weights_gib
    extra = (1024 * 64 * (3 * 16 + 4 * 4) + 3 * 1024 * 4096 + 3 * 1024 * 1024 + 32000 * 1024) * 2 / 2**30
    assert own - fit(CONFIG).weights_gib == pytest.approx(extra)


def test_a_model_for_text_alone_has_no_vision_tower() -> None:
    whole = fit(CONFIG | {"vision_config": VISION})
    text = fit(CONFIG | {"vision_config": VISION}, language_model_only=True)
    assert text == fit(CONFIG)
    assert whole.weights_gib - text.weights_gib == pytest.approx(4 * 512 * (4 * 512 + 2 * 2048) * 2 / 2**30)
    assert whole.overhead_gib - text.overhead_gib > 0.5  # 65,536 patches of a picture


def test_without_cuda_graphs_more_is_left() -> None:
    plain, eager = fit(CONFIG, max_num_seqs=8), fit(CONFIG, max_num_seqs=8, enforce_eager=True)
    assert plain.overhead_gib - eager.overhead_gib == pytest.approx(0.95)


def test_a_kv_cache_of_a_given_size_has_that_size() -> None:
    assert fit(CONFIG, kv_cache_memory_bytes=2**31).kv_cache_gib == 2.0


def test_a_kv_cache_that_a_card_has_no_room_for_does_not_fit() -> None:
    cache = 10 * 2**30
    fits = [fit(CONFIG, gib, max_num_seqs=8, kv_cache_memory_bytes=cache).fits for gib in (11.0, 12.0)]
    assert fits == [False, True]


@pytest.mark.parametrize("flag", ["-pp 2", "-dp 2", "-dcp 2", """-sc '{"model": "a/b"}'""", "-x 3"])
def test_a_short_flag_is_refused_like_its_long_name(flag: str) -> None:
    with pytest.raises(ValidationError, match="sizing does not know what"):
        written(flag)


def test_only_the_engines_own_words_are_its_flags() -> None:
    """A script around it has flags of other programs."""
    script = (
        "set -e\nuv pip install --system --quiet av\nvllm serve a/b \\\n  --max-num-seqs 7 \\\n  -tp 2 &\nwait -n --all"
    )
    assert service_flags({"commands": [script]}) == {"max_num_seqs": "7", "tensor_parallel_size": "2"}
    server = "exec python3 -m vllm.entrypoints.openai.api_server --model a/b --block-size 32"
    assert service_flags({"commands": [server]}) == {"model": "a/b", "block_size": "32"}
    assert service_flags({"commands": ["set -e", "./start --max-num-seqs 7"]}) == {"max_num_seqs": "7"}


@pytest.mark.parametrize("flags", [{"runner": "pooling"}, {"convert": "embed"}, {"convert": "classify"}])
def test_vectors_and_scores_need_no_head_and_no_sampler(flags: dict[str, Any]) -> None:
    writes, pools = fit(CONFIG, max_num_seqs=1024), fit(CONFIG, max_num_seqs=1024, **flags)
    assert writes.weights_gib - pools.weights_gib == pytest.approx(32000 * 1024 * 2 / 2**30)
    assert writes.overhead_gib > pools.overhead_gib + 0.4


@pytest.mark.parametrize(
    ("flags", "problem"),
    [
        ({"max_num_batched_tokens": 512, "max_num_seqs": 1024}, "512 is less than the 1024 sequences"),
        (
            {"max_num_batched_tokens": 512, "enable_chunked_prefill": False, "max_num_seqs": 8},
            "a request of 8192 tokens",
        ),
        ({"quantization": "fp8_per_block"}, "--quantization fp8_per_block makes"),
        ({"hf_overrides": '{"num_hidden_layers": 2}'}, "--hf-overrides with num_hidden_layers changes"),
        ({"hf_overrides": '{"text_config": {"vocab_size": 2}}'}, "--hf-overrides with vocab_size changes"),
    ],
)
def test_flags_with_which_vllm_does_not_start_or_that_are_not_known_are_refused(
    flags: dict[str, Any], problem: str
) -> None:
    with pytest.raises(SizingError, match=problem):
        fit(CONFIG, **flags)


def test_a_checkpoint_that_is_quantised_may_be_named_by_its_method() -> None:
    quantised = CONFIG | {"quantization_config": {"quant_method": "fp8"}}
    assert fit(quantised, quantization="fp8") == fit(quantised)
    assert fit(CONFIG, hf_overrides='{"architectures": ["X"]}') == fit(CONFIG)


@pytest.mark.parametrize("given", ["0", "many", "-3"])
def test_a_wrong_number_is_named_by_its_flag_alone(given: str) -> None:
    with pytest.raises(SizingError) as refused, errors_at("vLLM's flags"):
        Flags.model_validate({"max_model_len": given})
    assert str(refused.value).startswith(f"vLLM's flags: max_model_len '{given}': Input should be")
