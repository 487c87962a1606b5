"""What the stand-in answers with --runner pooling: embeddings, or an order of documents, from the words of the texts.

No model is behind it. An embedding is the sum of a vector for each word, so equal texts have equal embeddings, and
texts with words in common are near each other. A document is the more relevant the more words of the query it has.
"""

from __future__ import annotations

import base64
import hashlib
import math
import re
import struct
import uuid
from dataclasses import dataclass
from typing import Any

from sandbox.engine.reply import BadRequestError

MEAN = 127.5  # of a byte of a hash
RANKING = "SequenceClassification"  # in the architecture's name


@dataclass(frozen=True)
class Question:
    """A query and the documents to put in order, of which the best `top` are answered."""

    query: str
    documents: list[str]
    top: int


def ranks(model: str, hf_overrides: dict[str, Any] | None) -> bool:
    """Whether such a model puts documents in order."""
    architectures = (hf_overrides or {}).get("architectures") or []
    return "rerank" in model.lower() or any(RANKING in str(name) for name in architectures)


def read_texts(body: dict[str, Any], context_tokens: int) -> list[str]:
    """The texts of an embeddings request. Raises BadRequestError."""
    texts = body.get("input")
    texts = [texts] if isinstance(texts, str) else texts
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) for text in texts):
        raise BadRequestError("1 validation error: 'input': a text or a list of texts is expected", "input")
    if body.get("encoding_format", "float") not in ("float", "base64"):
        raise BadRequestError("the stand-in answers with float or base64", "encoding_format")
    if body.get("dimensions"):
        raise BadRequestError("the stand-in does not shorten embeddings", "dimensions")
    _check_length(texts, context_tokens, "input")
    return texts


def read_question(body: dict[str, Any], context_tokens: int) -> Question:
    """What a rerank request asks. Raises BadRequestError."""
    query, documents = body.get("query"), body.get("documents")
    if not isinstance(query, str):
        raise BadRequestError("1 validation error: 'query': Field required", "query")
    if not isinstance(documents, list) or not documents or not all(isinstance(text, str) for text in documents):
        raise BadRequestError("1 validation error: 'documents': a list of texts is expected", "documents")
    top = body.get("top_n") or len(documents)
    if not isinstance(top, int) or top < 1:
        raise BadRequestError("top_n must be at least 1", "top_n")
    _check_length([f"{query} {document}" for document in documents], context_tokens, "documents")
    return Question(query, documents, top)


def tokens(texts: list[str]) -> int:
    """How many tokens the texts have: a word is one."""
    return sum(len(_words(text)) for text in texts)


def embedding(text: str, length: int) -> list[float]:
    """The embedding of a text, of the norm 1."""
    words = _words(text) or [""]
    hashes = [hashlib.shake_256(word.encode()).digest(length) for word in words]
    sums = [sum(numbers) - MEAN * len(words) for numbers in zip(*hashes, strict=True)]
    norm = math.hypot(*sums)
    return [number / norm for number in sums]


def embeddings(body: dict[str, Any], texts: list[str], length: int, model: str) -> dict[str, Any]:
    """The answer to an embeddings request."""
    as_text = body.get("encoding_format") == "base64"
    vectors = [embedding(text, length) for text in texts]
    data = [
        {"index": index, "object": "embedding", "embedding": _base64(vector) if as_text else vector}
        for index, vector in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens(texts), "total_tokens": tokens(texts), "completion_tokens": 0}
    return {"id": f"embd-{uuid.uuid4().hex}", "object": "list", "model": model, "data": data, "usage": usage}


def order(question: Question, model: str) -> dict[str, Any]:
    """The answer to a rerank request: the documents, the most relevant first."""
    wanted = set(_words(question.query))
    scores = [len(wanted & set(_words(text))) / (len(wanted) or 1) for text in question.documents]
    best = sorted(range(len(scores)), key=lambda index: -scores[index])[: question.top]
    results = [
        {"index": index, "document": {"text": question.documents[index]}, "relevance_score": scores[index]}
        for index in best
    ]
    used = tokens([question.query, *question.documents])
    return {"id": f"rerank-{uuid.uuid4().hex}", "model": model, "usage": {"total_tokens": used}, "results": results}


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def _base64(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()


def _check_length(texts: list[str], context_tokens: int, parameter: str) -> None:
    longest = max(tokens([text]) for text in texts)
    if longest > context_tokens:
        problem = f"This model's maximum context length is {context_tokens} tokens, and the input has {longest}"
        raise BadRequestError(problem, parameter)
