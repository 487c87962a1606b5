"""Watches vLLM from inside its container: prints its numbers, and ends it when its engine hangs.

`inv deploy` brings this file along in the service's `env`; the service's command starts it beside vLLM, with vLLM's
process id. It runs with vLLM's own Python (3.10 or later) and imports nothing but the standard library.

- Every 10 seconds it reads vLLM's /metrics and prints one line, `{"monitor": {…}}`. Times are in seconds.
- vLLM's /health stays 200 while its engine hangs, and dstack replaces no replica whose probes fail later. dstack does
  replace one whose container ends with an error. So the monitor kills an engine that gives no sign of life for
  HANG_SECONDS while requests wait, and that does not answer a request of the monitor's own either.
"""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import signal
import struct
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

HOST, PORT = "127.0.0.1", 8000
LINE_SECONDS = 10.0
READ_SECONDS = 5.0
QUESTION_SECONDS = 30.0  # for the answer to the monitor's own request
DEFAULT_HANG_SECONDS = 120.0
RUNNING, WAITING, KV_CACHE = "vllm:num_requests_running", "vllm:num_requests_waiting", "vllm:kv_cache_usage_perc"
ITERATIONS = "vllm:iteration_tokens_total_count"
FIRST_TOKEN, INTER_TOKEN = "vllm:time_to_first_token_seconds", "vllm:inter_token_latency_seconds"
# All of these come from the engine itself. A prefill of many steps counts no iteration before its first token, but
# each step takes more of the KV cache.
SIGNS = (ITERATIONS, RUNNING, WAITING, KV_CACHE, "vllm:prompt_tokens_total", "vllm:generation_tokens_total")
# A recording without sound: a tenth of a second, 16 kHz, 16 bits. Without the language, vLLM would look for it first.
HEAD = (b"RIFF", 3236, b"WAVEfmt ", 16, 1, 1, 16_000, 32_000, 2, 16, b"data", 3200)
SILENCE = struct.pack("<4sI8sIHHIIHH4sI", *HEAD) + bytes(3200)
FIELDS = {'name="language"': b"en", 'name="file"; filename="silence.wav"': SILENCE}
PARTS = (
    f"--monitor\r\nContent-Disposition: form-data; {name}\r\n\r\n".encode() + value + b"\r\n"
    for name, value in FIELDS.items()
)
JSON, FORM = "application/json", "multipart/form-data; boundary=monitor"
# The smallest request to each kind of model: path, type and body. vLLM answers 404 for what the model is not for.
QUESTIONS = (
    ("/v1/completions", JSON, b'{"prompt": "Hi", "max_tokens": 1}'),
    ("/v1/embeddings", JSON, b'{"input": "Hi"}'),
    ("/rerank", JSON, b'{"query": "Hi", "documents": ["Hi"]}'),
    ("/v1/audio/transcriptions", FORM, b"".join(PARTS) + b"--monitor--\r\n"),
)
SAMPLE = re.compile(r"(vllm:\w+)(?:\{(.*)\})?\s+(\S+)")
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')

Samples = dict[tuple[str, str], float]  # by name and upper bound (`le`, "" where there is none)


@dataclass(frozen=True)
class Scrape:
    """What vLLM says at one moment of the monotonic clock: each engine's samples, and the API's requests in flight."""

    at: float
    engines: Mapping[str, Samples]
    in_flight: int | None = None

    def total(self, name: str) -> float | None:
        """Return the sum over the engines; None when none of them says it."""
        found = [samples[name, ""] for samples in self.engines.values() if (name, "") in samples]
        return sum(found) if found else None

    def buckets(self, name: str) -> dict[float, float]:
        """Return a histogram's cumulative counts by upper bound, summed over the engines."""
        sums: dict[float, float] = {}
        for samples in self.engines.values():
            for (sample, bound), value in samples.items():
                if sample == f"{name}_bucket":
                    sums[float(bound)] = sums.get(float(bound), 0.0) + value
        return sums

    def holds_requests(self, engine: str) -> bool:
        """Return whether this engine says that it has requests."""
        samples = self.engines[engine]
        return samples.get((RUNNING, ""), 0) + samples.get((WAITING, ""), 0) > 0


