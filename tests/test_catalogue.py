"""What the template knows about a model: each block of models/ is whole, fits its card, and is rendered as it says.

No test here bakes a project for each model: single files are rendered, see `rendered`.
"""

from __future__ import annotations

import json
import re
import shlex
from functools import cache
from html import unescape
from itertools import chain
from typing import Any, Literal, get_args

import jinja2
import pytest
import yaml
from dstack._internal.core.models.configurations import ServiceConfiguration, parse_apply_configuration
from dstack._internal.core.models.resources import GPUSpec
from pydantic import BaseModel, ConfigDict, Field, model_validator

import template_names as names
from sandbox.engine.flags import human_int, parse
from sandbox.engine.pooling import ranks
from sandbox.engine.speech import hears
from template_catalogue import (
    catalogue,
    checkpoints,
    kind_of,
    known_model,
    machines,
    model_files,
    refused_model,
    refused_precision,
)
from tests.rendered import Bake, engine_words, files, rendered

Precision = Literal["published", "fp8", "4bit"]
Format = Literal["fp32", "fp16", "bf16", "fp8", "awq", "mxfp4", "nvfp4", "w4a16"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
CATALOGUE = catalogue()
CHECKPOINTS = checkpoints()
KNOWN = CATALOGUE | CHECKPOINTS
SERVED = [(model, precision) for model, entry in CATALOGUE.items() for precision in entry["gpu"]]
CHATS = [(model, precision) for model, precision in SERVED if kind_of(CATALOGUE[model]) == "chat"]
OTHERS = [(model, precision) for model, precision in SERVED if "kind" in CATALOGUE[model]]
ENCODERS = [served for served in OTHERS if CATALOGUE[served[0]]["config"]["model_type"] == "xlm-roberta"]
WITH_KV_CACHE = [served for served in (*CHATS, *OTHERS) if served not in ENCODERS]
SERVICE = "dstack/service.dstack.yml"
BITS = {"bf16": (15.8, 16.2), "fp8": (8, 10), "awq": (4, 6), "mxfp4": (4, 6), "nvfp4": (4, 8), "w4a16": (4, 6)}
BITS |= {"fp32": (31.6, 32.4), "fp16": (15.8, 16.2)}

SMALLEST_GIB: dict[str, float] = {}  # GPU memory that torch sees on the smallest card, by what it is sold with
for card in sorted(machines("cards"), key=lambda card: card["gib"], reverse=True):
    SMALLEST_GIB[str(card["memory"])] = card["gib"]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Gpu(Strict):
    memory: str = Field(pattern=r"^\d+GB\.\.(\d+GB)?$")
    compute_capability: float
    count: int = 1
    context: str | None = None
    max_num_seqs: int | None = None
    flags: list[str] = []
    checkpoint: str | None = None
    numbers: Format | None = None
    weights_gib: float | None = None
    quantization_config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def check(self) -> Gpu:
        parts = (self.weights_gib, self.quantization_config)
        assert all((part is not None) == (self.checkpoint is not None) for part in parts), (
            "of a checkpoint, and of no other"
        )
        return self


class Entry(Strict):
    """A block of models/, as its README says."""

    kind: Literal["embeddings", "reranking", "transcription"] | None = None
    engine: Literal["vllm", "vllm-omni"]
    parameters: float
    published: Format
    weights_gib: float
    picture_gib: float | None = None
    gated: bool
    licence: str
    tool_parser: str | None = None  # tests/vllm/test_parsers.py asks vLLM whether it has them
    reasoning_parser: str | None = None
    sees: bool = False
    flags: list[str] = []
    gpu: dict[Precision, Gpu]
    config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def check(self) -> Entry:
        reads = self.engine == "vllm"
        assert reads == (self.config is not None), "sizing needs `config` of a model of vLLM, and of no other"
        assert reads == (self.picture_gib is None), "offers need `picture_gib` of a model that draws, and of no other"
        assert all(reads == (gpu.context is not None) for gpu in self.gpu.values()), "a model of vLLM has a context"
        assert reads or self.kind is None
        assert (self.kind in ("embeddings", "reranking")) == ("--runner pooling" in self.flags)
        assert "published" in self.gpu
        assert "fp8" not in self.gpu or self.published == "bf16", "what is quantised is not quantised again"
        assert "4bit" not in self.gpu or self.gpu["4bit"].checkpoint, "vLLM makes no weights of 4 bits while it loads"
        assert "checkpoint" not in self.gpu["published"].model_fields_set
        return self


@cache
def service(model_id: str, precision: str) -> tuple[ServiceConfiguration, list[str]]:
    """The service of a model as dstack reads it, and the words of its engine's command."""
    text = rendered(SERVICE, model_id, precision)
    configuration = parse_apply_configuration(yaml.safe_load(text))
    assert isinstance(configuration, ServiceConfiguration)
    return configuration, engine_words(text)


def test_there_are_many_models() -> None:
    assert len(CATALOGUE) >= 40
    assert len(CHECKPOINTS) >= 20


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_an_entry_is_whole_and_has_no_unknown_key(model_id: str) -> None:
    Entry.model_validate(CATALOGUE[model_id])


def test_no_model_is_in_the_catalogue_twice() -> None:
    """YAML and the union of the files would let the last one win."""
    texts = [file.read_text("utf-8") for file in model_files()]
    ids = chain.from_iterable(re.findall(r"^(?:| +checkpoint: )(\S+/\S+?):?$", text, re.M) for text in texts)
    assert sorted(ids) == sorted([*CATALOGUE, *CHECKPOINTS])


@pytest.mark.parametrize("model_id", KNOWN)
def test_parameters_and_weights_are_of_one_model(model_id: str) -> None:
    """A typing error in either shows; what is quantised keeps embeddings, scales and more in 16 bits."""
    entry = KNOWN[model_id]
    low, high = BITS[entry["published"]]
    assert low < entry["weights_gib"] * 2**30 * 8 / (entry["parameters"] * 1e9) < high


@pytest.mark.parametrize("model_id", KNOWN)
def test_the_size_in_a_models_name_is_its_size(model_id: str) -> None:
    """A block that was copied and has the numbers of another model shows. A mixture's name may leave experts out.

    A model that draws is named by the part that draws, without the one that reads the prompt.
    """
    named = names.billions(model_id)
    if named is not None and kind_of(KNOWN[model_id]) != "pictures":
        assert KNOWN[model_id]["parameters"] == pytest.approx(named, rel=0.12)


@pytest.mark.parametrize(("model_id", "precision"), SERVED)
def test_a_model_of_the_catalogue_is_served_as_it_says(model_id: str, precision: str) -> None:
    entry, (configuration, words) = CATALOGUE[model_id], service(model_id, precision)
    wanted, said = entry["gpu"][precision], " ".join(words)
    assert said.startswith(f"vllm serve {wanted.get('checkpoint', model_id)} ")
    for flag in entry.get("flags", []) + wanted.get("flags", []):
        assert f" {' '.join(shlex.split(flag))} " in said
    assert ("--quantization fp8" in said) == (precision == "fp8" and "checkpoint" not in wanted)
    assert ("HF_TOKEN" in configuration.env.as_dict()) == entry["gated"]
    gpu = configuration.resources.gpu
    asked = GPUSpec.model_validate({key: wanted[key] for key in ("memory", "compute_capability")})
    assert gpu is not None
    assert (gpu.memory, gpu.compute_capability) == (asked.memory, asked.compute_capability)
    assert gpu.count.min == gpu.count.max == wanted.get("count", 1)


@pytest.mark.parametrize(("model_id", "precision"), CHATS)
def test_the_engine_takes_the_command_line(model_id: str, precision: str) -> None:
    entry, (configuration, words) = CATALOGUE[model_id], service(model_id, precision)
    wanted, flags = entry["gpu"][precision], parse(words[1:])
    assert configuration.model is not None
    assert configuration.model.name == flags.model_tag, "callers and the probe ask for the model that is served"
    assert f'"model": "{flags.model_tag}"' in rendered(SERVICE, model_id, precision)
    assert flags.max_model_len == human_int(wanted["context"])
    assert flags.max_num_seqs == wanted.get("max_num_seqs", 128)
    assert flags.tensor_parallel_size == wanted.get("count", 1)
    assert flags.reasoning_parser == entry.get("reasoning_parser")
    assert flags.tool_call_parser == entry.get("tool_parser")
    assert flags.enable_auto_tool_choice == ("tool_parser" in entry)
    assert flags.max_model_len <= text_part(entry["config"])["max_position_embeddings"]


@pytest.mark.parametrize(("model_id", "precision"), OTHERS)
def test_the_engine_takes_the_command_line_of_a_model_that_does_not_chat(model_id: str, precision: str) -> None:
    entry, (configuration, words) = CATALOGUE[model_id], service(model_id, precision)
    flags = parse(words[1:])
    assert configuration.model is None, "dstack's key is for chats"
    [probe] = configuration.probes or []
    asked = {"embeddings": "/v1/embeddings", "reranking": "/v1/rerank", "transcription": "/health"}
    assert probe.url == asked[entry["kind"]]
    assert json.loads(probe.body or "{}").get("model", model_id) == flags.model_tag == model_id
    assert flags.runner == ("auto" if entry["kind"] == "transcription" else "pooling")
    assert hears(model_id) == (entry["kind"] == "transcription")
    assert flags.max_model_len == human_int(entry["gpu"][precision]["context"])
    assert flags.max_model_len <= entry["config"].get("max_position_embeddings", 448)
    assert flags.max_num_seqs == 128
    assert not flags.enable_auto_tool_choice
    assert ranks(flags.model_tag, flags.hf_overrides) == (entry["kind"] == "reranking")
    environment = yaml.safe_load(rendered("environments/sandbox.yml", model_id, precision))["service"]["env"]
    length = entry["config"]["hidden_size"] if entry["kind"] == "embeddings" else None
    assert environment.get("SANDBOX_EMBEDDING_LENGTH") == length


MAKERS_PROMPT = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and the Instruct "
    'provided. Note that the answer can only be "yes" or "no".<|im_end|>\n<|im_start|>user\n<Instruct>: {instruction}\n'
    "<Query>: Q?\n<Document>: D.<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
)


