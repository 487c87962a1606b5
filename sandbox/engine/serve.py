"""The stand-in's life: load, serve, and stop as vLLM stops."""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import sys
import time
from argparse import Namespace
from dataclasses import dataclass
from pathlib import Path

from aiohttp import web

from sandbox.engine.core import EngineCore
from sandbox.engine.flags import VLLM_VERSION, parse, without_defaults
from sandbox.engine.telemetry import Telemetry
from sandbox.engine.vllm_api import Api
from sandbox.pods.metrics import Activity

_SHARDS = 5
_LAST_WORDS_SECONDS = 2.0  # for the error events of streams that the end of the engine cut off

_api_server = logging.getLogger("APIServer")
_engine_core = logging.getLogger("EngineCore")


@dataclass(frozen=True)
class EngineSettings:
    """The stand-in's environment variables; the package's docstring says what they do."""

    load_seconds: float
    token_seconds: float
    requests: int
    embedding_length: int
    crash: bool
    port: int | None
    activity: Path | None
    hang: Path | None

    @classmethod
    def read(cls) -> EngineSettings:
        """Exits with a message when a value is not a number."""

        def number(name: str, default: str) -> float:
            value = os.environ.get(name, default)
            try:
                return float(value)
            except ValueError:
                sys.exit(f"{name}={value}: a number is expected")

        port, activity, hang = (os.environ.get(f"SANDBOX_{name}") for name in ("PORT", "ACTIVITY", "HANG"))
        return cls(
            load_seconds=number("SANDBOX_LOAD_SECONDS", "2"),
            token_seconds=number("SANDBOX_TOKEN_SECONDS", "0.01"),
            requests=int(number("SANDBOX_REQUESTS", "0")),
            embedding_length=int(number("SANDBOX_EMBEDDING_LENGTH", "1024")),
            crash=os.environ.get("SANDBOX_CRASH") == "1",
            port=int(port) if port else None,
            activity=Path(activity) if activity else None,
            hang=Path(hang) if hang else None,
        )


def main() -> None:
    flags, settings = parse(sys.argv[1:]), EngineSettings.read()
    logging.basicConfig(
        stream=sys.stdout,
        level=logging.INFO,
        format="(%(name)s pid=%(process)d) %(levelname)s %(asctime)s %(message)s",
        datefmt="%m-%d %H:%M:%S",
    )
    sys.exit(asyncio.run(_serve(flags, settings)))


async def _serve(flags: Namespace, settings: EngineSettings) -> int:
    """The exit code."""
    stop, grace = asyncio.Event(), flags.shutdown_timeout

    def end_at_once() -> None:
        """Ctrl-C, as dstack's runner types it, reaches vLLM's engine process beside its server, and that just ends."""
        nonlocal grace
        grace = 0
        stop.set()

    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, end_at_once)
    _api_server.info("[api_server.py] vLLM API server version %s: a stand-in without a model", VLLM_VERSION)
    _api_server.info("[utils.py] non-default args: %s", without_defaults(flags))
    activity = Activity(
        started=time.monotonic(),
        load_seconds=settings.load_seconds,
        gpus=flags.tensor_parallel_size,
        memory_share=flags.gpu_memory_utilization,
    )
    telemetry = Telemetry((flags.served_model_name or [flags.model_tag])[0], activity, settings.activity)
    if not await _load(flags.model_tag, settings.load_seconds, stop):
        return 0
    if settings.crash:
        _engine_core.error("[core.py] EngineCore failed to start.")
        _engine_core.error("[core.py] torch.OutOfMemoryError: CUDA out of memory (the stand-in was asked to crash).")
        _api_server.error("RuntimeError: Engine core initialization failed. See root cause above.")
        return 1
    core = EngineCore(telemetry, flags.max_num_seqs, settings.token_seconds)
    core.start(settings.requests, settings.hang)
    api = Api(flags, telemetry, core, settings.embedding_length)
    server = web.AppRunner(
        api.application(),
        shutdown_timeout=_LAST_WORDS_SECONDS,
        handler_cancellation=True,  # vLLM aborts a request whose caller has gone
        access_log=_api_server,
        access_log_format='[api_server.py] %a - "%r" %s',
    )
    await server.setup()
    host, port = ("127.0.0.1", settings.port) if settings.port else (flags.host, flags.port)
    try:
        await web.TCPSite(server, host, port, reuse_port=settings.port is not None).start()
    except OSError as error:
        _api_server.error("[api_server.py] %s", error.strerror)
        return 1
    _api_server.info("[launcher.py] Application startup complete, listening on port %d.", port)
    await stop.wait()
    _api_server.info("[launcher.py] Shutting down, with %d s for the requests in flight.", grace)
    await core.drain(grace)
    await server.cleanup()
    return 0


async def _load(model: str, seconds: float, stop: asyncio.Event) -> bool:
    """Pass the time that loading takes; False when `stop` came first."""
    _engine_core.info("[gpu_model_runner.py] Starting to load model %s...", model)
    for shard in range(1, _SHARDS + 1):
        try:
            await asyncio.wait_for(stop.wait(), seconds / _SHARDS if math.isfinite(seconds) else None)
        except TimeoutError:
            percent = 100 * shard // _SHARDS
            _engine_core.info(
                "[default_loader.py] Loading safetensors checkpoint shards: %3d%% Completed | %d/%d",
                percent,
                shard,
                _SHARDS,
            )
        else:
            return False
    _engine_core.info("[default_loader.py] Loading weights took %.2f seconds", seconds)
    return True
