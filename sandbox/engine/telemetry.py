"""What the stand-in tells about itself: vLLM's Prometheus metrics, and its activity for the pod's own figures."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from sandbox.engine.reply import Reply
from sandbox.pods.metrics import Activity

_LABELS = ("model_name", "engine")
_TOKENS = (1, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384)
_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Telemetry:
    """Counters of one engine that serves `model`."""

    def __init__(self, model: str, activity: Activity, path: Path | None) -> None:
        self._labels = (model, "0")
        self._activity = activity
        self._path = path
        self.running = 0
        self.waiting = 0
        self.registry = CollectorRegistry()
        registry = self.registry
        running = Gauge("vllm:num_requests_running", "Number of requests in execution.", _LABELS, registry=registry)
        waiting = Gauge("vllm:num_requests_waiting", "Number of requests in the queue.", _LABELS, registry=registry)
        cache = Gauge("vllm:kv_cache_usage_perc", "KV-cache usage, 1 is 100 percent.", _LABELS, registry=registry)
        self._frozen: tuple[int, int] | None = None
        running.labels(*self._labels).set_function(lambda: self._batch[0])
        waiting.labels(*self._labels).set_function(lambda: self._batch[1])
        cache.labels(*self._labels).set_function(lambda: min(1.0, self._batch[0] * 0.01))
        self._prompt = Counter("vllm:prompt_tokens", "Prefill tokens processed.", _LABELS, registry=registry)
        self._generation = Counter("vllm:generation_tokens", "Generation tokens.", _LABELS, registry=registry)
        self._success = Counter(
            "vllm:request_success", "Processed requests.", (*_LABELS, "finished_reason"), registry=registry
        )
        self._first_token = Histogram(
            "vllm:time_to_first_token_seconds", "In seconds.", _LABELS, registry=registry, buckets=_SECONDS
        )
        self._latency = Histogram(
            "vllm:e2e_request_latency_seconds", "In seconds.", _LABELS, registry=registry, buckets=_SECONDS
        )
        self._iterations = Histogram(
            "vllm:iteration_tokens_total", "Tokens per engine step.", _LABELS, registry=registry, buckets=_TOKENS
        ).labels(*self._labels)
        self._inter_token = Histogram(
            "vllm:inter_token_latency_seconds", "In seconds.", _LABELS, registry=registry, buckets=_SECONDS
        ).labels(*self._labels)
        Counter("vllm:num_preemptions", "Preemptions.", _LABELS, registry=registry).labels(*self._labels)
        self._save()

    @property
    def _batch(self) -> tuple[int, int]:
        """Requests that run and wait, as the engine said last."""
        return self._frozen or (self.running, self.waiting)

    def freeze(self) -> None:
        """The engine hangs, and says nothing more of its batch."""
        self._frozen = (self.running, self.waiting)

    def iteration(self, tokens: int, seconds: float | None) -> None:
        """Count a step of the engine, with the seconds since the request's last token."""
        self._iterations.observe(tokens)
        self._generation.labels(*self._labels).inc(1)
        if seconds is not None:
            self._inter_token.observe(seconds)

    def exposition(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)

    @contextmanager
    def request(self) -> Iterator[None]:
        """Around a request that runs."""
        now = time.monotonic()
        if self.running == 0:
            self._activity = replace(self._activity, busy_since=now)
            self._save()
        self.running += 1
        try:
            yield
        finally:
            self.running -= 1
            if self.running == 0:
                busy = self._activity.busy(time.monotonic())
                self._activity = replace(self._activity, busy_seconds=busy, busy_since=None)
                self._save()

    def finished(self, reply: Reply, first_token_seconds: float, seconds: float) -> None:
        """Count a request that was answered in full."""
        self._prompt.labels(*self._labels).inc(reply.prompt_tokens)
        self._success.labels(*self._labels, reply.finish_reason).inc()
        self._first_token.labels(*self._labels).observe(first_token_seconds)
        self._latency.labels(*self._labels).observe(seconds)

    def _save(self) -> None:
        if self._path is not None:
            self._activity.save(self._path)
