"""The monitor beside vLLM: what it reads, what it prints, and when it says that an engine hangs."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from endpoint import serving

from engine import monitor
from engine.monitor import Engine, Scrape, Stillness, follow, hang_seconds, judge, numbers, parse, quantile, suspects

LIMIT = 120.0
MONITOR = Path(monitor.__file__)


def metrics(engine: str = "0", **values: float) -> str:
    """What vLLM's /metrics says of an engine that works."""
    names = {"iterations": monitor.ITERATIONS, "running": monitor.RUNNING, "waiting": monitor.WAITING}
    names |= {"cache": monitor.KV_CACHE, "output": "vllm:generation_tokens_total"}
    values = {"iterations": 5, "running": 0, "waiting": 0, "cache": 0.0} | values
    return "".join(f'{names[name]}{{engine="{engine}",model_name="m"}} {value}\n' for name, value in values.items())


def seen(at: float, in_flight: int | None = 0, **values: float) -> Scrape:
    return Scrape(at, parse(metrics("0", **values)), in_flight)


def suspected(*scrapes: Scrape, limit: float = LIMIT) -> list[str]:
    """The engines that may hang after these scrapes."""
    known: dict[str, Stillness] = {}
    for scrape in scrapes:
        known = follow(known, scrape)
    return suspects(known, scrapes[-1], limit)


def every_ten_seconds(seconds: int, in_flight: int = 1, **values: float) -> list[Scrape]:
    """The same numbers from second 0 on."""
    return [seen(at, in_flight, **values) for at in range(0, seconds + 1, 10)]


def test_a_hang_under_load_is_suspected_after_the_limit() -> None:
    still = every_ten_seconds(120, in_flight=3, running=2, waiting=1)
    assert suspected(*still) == ["0"]
    assert suspected(*still[:-1]) == []


def test_a_hang_while_idle_is_suspected_once_requests_wait() -> None:
    """The engine itself says that it runs nothing. In flight are only requests that the API has."""
    idle = every_ten_seconds(600, in_flight=0)
    assert suspected(*idle) == []
    asked = [seen(600 + at, 1) for at in range(10, 121, 10)]
    assert suspected(*idle, *asked) == ["0"]


def test_requests_that_give_up_and_come_again_add_up() -> None:
    """A probe waits for 30 seconds of every 45, and nobody else asks."""
    scrapes = [seen(at, 1 if at % 45 < 30 else 0) for at in range(0, 200, 10)]
    assert suspected(*scrapes) == ["0"]


def test_a_full_batch_with_a_queue_is_no_hang() -> None:
    scrapes = [seen(at, 200, running=128, waiting=72, cache=1.0, iterations=at) for at in range(10, 400, 10)]
    assert suspected(*scrapes) == []


def test_a_long_prefill_is_no_hang() -> None:
    """No iteration is counted before the first token, but each step takes more of the KV cache."""
    assert suspected(*[seen(at, 1, running=1, cache=at / 1000) for at in range(0, 400, 10)]) == []


def test_an_idle_engine_is_no_hang() -> None:
    assert suspected(*every_ten_seconds(3600, in_flight=0)) == []


def test_an_engine_that_has_not_computed_anything_is_still_starting() -> None:
    assert suspected(*every_ten_seconds(600, iterations=0)) == []


def test_a_model_that_loads_is_no_hang() -> None:
    """vLLM's API answers nothing, or nothing of an engine."""
    assert suspected(*[Scrape(at, {}, 0) for at in range(0, 600, 10)]) == []


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_a_clock_that_is_set_changes_nothing(jump: float) -> None:
    """Decisions use the monotonic clock. The time of day is only printed."""
    before, now = seen(0.0, 1), seen(10.0, 1)
    assert numbers(before, now, 1e9 + jump)["at"] == 1e9 + jump
    assert replace(now, at=0.0) == before
    assert suspected(before, now) == []


def test_a_machine_that_stood_still_counts_no_time() -> None:
    assert suspected(seen(0, 1), seen(10, 1), seen(4000, 1), seen(4010, 1)) == []


def test_time_without_an_answer_of_metrics_counts_no_time() -> None:
    unreachable = [seen(0, 1), seen(10, 1), seen(300, 1)]
    assert suspected(*unreachable) == []
    assert suspected(*unreachable, *[seen(300 + at, 1) for at in range(10, 111, 10)]) == ["0"]


def test_counters_that_begin_again_are_a_sign_of_life() -> None:
    scrapes = every_ten_seconds(110, iterations=500)
    assert suspected(*scrapes, seen(120, 1, iterations=3)) == []


def test_zero_switches_it_off() -> None:
    assert suspected(*every_ten_seconds(3600), limit=0) == []


def test_one_frozen_engine_of_several_counts_if_it_holds_requests() -> None:
    def scrapes(**frozen: float) -> list[Scrape]:
        return [
            Scrape(at, parse(metrics("0", iterations=at + 1, running=1) + metrics("1", **frozen)), 2)
            for at in range(0, 121, 10)
        ]

    assert suspected(*scrapes(running=1)) == ["1"]
    assert suspected(*scrapes(running=0)) == []  # the balancer gives it none


