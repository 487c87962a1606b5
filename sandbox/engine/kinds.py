"""vLLM's paths for models that do not chat: pictures, embeddings, orders of documents, the words of recordings."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

from aiohttp import web

from sandbox.engine import pictures, pooling, speech
from sandbox.engine.core import EngineCore
from sandbox.engine.reply import Reply
from sandbox.engine.shapes import read_json

LONGEST_BYTES = 2 * speech.LONGEST_BYTES  # of a request: a longer recording is refused, and not cut off
Refusal = Callable[[dict[str, Any]], web.Response | None]  # why a request is not served


class OtherKinds:
    """Answers for the model that `flags` names, where it does not chat.

    `embedding_length`: how many numbers an embedding has. `context`: tokens of a text.
    """

    def __init__(
        self, flags: Namespace, core: EngineCore, embedding_length: int, context: int, refusal: Refusal
    ) -> None:
        self._flags = flags
        self._name: str = (flags.served_model_name or [flags.model_tag])[0]
        self._context = context
        self._embedding_length = embedding_length
        self._core = core
        self._refusal = refusal

    def routes(self) -> list[web.RouteDef]:
        """The paths of the model's kind; none for a model that chats."""
        if self._flags.omni:
            return [web.post("/v1/images/generations", self._picture)]
        if self._flags.runner == "pooling":
            if pooling.ranks(self._flags.model_tag, self._flags.hf_overrides):
                return [web.post(path, self._rank) for path in ("/rerank", "/v1/rerank", "/v2/rerank")]
            return [web.post("/v1/embeddings", self._embed)]
        if speech.hears(self._flags.model_tag):
            return [web.post("/v1/audio/transcriptions", self._transcribe)]
        return []

    async def _picture(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        order = pictures.read_request(body)
        if refused := self._refusal(body):
            return refused
        await self._compute(Reply(("step",) * order.steps, "stop", 0))
        data = [{"b64_json": picture, "url": None, "revised_prompt": None} for picture in order.draw()]
        return web.json_response({"created": int(time.time()), "data": data})

    async def _embed(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        texts = pooling.read_texts(body, self._context)
        if refused := self._refusal(body):
            return refused
        await self._compute(_one_step(texts))
        return web.json_response(pooling.embeddings(body, texts, self._embedding_length, self._name_in(body)))

    async def _rank(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        question = pooling.read_question(body, self._context)
        if refused := self._refusal(body):
            return refused
        await self._compute(_one_step([question.query, *question.documents]))
        return web.json_response(pooling.order(question, self._name_in(body)))

    async def _transcribe(self, request: web.Request) -> web.StreamResponse:
        fields, recording = await speech.read_form(request)
        if refused := self._refusal(fields):
            return refused
        text = speech.words(recording)
        await self._compute(_one_step([text]))
        if fields.get("response_format") == "text":
            return web.Response(text=text)
        return web.json_response(speech.answer(recording, text))

    async def _compute(self, reply: Reply) -> None:
        """Pass the time of the reply's steps."""
        async with aclosing(self._core.generate(reply)) as steps:
            _ = [step async for step in steps]

    def _name_in(self, body: dict[str, Any]) -> str:
        return str(body.get("model") or self._name)


def _one_step(texts: list[str]) -> Reply:
    return Reply(("step",), "stop", pooling.tokens(texts))