@pytest.mark.parametrize("size", ["0.6B", "4B", "8B"])
def test_a_reranker_of_qwen_reads_what_its_makers_write(size: str) -> None:
    """With another prompt the order is wrong, without a word."""
    model_id = f"Qwen/Qwen3-Reranker-{size}"
    flags = parse(service(model_id, "published")[1][1:])
    messages = [{"role": "query", "content": "Q?"}, {"role": "document", "content": "D."}]
    template = jinja2.Environment(autoescape=True).from_string(flags.chat_template)
    usual = "Given a web search query, retrieve relevant passages that answer the query"
    assert unescape(template.render(messages=messages)) == MAKERS_PROMPT.format(instruction=usual)
    assert "<Instruct>: Code\n" in unescape(template.render(messages=messages, instruction="Code"))
    assert flags.hf_overrides["classifier_from_token"] == ["no", "yes"]
    assert flags.hf_overrides["is_original_qwen3_reranker"] is True


@pytest.mark.parametrize(("model_id", "precision"), SERVED)
def test_a_checkpoint_can_be_named_itself(model_id: str, precision: str) -> None:
    chosen = known_model(model_id, precision)
    if chosen["id"] != model_id:
        assert known_model(chosen["id"], "published") == chosen


def size(capacity: Any, model_id: str, precision: str) -> Any:
    """How the model fits the smallest card that its service asks for, as `inv size` computes it."""
    known = known_model(model_id, precision)
    written = capacity.flags.service_flags(yaml.safe_load(rendered(SERVICE, model_id, precision)))
    model = capacity.model.Model.from_config(known["config"], known["weights_gib"])
    smallest = capacity.cards.card_with(SMALLEST_GIB[known["memory"].split("GB")[0]], known["count"])
    return capacity.memory.size(
        model, capacity.flags.Flags.model_validate(written), smallest.gib, smallest.count, smallest.name
    )


