"""`inv offers` and `inv size`, and what holds for every task."""

from __future__ import annotations

import json

import pytest
from person import Person

from console.errors import ExitCode
from deploy.environments import ROOT
from tasks import namespace

CONFIG = {
    "architectures": ["MistralForCausalLM"],
    "model_type": "mistral",
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "max_position_embeddings": 32768,
    "num_attention_heads": 32,
    "num_hidden_layers": 32,
    "num_key_value_heads": 8,
    "torch_dtype": "bfloat16",
    "vocab_size": 32768,
}


def test_offers_are_shown_with_their_prices(person: Person) -> None:
    done = person.inv("offers", "--json")
    assert done.code == 0, done.errors
    assert {"cloud", "region", "gpu", "price_per_hour", "price_per_month", "problems"} <= done.json[0].keys()
    assert {offer["price_per_month"] for offer in done.json} == {292.0, 627.8}
    shown = person.inv("offers").output
    assert "A40 48 GB" in shown
    assert "L40S 48 GB" in shown
    assert not person.dstack.changes


def test_offers_are_for_so_many_requests_as_are_asked_for(person: Person) -> None:
    person.inv("offers", "--at-once", "64")
    done = person.inv("offers", "--at-once", "64", "--json")
    assert done.code == 0, done.errors
    assert len(done.json) == 2
    if any(offer.get("requests_at_once") for offer in done.json):
        assert "$/h for 64" in person.inv("offers", "--at-once", "64").output
    assert person.inv("offers", "--at-once", "none").code == ExitCode.SETTINGS_INVALID


def test_no_offer_is_an_answer(person: Person) -> None:
    person.dstack.offers = []
    assert person.inv("offers", "--json").json == []
    assert "No offer" in person.inv("offers").output


def own_model_is_sized() -> bool:
    """Whether this service's model can be sized: not one that draws, nor an unknown one."""
    return bool(json.loads((ROOT / "capacity" / "model.json").read_text("utf-8")).get("config"))


def test_this_services_model_is_sized_for_the_machines_on_offer(person: Person) -> None:
    done = person.inv("size", "--json")
    if not own_model_is_sized():
        assert (done.code, done.output) == (ExitCode.SETTINGS_INVALID, "")
        return
    assert {line["gpu"] for line in done.json} == {"A40", "L40S"}
    keys = {"gpus", "gpu_memory_gib", "weights_gib", "kv_cache_gib", "max_model_len", "requests_at_once", "fits"}
    assert keys <= done.json[0].keys()
    assert "KV cache" in person.inv("size").output


def test_another_model_is_sized_for_a_memory_and_flags(person: Person) -> None:
    (person.folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    words = ["size", "--config", "config.json", "--gpu-memory", "80", "--weights", "14", "--json"]
    flags = ["--max-model-len", "8K", "--utilization", "0.5", "--tp", "2", "--kv-cache-dtype", "fp8"]
    plain, flagged = person.inv(*words).json, person.inv(*words, *flags).json
    assert plain["weights_gib"] == 14.0
    assert (plain["max_model_len"], flagged["max_model_len"]) == (32768, 8192)
    assert (plain["gpus"], flagged["gpus"]) == (1, 2)
    assert flagged["weights_gib"] == 7.0
    smaller = person.inv(*words, *flags, "--max-num-seqs", "1", "--max-num-batched-tokens", "64000").json
    assert smaller["requests_at_once"] == 1
    assert smaller["overhead_gib"] > flagged["overhead_gib"]
    assert person.inv(*words, "--tp", "many").code == ExitCode.SETTINGS_INVALID


@pytest.mark.parametrize("flag", ["--gpu-memory", "--weights"])
@pytest.mark.parametrize("given", ["abc", "80GB", "nan", "0", "-3", "1e9"])
def test_a_size_that_is_none_is_refused_with_an_example(person: Person, flag: str, given: str) -> None:
    done = person.inv("size", f"{flag}={given}")
    assert (done.code, done.output) == (ExitCode.SETTINGS_INVALID, "")
    assert done.errors == f"error: {flag}: {given} is no size in GiB; give a number such as 23.5\n"


def test_a_model_is_sized_with_any_flag_of_vllm(person: Person) -> None:
    (person.folder / "config.json").write_text(json.dumps(CONFIG), "utf-8")
    words = ["size", "--config", "config.json", "--gpu-memory", "80", "--weights", "14", "--json", "--flags"]
    plain, flagged = person.inv(*words, "--port 8000").json, person.inv(*words, "--block-size 32 --enforce-eager").json
    assert flagged["kv_cache_blocks"] < 0.6 * plain["kv_cache_blocks"]
    refused = person.inv(*words, "--pipeline-parallel-size 2")
    assert refused.code == ExitCode.SETTINGS_INVALID
    assert "--pipeline-parallel-size 2" in refused.errors
    assert refused.errors.count("\n") == 1


@pytest.mark.parametrize("task", namespace.task_names)
def test_every_task_refuses_an_environment_that_is_none(person: Person, task: str) -> None:
    words = [task, "NAME"] if task == "secrets.set" else [task]
    done = person.inv(*words, "--env", "nowhere")
    assert (done.code, done.output) == (ExitCode.SETTINGS_INVALID, "")
    assert "environments/nowhere.yml: does not exist" in done.errors
    assert not person.dstack.asked