@dataclass
class Vllm:
    """What a stand-in for vLLM's process answers, and what became of it."""

    statuses: list[int | None] = field(default_factory=list)
    later: Scrape | None = None
    questions: int = 0


class Asked(Engine):
    def __init__(self, vllm: Vllm) -> None:
        super().__init__(pid=0)
        self.vllm = vllm

    def scrape(self) -> Scrape | None:
        return self.vllm.later

    def question(self) -> int | None:
        self.vllm.questions += 1
        return self.vllm.statuses.pop()


def judged(vllm: Vllm, *scrapes: Scrape) -> dict[str, Stillness] | None:
    known: dict[str, Stillness] = {}
    for scrape in scrapes:
        known = follow(known, scrape)
    return judge(Asked(vllm), known, scrapes[-1], LIMIT)


def test_an_engine_that_is_still_and_does_not_answer_hangs(capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(Vllm([None], later=seen(150, 2)), *every_ten_seconds(120)) is None
    said = capsys.readouterr().out
    assert "engine 0 hangs: no sign of life for 120 s with requests in flight (2)" in said
    assert "the monitor's own request got no answer" in said


def test_an_engine_hangs_also_when_its_api_answers_no_more() -> None:
    assert judged(Vllm([None], later=None), *every_ten_seconds(120)) is None


def test_an_engine_that_answers_the_monitor_only_has_a_slow_reader(capsys: pytest.CaptureFixture[str]) -> None:
    """A request is in flight until its caller has read the answer. The engine was done long before."""
    known = judged(Vllm([200], later=seen(121, 1, iterations=6)), *every_ten_seconds(120))
    assert known
    assert known["0"].seconds == 0
    assert "but it works" in capsys.readouterr().out


def test_a_sign_of_life_while_the_monitor_waits_for_its_answer_counts() -> None:
    later = seen(150, 1, running=1, cache=0.5)
    assert judged(Vllm([None], later), *every_ten_seconds(120, running=1, cache=0.4)) is not None


@pytest.mark.parametrize("status", [401, 404, 503])
def test_a_refusal_proves_nothing_so_the_engines_own_numbers_decide(status: int) -> None:
    idle, busy = every_ten_seconds(120), every_ten_seconds(120, running=1)
    assert judged(Vllm([status], later=idle[-1]), *idle) is not None
    assert judged(Vllm([status], later=busy[-1]), *busy) is None


def test_an_engine_that_works_is_not_asked() -> None:
    vllm = Vllm()
    assert judged(vllm, *every_ten_seconds(60))
    assert vllm.questions == 0


def test_the_line_has_the_numbers_since_the_last_one() -> None:
    def at(seconds: float, count: int) -> Scrape:
        text = metrics(running=3, waiting=1, cache=0.12345, output=100 * count) + (
            f'vllm:request_success_total{{engine="0",finished_reason="stop"}} {count}\n'
            f'vllm:request_success_total{{engine="0",finished_reason="length"}} {count}\n'
            f'vllm:prompt_tokens_total{{engine="0"}} {1000 * count}\n'
            f'vllm:num_preemptions_total{{engine="0"}} {count}\n'
            f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="0.5"}} {count}\n'
            f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="1.0"}} {2 * count}\n'
            f'vllm:time_to_first_token_seconds_bucket{{engine="0",le="+Inf"}} {2 * count}\n'
        )
        return Scrape(seconds, parse(text), 4)

    line = numbers(at(0, 10), at(10, 20), 1764220000.04)
    assert line == {
        "at": 1764220000.0,
        "running": 3,
        "waiting": 1,
        "in_flight": 4,
        "kv_cache_usage": 0.1235,
        "time_to_first_token": {"p50": 0.5, "p95": 0.95},
        "inter_token_latency": {"p50": None, "p95": None},
        "requests_per_second": 2.0,
        "prompt_tokens_per_second": 1000.0,
        "output_tokens_per_second": 100.0,
        "preemptions": 10,
    }
    first = numbers(None, at(0, 10), 0.0)
    assert (first["running"], first["requests_per_second"], first["preemptions"]) == (3, None, None)
    assert first["time_to_first_token"] == {"p50": None, "p95": None}


def test_numbers_that_the_engine_does_not_say_are_null() -> None:
    line = numbers(None, Scrape(0, {"0": {}}), 0.0)
    assert {line[name] for name in ("running", "waiting", "in_flight", "kv_cache_usage", "preemptions")} == {None}


def test_a_counter_that_began_again_counts_from_zero() -> None:
    before, now = seen(0, output=5000), seen(10, output=50)
    assert numbers(before, now, 0.0)["output_tokens_per_second"] == 5.0


def test_two_engines_are_added_up_and_the_fuller_cache_counts() -> None:
    text = metrics("0", running=2, cache=0.2) + metrics("1", running=3, cache=0.9)
    line = numbers(None, Scrape(0, parse(text)), 0.0)
    assert (line["running"], line["kv_cache_usage"]) == (5, 0.9)