@pytest.mark.parametrize(("model_id", "precision"), WITH_KV_CACHE)
def test_two_requests_of_full_length_fit_on_the_smallest_card(capacity: Any, model_id: str, precision: str) -> None:
    fit = size(capacity, model_id, precision)
    assert fit.requests >= 2
    assert not fit.too_many_seqs, "vLLM would not start"


@pytest.mark.parametrize(("model_id", "precision"), ENCODERS)
def test_an_encoder_reads_a_request_of_full_length_on_the_smallest_card(
    capacity: Any, model_id: str, precision: str
) -> None:
    """vLLM makes no KV cache for it, and loads half of what a checkpoint in fp32 has."""
    fit = size(capacity, model_id, precision)
    assert (fit.requests, fit.kv_cache_tokens, fit.fits) == (1, 0, True)
    assert fit.weights_gib == CATALOGUE[model_id]["weights_gib"] / 2


@pytest.mark.parametrize(("model_id", "precision"), OTHERS)
def test_counted_parameters_are_those_that_the_maker_states(capacity: Any, model_id: str, precision: str) -> None:
    entry = CATALOGUE[model_id]
    counted = capacity.weights.weights_gib(capacity.model.Model.from_config(entry["config"])) * 2**30 / 2
    assert counted == pytest.approx(entry["parameters"] * 1e9, rel=0.005)


