"""What the template knows about a model, and what it guesses about a model that it doesn't know."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal, get_args

import pytest
import yaml
from dstack._internal.core.models.configurations import ServiceConfiguration, parse_apply_configuration
from dstack._internal.core.models.resources import GPUSpec
from pydantic import BaseModel, ConfigDict, Field, model_validator

from sandbox.engine.flags import human_int, parse
from template_catalogue import catalogue, known_model, machines, model_files, refused_model, refused_precision
from tests.rendered import Bake, engine_command, files

Precision = Literal["published", "fp8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
CATALOGUE = catalogue()
SERVED = [(model, precision) for model, entry in CATALOGUE.items() for precision in entry["gpu"]]
CHATS = [(model, precision) for model, precision in SERVED if CATALOGUE[model]["engine"] == "vllm"]
# As vLLM 0.29 registers them: vllm/tool_parsers, vllm/reasoning. Its argument parser lets a wrong name pass.
ToolParser = Literal["hermes", "llama3_json", "mistral", "openai", "pythonic"]
ReasoningParser = Literal["deepseek_r1", "mistral", "openai_gptoss", "qwen3"]

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
    flags: list[str] = []


class Entry(Strict):
    """A block of models/, as its README says."""

    engine: Literal["vllm", "vllm-omni"]
    parameters: float
    published: Literal["bf16", "fp8", "awq", "mxfp4"]
    weights_gib: float
    picture_gib: float | None = None
    gated: bool
    licence: str
    tool_parser: ToolParser | None = None
    reasoning_parser: ReasoningParser | None = None
    flags: list[str] = []
    gpu: dict[Precision, Gpu]
    config: dict[str, Any] | None = None

    @model_validator(mode="after")
    def check(self) -> Entry:
        chat = self.engine == "vllm"
        assert chat == (self.config is not None), "sizing needs `config` of a chat model, and of no other"
        assert chat == (self.picture_gib is None), "offers need `picture_gib` of a model that draws, and of no other"
        assert all(chat == (gpu.context is not None) for gpu in self.gpu.values()), "a chat model has a context"
        assert "published" in self.gpu
        assert "fp8" not in self.gpu or self.published == "bf16", "what is quantised is not quantised again"
        return self


def service(project: Path) -> ServiceConfiguration:
    configuration = parse_apply_configuration(yaml.safe_load((project / "dstack" / "service.dstack.yml").read_text()))
    assert isinstance(configuration, ServiceConfiguration)
    return configuration


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_an_entry_is_whole_and_has_no_unknown_key(model_id: str) -> None:
    Entry.model_validate(CATALOGUE[model_id])


def test_no_model_is_in_the_catalogue_twice() -> None:
    """YAML and the union of the files would let the last one win."""
    ids = [line for file in model_files() for line in re.findall(r"^(\S+/\S+):$", file.read_text("utf-8"), re.M)]
    assert sorted(ids) == sorted(CATALOGUE)


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_parameters_and_weights_are_of_one_model(model_id: str) -> None:
    """A typing error in either shows; what is quantised keeps embeddings, scales and more in 16 bits."""
    entry = CATALOGUE[model_id]
    bits = entry["weights_gib"] * 2**30 * 8 / (entry["parameters"] * 1e9)
    low, high = {"bf16": (15.8, 16.2), "fp8": (8, 9), "awq": (4, 6), "mxfp4": (4, 6)}[entry["published"]]
    assert low < bits < high


@pytest.mark.parametrize(("model_id", "precision"), SERVED)
def test_a_model_of_the_catalogue_is_served_as_it_says(baked: Bake, model_id: str, precision: str) -> None:
    entry, project = CATALOGUE[model_id], baked(model_id=model_id, precision=precision)
    configuration, said = service(project), " ".join(engine_command(project))
    assert said.startswith(f"vllm serve {model_id} ")
    for flag in entry.get("flags", []) + entry["gpu"][precision].get("flags", []):
        assert f" {flag} " in said
    assert ("--quantization fp8" in said) == (precision == "fp8")
    assert ("HF_TOKEN" in configuration.env.as_dict()) == entry["gated"]
    gpu = configuration.resources.gpu
    wanted = GPUSpec.model_validate({key: entry["gpu"][precision][key] for key in ("memory", "compute_capability")})
    assert gpu is not None
    assert (gpu.memory, gpu.compute_capability) == (wanted.memory, wanted.compute_capability)
    assert gpu.count.min == gpu.count.max == entry["gpu"][precision].get("count", 1)


@pytest.mark.parametrize(("model_id", "precision"), CHATS)
def test_the_engine_takes_the_command_line(baked: Bake, model_id: str, precision: str) -> None:
    entry, project = CATALOGUE[model_id], baked(model_id=model_id, precision=precision)
    flags = parse(engine_command(project)[1:])
    assert flags.max_model_len == human_int(entry["gpu"][precision]["context"])
    assert flags.tensor_parallel_size == entry["gpu"][precision].get("count", 1)
    assert flags.reasoning_parser == entry.get("reasoning_parser")
    assert flags.tool_call_parser == entry.get("tool_parser")
    assert flags.enable_auto_tool_choice == ("tool_parser" in entry)
    assert flags.max_model_len <= text_part(entry["config"])["max_position_embeddings"]


@pytest.mark.parametrize(("model_id", "precision"), CHATS)
def test_two_requests_of_full_length_fit_on_the_smallest_card(baked: Bake, model_id: str, precision: str) -> None:
    """As the repository's own `inv size` computes it, with the flags that its service has."""
    memory = CATALOGUE[model_id]["gpu"][precision]["memory"].split("GB")[0]
    done = subprocess.run(
        [sys.executable, "-m", "invoke", "size", "--gpu-memory", str(SMALLEST_GIB[memory]), "--json"],
        cwd=baked(model_id=model_id, precision=precision),
        env={**os.environ, "DSTACK_TOKEN": "t"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["requests_at_once"] >= 2


@pytest.mark.parametrize("model_id", CATALOGUE)
def test_a_generated_repository_carries_its_own_model_alone(baked: Bake, model_id: str) -> None:
    rendered = files(baked(model_id=model_id))
    rendered.pop("capacity/README.md")  # has another model for an example, and a table of many
    texts = "".join(rendered.values())
    assert [other for other in CATALOGUE if other in texts and other not in model_id] == []


def text_part(config: dict[str, Any]) -> dict[str, Any]:
    """The numbers of the part that writes."""
    text: dict[str, Any] = config.get("text_config", config)
    return text


@pytest.mark.parametrize("model_id", CATALOGUE)
@pytest.mark.parametrize("precision", PRECISIONS)
def test_only_precisions_that_the_catalogue_has_are_served(model_id: str, precision: str) -> None:
    assert (refused_precision(model_id, precision) is None) == ((model_id, precision) in SERVED)


@pytest.mark.parametrize("model_id", [*CATALOGUE, "somebody/Unknown-70B"])
def test_sizing_gets_the_numbers_of_the_model(baked: Bake, model_id: str) -> None:
    numbers = json.loads((baked(model_id=model_id) / "capacity" / "model.json").read_text("utf-8"))
    entry = CATALOGUE.get(model_id, {"config": None, "weights_gib": None})
    of_its_kind = {"kind": "chat", "config": entry.get("config")}
    if "picture_gib" in entry:
        of_its_kind = {"kind": "pictures", "picture_gib": entry["picture_gib"]}
    assert numbers == {"model": model_id, "weights_gib": entry["weights_gib"]} | of_its_kind


def test_guesses_and_sizing_know_the_same_cards(baked: Bake) -> None:
    """`inv size` computes with the very cards that the template guessed with."""
    known = json.loads((baked() / "capacity" / "cards.json").read_text("utf-8"))
    assert known == [{"name": card["name"], "gib": card["gib"]} for card in machines("cards")]


class Card(Strict):
    name: str
    memory: int
    gib: float
    capability: float

    @model_validator(mode="after")
    def check(self) -> Card:
        assert 0.9 < self.gib / self.memory < 1, "torch sees less than a card is sold with, and not much less"
        return self


def test_every_machine_to_guess_from_has_a_card_and_a_price() -> None:
    sizes = {Card.model_validate(card).memory for card in machines("cards")}
    assert {machine["memory"] for machine in machines("machines")} <= sizes & machines("prices").keys()
    total = [machine["memory"] * machine["count"] for machine in machines("machines")]
    assert total == sorted(total), "the smallest machine comes first"


@pytest.mark.parametrize(("model_id", "precision"), SERVED)
def test_the_catalogue_asks_for_cards_with_a_price(model_id: str, precision: str) -> None:
    assert known_model(model_id, precision)["expensive_price"] > 0


@pytest.mark.parametrize("model_id", [model_id for model_id, entry in CATALOGUE.items() if "picture_gib" in entry])
def test_a_picture_fits_on_the_smallest_card(model_id: str) -> None:
    entry = CATALOGUE[model_id]
    smallest = entry["gpu"]["published"]["memory"].split("GB")[0]
    assert entry["weights_gib"] < entry["picture_gib"] < SMALLEST_GIB[smallest]


@pytest.mark.parametrize(
    ("name", "precision", "memory", "count"),
    [
        ("Chat-7B", "published", "24GB..48GB", 1),
        ("chat-7b-instruct", "fp8", "24GB..48GB", 1),
        ("Chat-13B", "published", "48GB..96GB", 1),
        ("Chat-70B", "published", "80GB..", 4),
        ("Chat-70B", "fp8", "80GB..", 2),
        ("Mixtral-8x7B", "published", "80GB..", 2),
        ("Chat-1.5B", "published", "24GB..48GB", 1),
        ("Chat-405B", "published", "141GB..", 8),
        ("Chat-480B", "published", "180GB..", 8),
        ("Chat-480B-FP8", "published", "141GB..", 8),
        ("Chat-70B-AWQ", "published", "80GB..", 1),
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


@pytest.mark.parametrize("model_id", [*CATALOGUE, "somebody/FluxLM-7B", "somebody/Imagery-7B"])
def test_what_writes_or_is_known_is_not_refused_for_its_name(model_id: str) -> None:
    assert refused_model(model_id) is None


def test_the_host_grows_with_its_gpus(baked: Bake) -> None:
    """8 x 141 GB: a process a GPU, and 810 GB of weights to stream."""
    hosts = [service(baked(model_id=f"somebody/Chat-{size}")).resources for size in ("7B", "70B", "405B")]
    assert [(host.cpu.count.min, host.memory.min) for host in hosts] == [(4, 32), (16, 128), (32, 512)]


def test_a_guess_reserves_disk_for_the_weights_as_published() -> None:
    """fp8 is made while loading: the download has two bytes a parameter all the same."""
    published, fp8 = (known_model("somebody/Chat-70B", precision)["disk_gb"] for precision in PRECISIONS)
    assert fp8 == published > 70 * 2 + 30


def test_a_guessed_service_spreads_over_its_cards(baked: Bake) -> None:
    project = baked(model_id="somebody/Chat-70B")
    configuration = service(project)
    assert parse(engine_command(project)[1:]).tensor_parallel_size == 4
    assert configuration.resources.gpu is not None
    assert configuration.resources.gpu.count.min == 4