def parse(text: str) -> dict[str, Samples]:
    """Return vLLM's samples in Prometheus' text format by engine, summed over their other labels."""
    engines: dict[str, Samples] = {}
    for line in text.splitlines():
        match = SAMPLE.match(line)
        value = _number(match[3]) if match else None
        if match and value is not None:
            labels = dict(LABEL.findall(match[2] or ""))
            samples = engines.setdefault(labels.get("engine", "0"), {})
            key = (match[1], labels.get("le", ""))
            samples[key] = samples.get(key, 0.0) + value
    return engines


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def increase(before: float | None, now: float | None) -> float | None:
    """Return by how much a counter grew; one that is smaller than before began again at 0."""
    if before is None or now is None:
        return None
    return now - before if now >= before else now


def quantile(before: Mapping[float, float], now: Mapping[float, float], share: float) -> float | None:
    """Return the quantile of what a histogram measured since `before`, as Prometheus computes it; None without any."""
    bounds = sorted(now)
    grown = [increase(before.get(bound, 0.0), now[bound]) or 0.0 for bound in bounds]
    rank = share * grown[-1] if grown else 0.0
    lower = below = 0.0
    for bound, count in zip(bounds, grown, strict=True):
        if rank and count >= rank:
            return lower + (bound - lower) * (rank - below) / (count - below) if math.isfinite(bound) else lower
        lower, below = bound, count
    return None


def numbers(before: Scrape | None, now: Scrape, clock: float) -> dict[str, Any]:
    """Return what a monitor line says; `clock` is the time of day, in seconds since 1970."""

    def grown(name: str) -> float | None:
        return increase(before.total(name), now.total(name)) if before else None

    def rate(name: str) -> float | None:
        growth = grown(name)
        return None if before is None or growth is None else _short(growth / max(now.at - before.at, 0.001))

    def latency(name: str) -> dict[str, float | None]:
        past = before.buckets(name) if before else now.buckets(name)
        return {f"p{share}": _short(quantile(past, now.buckets(name), share / 100)) for share in (50, 95)}

    usage = [samples[KV_CACHE, ""] for samples in now.engines.values() if (KV_CACHE, "") in samples]
    return {
        "at": round(clock, 1),
        "running": _whole(now.total(RUNNING)),
        "waiting": _whole(now.total(WAITING)),
        "in_flight": now.in_flight,
        "kv_cache_usage": _short(max(usage, default=None)),
        "time_to_first_token": latency(FIRST_TOKEN),
        "inter_token_latency": latency(INTER_TOKEN),
        "requests_per_second": rate("vllm:request_success_total"),
        "prompt_tokens_per_second": rate("vllm:prompt_tokens_total"),
        "output_tokens_per_second": rate("vllm:generation_tokens_total"),
        "preemptions": _whole(grown("vllm:num_preemptions_total")),
    }


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


@dataclass(frozen=True)
class Stillness:
    """An engine's last signs of life, and the seconds in which requests waited and it gave no other."""

    at: float
    signs: tuple[float | None, ...]
    seconds: float = 0.0


Known = Mapping[str, Stillness]


def follow(known: Known, now: Scrape) -> dict[str, Stillness]:
    """Return what is known of each engine after this scrape.

    Time counts only while requests are in flight, and only from one scrape to the next: not while /metrics gave no
    answer, nor while the whole machine stood still. An engine that has not computed anything yet is still starting.
    """
    after = {}
    in_flight = (now.in_flight or 0) > 0 or any(now.holds_requests(engine) for engine in now.engines)
    for engine, samples in now.engines.items():
        signs, before = tuple(samples.get((name, "")) for name in SIGNS), known.get(engine)
        seconds = 0.0
        if before and before.signs == signs and samples.get((ITERATIONS, ""), 0) > 0:
            passed = now.at - before.at
            seconds = before.seconds + (passed if in_flight and passed <= 2 * LINE_SECONDS else 0.0)
        after[engine] = Stillness(now.at, signs, seconds)
    return after


def suspects(known: Known, now: Scrape, limit: float) -> list[str]:
    """Return the engines that may hang: still for `limit` seconds. A `limit` of 0 switches this off.

    An engine beside others that work has to say itself that it holds requests: else it may just have none.
    """
    still = [engine for engine, one in known.items() if limit and one.seconds >= limit]
    return still if len(still) == len(known) else [engine for engine in still if now.holds_requests(engine)]