@pytest.mark.parametrize("model_id", ["Qwen/Qwen3-8B", "Qwen/Qwen3.8-27B-FP8", "openai/gpt-oss-20b"])
def test_a_generated_repository_carries_its_own_model_alone(baked: Bake, model_id: str) -> None:
    rendering = files(baked(model_id=model_id))
    rendering.pop("capacity/README.md")  # has another model for an example, and a table of many
    texts = "".join(rendering.values())
    assert [other for other in KNOWN if re.search(rf"{re.escape(other)}(?![\w.-])", texts) and other != model_id] == []


def test_a_quantised_checkpoint_is_what_the_whole_repository_speaks_of(baked: Bake) -> None:
    answers = {"project_name": "Qwen", "project_slug": "qwen"}
    chosen = files(baked(model_id="Qwen/Qwen3.6-27B", precision="4bit", **answers))
    assert chosen == files(baked(model_id="nvidia/Qwen3.6-27B-NVFP4", **answers))
    texts = "".join(chosen.values())
    assert "nvidia/Qwen3.6-27B-NVFP4" in texts
    assert "Qwen/Qwen3.6-27B" not in texts


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The numbers of the part that writes."""
    text: dict[str, Any] = config.get("text_config", config)
    return text


@pytest.mark.parametrize("model_id", KNOWN)
def test_only_precisions_that_the_catalogue_has_are_served(model_id: str) -> None:
    served = [precision for precision in PRECISIONS if refused_precision(model_id, precision) is None]
    assert set(served) == set(KNOWN[model_id]["gpu"])


@pytest.mark.parametrize("model_id", [*KNOWN, "somebody/Unknown-70B"])
def test_sizing_gets_the_numbers_of_the_model(model_id: str) -> None:
    numbers = json.loads(rendered("capacity/model.json", model_id))
    entry = KNOWN.get(model_id, {"config": None, "weights_gib": None})
    of_its_kind = {"kind": entry.get("kind", "chat"), "config": entry.get("config")}
    if "picture_gib" in entry:
        of_its_kind = {"kind": "pictures", "picture_gib": entry["picture_gib"]}
    assert numbers == {"model": model_id, "weights_gib": entry["weights_gib"]} | of_its_kind


@pytest.mark.parametrize("model_id", KNOWN)
def test_a_known_model_is_not_refused_whatever_its_name_says(model_id: str) -> None:
    assert refused_model(model_id) is None
    assert refused_model(model_id.upper()) == ("is spelt differently on Hugging Face", model_id)


@pytest.mark.parametrize(("model_id", "precision"), SERVED)
def test_the_catalogue_asks_for_cards_with_a_price(model_id: str, precision: str) -> None:
    assert known_model(model_id, precision)["expensive_price"] > 0


@pytest.mark.parametrize("model_id", [model_id for model_id, entry in CATALOGUE.items() if "picture_gib" in entry])
def test_a_picture_fits_on_the_smallest_card(model_id: str) -> None:
    entry = CATALOGUE[model_id]
    smallest = entry["gpu"]["published"]["memory"].split("GB")[0]
    assert entry["weights_gib"] < entry["picture_gib"] < SMALLEST_GIB[smallest]
