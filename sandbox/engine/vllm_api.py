"""vLLM's HTTP API over the stand-in's replies."""

from __future__ import annotations

import json
import time
import uuid
from argparse import Namespace
from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

from sandbox.engine import reply as replies
from sandbox.engine.core import EngineCore, ShutDownError
from sandbox.engine.flags import VLLM_VERSION
from sandbox.engine.kinds import LONGEST_BYTES, OtherKinds
from sandbox.engine.reply import BadRequestError, Reply
from sandbox.engine.shapes import CHAT, COMPLETION, Shape, choice, error, error_body, read_json
from sandbox.engine.telemetry import Telemetry

AUTO_CONTEXT_TOKENS = 131_072  # of --max-model-len auto, and without the flag


class Api:
    """Serves the model that `flags` names: it checks requests, and has tokens computed.

    `embedding_length`: how many numbers an embedding has.
    """

    def __init__(self, flags: Namespace, telemetry: Telemetry, core: EngineCore, embedding_length: int) -> None:
        self._names: list[str] = flags.served_model_name or [flags.model_tag]
        self._loras: list[str] = (flags.lora_modules or []) if flags.enable_lora else []
        self._root: str = flags.model_tag
        self._context: int = flags.max_model_len or AUTO_CONTEXT_TOKENS
        self._tools: bool = flags.enable_auto_tool_choice
        self._thinks = flags.reasoning_parser is not None
        self._keys = {f"Bearer {key}" for key in flags.api_key or ()}
        self._telemetry = telemetry
        self._core = core
        self._others = OtherKinds(flags, core, embedding_length, self._context, self._refusal)
        self._tracks_load: bool = flags.enable_server_load_tracking
        self._in_flight = 0
        self._fingerprint = f"stand-in-{uuid.uuid4().hex[:8]}"  # tells replicas apart behind a proxy

    def application(self) -> web.Application:
        """The routes, with vLLM's errors."""
        application = web.Application(middlewares=[self._errors, self._load_tracking], client_max_size=LONGEST_BYTES)
        application.add_routes(
            [
                web.get("/health", self._health),
                web.route("*", "/ping", self._health),
                web.get("/version", self._version),
                web.get("/metrics", self._metrics),
                web.get("/load", self._load),
                web.get("/v1/models", self._models),
            ]
        )
        chat = [web.post("/v1/chat/completions", self._chat), web.post("/v1/completions", self._completion)]
        application.add_routes(self._others.routes() or chat)
        return application

    @web.middleware
    async def _errors(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        if self._keys and request.path.startswith("/v1") and request.headers.get("Authorization") not in self._keys:
            return web.json_response({"error": "Unauthorized"}, status=401)
        try:
            return await handler(request)
        except BadRequestError as refused:
            return error(HTTPStatus.BAD_REQUEST, str(refused), refused.parameter)
        except ShutDownError as ended:
            return error(HTTPStatus.INTERNAL_SERVER_ERROR, str(ended))
        except web.HTTPClientError as unknown:
            return web.json_response({"detail": unknown.reason}, status=unknown.status)

    @web.middleware
    async def _load_tracking(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Count the requests that have no whole answer yet, in the API's process, as --enable-server-load-tracking."""
        if not self._tracks_load or request.method != "POST":
            return await handler(request)
        self._in_flight += 1
        try:
            return await handler(request)
        finally:
            self._in_flight -= 1

    async def _load(self, request: web.Request) -> web.Response:
        return web.json_response({"server_load": self._in_flight})

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response()

    async def _version(self, request: web.Request) -> web.Response:
        return web.json_response({"version": f"{VLLM_VERSION}+standin"})

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._telemetry.exposition(), content_type="text/plain", charset="utf-8")

    async def _models(self, request: web.Request) -> web.Response:
        def model(name: str, root: str, parent: str | None) -> dict[str, Any]:
            return {
                "id": name,
                "object": "model",
                "created": int(time.time()),
                "owned_by": "sandbox stand-in for vllm",
                "root": root,
                "parent": parent,
                "max_model_len": self._context,
                "permission": [],
            }

        models = [model(name, self._root, None) for name in self._names]
        models += [model(name, name, self._names[0]) for name in self._loras]
        return web.json_response({"object": "list", "data": models})

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        reply = replies.chat(body, self._context, tools=self._tools, thinks=self._thinks)
        return await self._answer(request, body, reply, CHAT)

    async def _completion(self, request: web.Request) -> web.StreamResponse:
        body = await read_json(request)
        return await self._answer(request, body, replies.completion(body, self._context), COMPLETION)

    async def _answer(
        self, request: web.Request, body: dict[str, Any], reply: Reply, shape: Shape
    ) -> web.StreamResponse:
        if refused := self._refusal(body):
            return refused
        base = {
            "id": f"{shape.prefix}-{uuid.uuid4().hex}",
            "object": shape.chunk if body.get("stream") else shape.whole,
            "created": int(time.time()),
            "model": body.get("model") or self._names[0],
            "system_fingerprint": self._fingerprint,
        }
        async with aclosing(self._core.generate(reply)) as pieces:
            if body.get("stream"):
                include_usage = bool((body.get("stream_options") or {}).get("include_usage"))
                return await self._stream(request, base, pieces, reply, shape, include_usage)
            _ = [piece async for piece in pieces]
            choices = [choice(shape.content(reply), reply.finish_reason)]
            return web.json_response(base | {"choices": choices, "usage": reply.usage})

    def _refusal(self, body: dict[str, Any]) -> web.Response | None:
        """Why a request is not served; raises ShutDownError when the engine is ending."""
        model = body.get("model") or self._names[0]
        if model not in (*self._names, *self._loras):
            return error(HTTPStatus.NOT_FOUND, f"The model `{model}` does not exist.", "model")
        if self._core.draining:
            raise ShutDownError("EngineCore is shutting down and takes no new requests")
        return None

    async def _stream(
        self,
        request: web.Request,
        base: dict[str, Any],
        pieces: AsyncGenerator[int, None],
        reply: Reply,
        shape: Shape,
        include_usage: bool,
    ) -> web.StreamResponse:
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await stream.prepare(request)
        try:
            async for number in pieces:
                await _send(stream, base | {"choices": [choice(shape.delta(reply, number), None)]})
            await _send(
                stream, base | {"choices": [choice(shape.delta(reply, len(reply.pieces)), reply.finish_reason)]}
            )
            if include_usage:
                await _send(stream, base | {"choices": [], "usage": reply.usage})
        except ShutDownError as ended:
            await _send(stream, error_body(HTTPStatus.INTERNAL_SERVER_ERROR, str(ended), None))
        await stream.write(b"data: [DONE]\n\n")
        return stream


async def _send(stream: web.StreamResponse, event: dict[str, Any]) -> None:
    await stream.write(f"data: {json.dumps(event)}\n\n".encode())
