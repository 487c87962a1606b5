"""What the stand-in engine answers with --runner pooling: embeddings, and orders of documents."""

from __future__ import annotations

import base64
import math
import struct
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from sandbox.engine import pooling
from tests.sandbox.test_engine import engine

QUESTION = {"query": "Where is Paris?", "documents": ["Bananas grow here.", "Paris is in France.", "Where is it?"]}


@pytest.fixture(scope="module")
def embedder() -> Iterator[httpx.Client]:
    with engine("--runner", "pooling", SANDBOX_EMBEDDING_LENGTH="32", SANDBOX_TOKEN_SECONDS="0") as (client, _):
        yield client


@pytest.fixture(scope="module")
def ranker() -> Iterator[httpx.Client]:
    flags = ("--runner", "pooling", "--hf-overrides", '{"architectures": ["Qwen3ForSequenceClassification"]}')
    with engine(*flags, SANDBOX_TOKEN_SECONDS="0") as (client, _):
        yield client


def near(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_an_embedding_has_the_length_that_was_set_and_follows_from_the_words(embedder: httpx.Client) -> None:
    texts = ["a hare in the snow", "the hare in snow", "interest rates"]
    answer = embedder.post("/v1/embeddings", json={"input": texts}).json()
    assert [entry["index"] for entry in answer["data"]] == [0, 1, 2]
    first, second, third = (entry["embedding"] for entry in answer["data"])
    assert [len(first), math.hypot(*first)] == [32, pytest.approx(1)]
    assert near(first, second) > near(first, third)
    again = embedder.post("/v1/embeddings", json={"input": texts[0]}).json()
    assert again["data"][0]["embedding"] == first
    assert answer["usage"]["prompt_tokens"] == 11


def test_an_embedding_in_base64_has_the_same_numbers(embedder: httpx.Client) -> None:
    """The package openai asks for it by default."""
    text = embedder.post("/v1/embeddings", json={"input": "hare", "encoding_format": "base64"}).json()
    numbers = struct.unpack("<32f", base64.b64decode(text["data"][0]["embedding"]))
    assert list(numbers) == pytest.approx(pooling.embedding("hare", 32), abs=1e-6)


def test_documents_come_in_the_order_of_the_words_that_they_share_with_the_query(ranker: httpx.Client) -> None:
    for path in ("/rerank", "/v1/rerank", "/v2/rerank"):
        results = ranker.post(path, json=QUESTION).json()["results"]
        assert [result["index"] for result in results] == [1, 2, 0]
        scores = [result["relevance_score"] for result in results]
        assert scores == sorted(scores, reverse=True)
    [best] = ranker.post("/rerank", json=QUESTION | {"top_n": 1}).json()["results"]
    assert best["document"] == {"text": "Paris is in France."}


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": []},
        {"input": [1]},
        {"input": "a", "dimensions": 3},
        {"input": "a", "encoding_format": "hex"},
        {"input": "word " * 200_000},
    ],
)
def test_a_wrong_request_for_embeddings_is_refused(embedder: httpx.Client, body: dict[str, Any]) -> None:
    assert embedder.post("/v1/embeddings", json=body).status_code == 400


@pytest.mark.parametrize("changed", [{"query": None}, {"documents": []}, {"documents": "one"}, {"top_n": -1}])
def test_a_wrong_request_for_an_order_is_refused(ranker: httpx.Client, changed: dict[str, Any]) -> None:
    assert ranker.post("/v1/rerank", json=QUESTION | changed).status_code == 400


def test_a_model_has_only_the_paths_that_it_is_for(embedder: httpx.Client, ranker: httpx.Client) -> None:
    for client, paths in ((embedder, ("/v1/rerank",)), (ranker, ("/v1/embeddings",))):
        for path in (*paths, "/v1/chat/completions", "/v1/completions"):
            assert client.post(path, json={}).status_code == 404
    assert embedder.post("/v1/embeddings", json={"input": "a", "model": "another"}).status_code == 404


@pytest.mark.parametrize(
    ("model", "overrides", "ranks"),
    [
        ("BAAI/bge-reranker-v2-m3", None, True),
        ("Qwen/Qwen3-Reranker-8B", {"architectures": ["Qwen3ForSequenceClassification"]}, True),
        ("somebody/classifier", {"architectures": ["Qwen3ForSequenceClassification"]}, True),
        ("BAAI/bge-m3", None, False),
        ("Qwen/Qwen3-Embedding-8B", {"is_matryoshka": True}, False),
    ],
)
def test_a_model_that_ranks_is_known_by_its_name_or_its_architecture(
    model: str, overrides: dict[str, Any] | None, ranks: bool
) -> None:
    assert pooling.ranks(model, overrides) == ranks
