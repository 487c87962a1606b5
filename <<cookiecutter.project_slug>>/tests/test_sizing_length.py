"""How long a request may be: as long as vLLM says of the same config.json and flags."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from capacity import memory, sources
from capacity.errors import SizingError
from capacity.flags import Flags
from capacity.length import length, limit
from capacity.model import Model

CONFIG: dict[str, Any] = {"num_hidden_layers": 10, "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 32000}
CONFIG |= {"num_attention_heads": 16, "num_key_value_heads": 4, "max_position_embeddings": 8192}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 4096}
LONG = {"rope_scaling": {"type": "longrope", "short_factor": [1.0]}, "original_max_position_embeddings": 4096}


def asked(config: dict[str, Any], **flags: Any) -> int:
    return length(Model.from_config(CONFIG | config), Flags.model_validate(flags))


@pytest.mark.parametrize(
    ("config", "tokens"),
    [
        ({}, 8192),
        ({"rope_scaling": YARN}, 16384),
        ({"rope_parameters": YARN}, 16384),
        ({"rope_parameters": {"full_attention": YARN, "sliding_attention": {"rope_type": "default"}}}, 16384),
        ({"rope_scaling": {"type": "yarn", "factor": 4}}, 32768),
        ({"rope_scaling": {"type": "linear", "factor": 4}}, 32768),
        ({"rope_scaling": {"rope_type": "dynamic", "factor": 2.0}}, 16384),
        ({"rope_scaling": {"rope_type": "llama3", "factor": 8.0}}, 8192),
        ({"rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]}}, 8192),
        ({"rope_scaling": {"type": "linear", "factor": 8}, "model_type": "gemma3_text"}, 8192),
        ({"model_max_length": 131072}, 131072),
    ],
    ids=str,
)
def test_positions_that_are_scaled_make_a_longer_request(config: dict[str, Any], tokens: int) -> None:
    assert limit(Model.from_config(CONFIG | config)) == asked(config) == tokens


def test_long_rope_is_used_only_when_it_is_asked_for() -> None:
    assert (asked(LONG), asked(LONG, max_model_len=8192)) == (4096, 8192)


@pytest.mark.parametrize("given", ["auto", "-1"])
def test_auto_is_the_limit_or_what_fits(given: str) -> None:
    model, flags = Model.from_config(CONFIG), Flags.model_validate({"max_model_len": given, "max_num_seqs": 8})
    assert length(model, flags) == memory.size(model, flags, 24.0).max_model_len == 8192
    assert memory.size(model, flags, 1.86).max_model_len < 8192


def test_more_than_the_limit_is_refused_as_vllm_does() -> None:
    with pytest.raises(SizingError, match=r"--max-model-len 8,193 is more than the 8,192 .*; give 8192 or less"):
        asked({}, max_model_len=8193)
    longer = json.dumps({"rope_parameters": YARN | {"rope_theta": 1e6}})
    with pytest.raises(SizingError, match="--hf-overrides with rope_parameters"):
        memory.size(Model.from_config(CONFIG), Flags.model_validate({"hf_overrides": longer}), 24.0)
    assert asked({}, max_model_len=16384, hf_overrides=longer) == 16384


def test_a_limit_for_sentences_counts_for_an_encoder(tmp_path: Path) -> None:
    encoder = CONFIG | {"model_type": "bert", "max_position_embeddings": 512}
    (tmp_path / "config.json").write_text(json.dumps(encoder), "utf-8")
    (tmp_path / "sentence_bert_config.json").write_text('{"max_seq_length": 256}', "utf-8")
    fit = memory.size(sources.read_model(str(tmp_path)), Flags.model_validate({}), 24.0)
    assert (fit.max_model_len, fit.requests) == (256, 8)