def test_a_quantile_lies_in_its_bucket() -> None:
    inf = float("inf")
    assert quantile({}, {0.1: 0, 0.2: 10, inf: 10}, 0.5) == pytest.approx(0.15)
    assert quantile({}, {0.1: 0, 0.2: 0, inf: 4}, 0.5) == 0.2  # above the last bound: the bound
    assert quantile({0.1: 7, inf: 7}, {0.1: 7, inf: 7}, 0.5) is None
    assert quantile({0.1: 90, inf: 90}, {0.1: 2, inf: 2}, 0.5) == pytest.approx(0.05)  # it began again
    assert quantile({}, {}, 0.5) is None


def test_what_is_no_sample_of_vllm_is_passed_over() -> None:
    text = '# HELP vllm:x y\npython_info{a="b"} 1\nvllm:num_requests_running{engine="0"} NaN\nvllm:broken\nvllm:a b\n'
    assert parse(text) == {}
    assert parse('vllm:a{engine="1",model_name="with \\" and }"} 2e1') == {"1": {("vllm:a", ""): 20.0}}


@pytest.mark.parametrize(
    ("value", "seconds"), [("", 120.0), ("0", 0.0), ("45.5", 45.5), ("2m", 120.0), ("-1", 120.0), ("nan", 120.0)]
)
def test_hang_seconds_is_a_number_of_seconds(value: str, seconds: float, capsys: pytest.CaptureFixture[str]) -> None:
    assert hang_seconds(value) == seconds
    assert bool(capsys.readouterr().out) == (value in ("2m", "-1", "nan"))


class Hanging(BaseHTTPRequestHandler):
    """vLLM's API in front of an engine that hangs; its first scrape is of an engine that has worked before."""

    def do_GET(self) -> None:
        body = metrics(running=1) if self.path == "/metrics" else '{"server_load": 1}'
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_POST(self) -> None:
        self.close_connection = True  # no answer

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def hanging() -> Iterator[int]:
    """The port of a vLLM whose engine hangs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hanging)
    thread = Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield int(server.server_address[1])
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def run(port: int, shell: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a shell script with the monitor's text, as the service's command does, but with another port and haste."""
    hasty = MONITOR.read_text("utf-8").replace('PORT = "127.0.0.1", 8000', f'PORT = "127.0.0.1", {port}')
    hasty = hasty.replace("LINE_SECONDS = 10.0", "LINE_SECONDS = 0.1")
    env = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "TEXT": hasty, **variables}
    return subprocess.run(["/bin/sh", "-c", shell], env=env, capture_output=True, text=True, check=False, timeout=30)


BESIDE = 'sleep 20 & one=$!; python3 -c "$TEXT" $one & wait $one'


def test_a_hang_ends_the_container_with_an_error_after_it_said_why() -> None:
    with hanging() as port:
        done = run(port, BESIDE, HANG_SECONDS="0.5")
    first, *_, last = done.stdout.splitlines()
    assert done.returncode == 137
    assert first.startswith('{"monitor": {"at": ')
    assert json.loads(first)["monitor"]["in_flight"] == 1
    assert last == "monitor: the replica ends with an error now, and dstack replaces it"
    assert "engine 0 hangs" in done.stdout


def test_the_end_of_the_monitor_harms_nothing() -> None:
    with hanging() as port:
        done = run(port, f"(sleep 1; exit 7) & one=$!; {BESIDE.split('; ', 1)[1]}", HANG_SECONDS="not a number")
        broken = run(port, 'sleep 0.5 & one=$!; python3 -c "no python" $one & wait $one', HANG_SECONDS="")
    assert done.returncode == 7
    assert (broken.returncode, "SyntaxError" in broken.stderr) == (0, True)


def test_it_travels_in_one_variable() -> None:
    """Linux takes 128 KiB a string; dstack replaces references."""
    text = MONITOR.read_text("utf-8")
    assert len(text.encode()) < 64 * 1024
    assert "$" not in text


@pytest.mark.parametrize(
    ("answers", "status"),
    [
        ({"prompt": 200}, 200),
        ({"prompt": 404, "input": 200}, 200),
        ({"prompt": 404, "input": 404, "query": 200}, 200),
        ({"prompt": 404, "input": 404, "query": 404, "file": 200}, 200),
        ({"prompt": 404, "input": 401}, 401),
        ({"prompt": 404, "input": 404, "query": 404, "file": 404}, 404),
    ],
)
def test_the_monitor_asks_what_the_model_is_for(answers: dict[str, int], status: int) -> None:
    """The first of a token, an embedding, an order and the words of a recording that vLLM has a path for."""
    prepared = {name: (code, "{}") for name, code in answers.items()}
    keys = ("prompt", "input", "query", "file")
    with serving(prepared, lambda body: next(key for key in keys if key in body)) as vllm:
        assert Engine(0, vllm.server_port).question() == status


def test_the_recording_that_the_monitor_sends_is_a_recording() -> None:
    with wave.open(io.BytesIO(monitor.SILENCE)) as silence:
        assert (silence.getframerate(), silence.getnchannels(), silence.getnframes()) == (16_000, 1, 1600)


def test_no_answer_to_the_monitors_question_is_none() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert Engine(0, port).question() is None