def hangs(suspected: list[str], now: Scrape, status: int | None) -> bool:
    """Return whether the suspected engines hang, from the HTTP status of the monitor's own request; None: no answer.

    An idle engine answers it: somebody reads an answer slowly, and its request only looks unanswered. A refusal, such
    as 401, proves nothing. Then the engine hangs if it says that it holds requests. Where other engines work, they
    would answer the request, so it proves nothing either.
    """
    if len(suspected) == len(now.engines) and status in (None, http.HTTPStatus.OK):
        return status is None
    return any(now.holds_requests(engine) for engine in suspected if engine in now.engines)


@dataclass
class Engine:
    """vLLM's process in this container, over HTTP."""

    pid: int
    port: int = PORT
    headers: dict[str, str] = field(default_factory=dict)

    def scrape(self) -> Scrape | None:
        """Return what it says now; None while it does not answer."""
        try:
            status, metrics = self._ask("GET", "/metrics")
            load = re.search(r'"server_load": *(\d+)', self._ask("GET", "/load")[1])
        except (OSError, http.client.HTTPException):
            return None
        engines = parse(metrics) if status == http.HTTPStatus.OK else {}
        return Scrape(time.monotonic(), engines, int(load[1]) if load else None)

    def question(self) -> int | None:
        """Ask what the model is for. Return the HTTP status; None: no answer in QUESTION_SECONDS."""
        status = int(http.HTTPStatus.NOT_FOUND)
        for path, kind, body in QUESTIONS:
            try:
                status = self._ask("POST", path, QUESTION_SECONDS, {"Content-Type": kind}, body)[0]
            except (OSError, http.client.HTTPException):
                return None
            if status != http.HTTPStatus.NOT_FOUND:
                break
        return status

    def kill(self) -> None:
        """End the process so that the container ends with an error; SIGTERM would let it end without one."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def _ask(
        self,
        method: str,
        path: str,
        seconds: float = READ_SECONDS,
        headers: dict[str, str] | None = None,
        body: bytes | None = None,
    ) -> tuple[int, str]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=seconds)
        try:
            connection.request(method, path, body, {**(headers or {}), **self.headers})
            answer = connection.getresponse()
            return answer.status, answer.read().decode(errors="replace")
        finally:
            connection.close()


def hang_seconds(value: str) -> float:
    """Return the limit that HANG_SECONDS sets."""
    seconds = _number(value) if value else DEFAULT_HANG_SECONDS
    if seconds is None or seconds < 0:
        say(f"HANG_SECONDS is {value!r}, which is not a number of seconds: {DEFAULT_HANG_SECONDS:g} is used")
        return DEFAULT_HANG_SECONDS
    return seconds


def say(text: str) -> None:
    print(f"monitor: {text}", flush=True)


def judge(engine: Engine, known: dict[str, Stillness], now: Scrape, limit: float) -> dict[str, Stillness] | None:
    """Return what is known of the engines after a closer look at those that may hang; None when one of them hangs."""
    suspected = suspects(known, now, limit)
    if not suspected:
        return known
    alone = len(suspected) == len(now.engines)
    status = engine.question() if alone else None
    later = engine.scrape() or now
    after = follow(known, later) if later.engines.keys() == known.keys() else known
    suspected = [name for name in suspected if after[name].seconds >= limit]
    if suspected and hangs(suspected, later, status):
        own = "other engines work" if not alone else f"the monitor's own request got {status or 'no answer'}"
        still = f"no sign of life for {limit:g} s with requests in flight ({later.in_flight})"
        say(f"engine {', '.join(suspected)} hangs: {still}, and {own}")
        return None
    say(f"the engine was still for {limit:g} s with requests in flight, but it works")
    return {name: Stillness(one.at, one.signs) for name, one in after.items()}


def main(pid: int) -> int:
    """Watch vLLM until it ends, or until its engine hangs; return the exit code."""
    key = os.environ.get("VLLM_API_KEY")
    engine = Engine(pid, headers={"Authorization": f"Bearer {key}"} if key else {})
    limit, parent = hang_seconds(os.environ.get("HANG_SECONDS", "")), os.getppid()
    before: Scrape | None = None
    known: dict[str, Stillness] = {}
    while os.getppid() == parent:
        began, now = time.monotonic(), engine.scrape()
        if now and now.engines:
            print(json.dumps({"monitor": numbers(before, now, time.time())}), flush=True)
            before, judged = now, judge(engine, follow(known, now), now, limit)
            if judged is None:
                say("the replica ends with an error now, and dstack replaces it")
                engine.kill()
                return 1
            known = judged
        time.sleep(max(0.0, began + LINE_SECONDS - time.monotonic()))
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
