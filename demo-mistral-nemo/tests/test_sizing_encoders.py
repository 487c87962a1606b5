"""Sizing of encoders, which have no KV cache, and of models of speech, on numbers small enough to check by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from capacity import memory, sources
from capacity.attention import Layer, layers
from capacity.errors import SizingError
from capacity.flags import Flags
from capacity.kv_cache import KVCache
from capacity.model import GIB, Model
from capacity.weights import weights_gib

ENCODER: dict[str, Any] = {"model_type": "xlm-roberta", "num_hidden_layers": 10, "hidden_size": 1024}
ENCODER |= {"num_attention_heads": 16, "intermediate_size": 4096, "vocab_size": 32000, "max_position_embeddings": 8194}
SPEECH: dict[str, Any] = {"model_type": "whisper", "d_model": 1024, "encoder_layers": 8, "decoder_layers": 2}
SPEECH |= {"num_hidden_layers": 8, "encoder_attention_heads": 16, "decoder_attention_heads": 16, "num_mel_bins": 128}
SPEECH |= {"encoder_ffn_dim": 4096, "decoder_ffn_dim": 4096, "vocab_size": 50000, "is_encoder_decoder": True}
SPEECH |= {"max_source_positions": 1500, "max_target_positions": 448}
LAYER = 4 * 1024**2 + 2 * 1024 * 4096


def size(config: dict[str, Any], gib: float = 24.0, published: float | None = None, **flags: Any) -> memory.Fit:
    return memory.size(Model.from_config(config, published), Flags.model_validate(flags), gib)


def bytes_of(config: dict[str, Any], published: float | None = None, **flags: Any) -> float:
    return weights_gib(Model.from_config(config, published), **flags) * GIB


def test_an_encoder_has_no_kv_cache_and_reads_a_batch_at_once() -> None:
    fit = size(ENCODER)
    assert (fit.kv_cache_gib, fit.kv_cache_blocks, fit.kv_cache_tokens) == (0.0, 0, 0)
    assert (fit.max_model_len, fit.requests, fit.fits) == (8192, 1, True)
    assert size(ENCODER, max_model_len=512).requests == 4
    assert size(ENCODER, max_model_len=512, max_num_batched_tokens=8192).requests == 16
    assert size(ENCODER, max_model_len=512, max_num_batched_tokens=8192, max_num_seqs=8).requests == 8


def test_an_encoder_that_leaves_nothing_does_not_fit() -> None:
    assert not size(ENCODER, gib=1.5).fits
    assert not size(ENCODER, tp=2).fits


def test_an_encoders_weights_are_its_layers_words_and_positions() -> None:
    assert bytes_of(ENCODER) == 2 * (10 * LAYER + (32000 + 8192) * 1024)
    assert Model.from_config(ENCODER | {"model_type": "bert"}).max_position_embeddings == 8194


@pytest.mark.parametrize("name", ["torch_dtype", "dtype"])
def test_a_checkpoint_of_32_bits_is_loaded_with_16(name: str) -> None:
    assert bytes_of(ENCODER | {name: "float32"}, 3.0) == 1.5 * GIB
    assert bytes_of(ENCODER | {name: "float16"}, 3.0) == 3.0 * GIB
    quantised = {name: "float32", "quantization_config": {"quant_method": "fp8"}}
    assert bytes_of(ENCODER | quantised, 3.0) == 3.0 * GIB


@pytest.mark.parametrize("number_type", ["float32", "float"])
def test_numbers_of_32_bits_by_a_flag_are_refused(number_type: str) -> None:
    with pytest.raises(ValueError, match=f"sizing does not know what --dtype {number_type} changes"):
        size(ENCODER, dtype=number_type)
    assert size(ENCODER, dtype="half").fits


def test_a_recording_takes_room_in_each_layer_that_writes() -> None:
    kept = 2 * 16 * 64 * 2  # bytes of a token or of a position of the recording
    assert layers(Model.from_config(SPEECH), 2, 1) == {Layer(kept, None): 2, Layer(kept, None, 1500): 2}
    cache = memory.kv_cache(Model.from_config(SPEECH), Flags.model_validate({}), 1.0, 2048)
    assert cache.blocks == GIB // (2 * 16 * kept)
    assert cache.needed(448) == 28 + 94
    assert size(SPEECH, max_num_seqs=16).requests == 16
    assert size(SPEECH, max_num_seqs=16).max_model_len == 448


def test_a_model_of_speech_starts_with_room_for_a_recording_of_a_whole_batch() -> None:
    def holds(blocks: int) -> bool:
        kept = Counter({Layer(4096, None): 2, Layer(4096, None, 1500): 2})
        return KVCache(kept, blocks * 2 * 16 * 4096 / GIB, 4096, batch=2048).holds(448)

    assert [holds(28 + 128 + spare) for spare in (0, 1)] == [False, True]


def test_the_weights_of_a_model_of_speech_are_those_that_hear_and_those_that_write() -> None:
    writing, positions, sounds = 2 * (LAYER + 4 * 1024**2), (448 + 1500) * 1024, 3 * 128 * 1024 + 3 * 1024**2
    assert bytes_of(SPEECH) == 2 * (8 * LAYER + writing + 50000 * 1024 + positions + sounds)
    assert bytes_of(SPEECH, quantization="fp8") == bytes_of(SPEECH) - 8 * LAYER - writing


def test_a_batch_is_no_longer_than_its_requests_and_as_long_as_a_prompt_that_is_not_cut() -> None:
    chat = ENCODER | {"model_type": "qwen3"}
    assert size(chat, max_num_seqs=1, max_model_len=512).overhead_gib < size(chat, max_num_seqs=1).overhead_gib
    whole = size(chat, max_num_seqs=4, enable_chunked_prefill=False)
    assert whole.overhead_gib > size(chat, max_num_seqs=4).overhead_gib


@pytest.mark.parametrize("kind", ["modernbert", "deberta-v2"])
def test_an_encoder_of_another_form_is_refused(tmp_path: Path, kind: str) -> None:
    (tmp_path / "config.json").write_text(json.dumps(ENCODER | {"model_type": kind}), "utf-8")
    with pytest.raises(SizingError, match=f"models of the type {kind}; take a card with room for twice its weights"):
        sources.read_model(str(tmp_path))


@pytest.mark.parametrize("lacking", ["decoder_layers", "max_source_positions", "num_mel_bins"])
def test_a_model_of_speech_without_its_numbers_is_refused_by_their_name(tmp_path: Path, lacking: str) -> None:
    config = {name: value for name, value in SPEECH.items() if name != lacking}
    (tmp_path / "config.json").write_text(json.dumps(config), "utf-8")
    with pytest.raises(SizingError) as refused:
        sources.read_model(str(tmp_path))
    assert lacking in str(refused.value)
    assert "\n" not in str(refused.value)


def test_another_model_with_encoder_and_decoder_is_refused() -> None:
    with pytest.raises(SizingError, match="is_encoder_decoder"):
        Model.from_config(ENCODER | {"model_type": "t5", "is_encoder_decoder": True})
