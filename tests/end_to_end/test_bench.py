"""The load test of a deployed service, by the real tool: what it measures, leaves behind, and keeps to itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.end_to_end.project import Environment, refused
from tests.rendered import ROOT, different_models, rendered

PATH = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # uv is among these tests' own packages
MACHINERY = ROOT / "demo-mistral-nemo" / "operate" / "bench.py"


LOADS = "import sys; from aiperf.config.loader.core import load_config; [load_config(path) for path in sys.argv[1:]]"


@pytest.fixture(scope="module", autouse=True)
def tool() -> str:
    """AIPerf in uv's cache: 800 MB, some 15 seconds on a good line."""
    [version] = [line.split('"')[1] for line in MACHINERY.read_text("utf-8").splitlines() if line.startswith("TOOL = ")]
    words = ["uvx", "--from", version, "aiperf", "--version"]
    done = subprocess.run(words, env=os.environ | {"PATH": PATH}, capture_output=True, text=True)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"{version} can't be installed here: {done.stderr[-300:]}")
    assert done.returncode == 0, done.stderr
    return version


def load(environment: Environment, *words: str) -> tuple[subprocess.CompletedProcess[str], set[str]]:
    """A small load test to its end, and every argument of a process that was seen meanwhile."""
    few = ["--requests", "20", "--concurrency", "4", "--output-tokens", "16"]
    process = environment.start("bench", *few, *words, PATH=PATH)
    seen: set[str] = set()
    while process.poll() is None:
        for other in psutil.process_iter(["cmdline"]):
            seen.update(other.info["cmdline"] or [])
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
    output, errors = process.communicate()
    return subprocess.CompletedProcess(words, process.returncode, output, errors), seen


def test_a_service_under_load_is_measured_and_its_tokens_have_a_price(serving: Environment) -> None:
    done, arguments = load(serving, "--json")
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    assert (report["requests"], report["concurrency"], report["output_tokens"]) == (20, 4, 16)
    assert 300 < report["input_tokens"] < 700  # of 512; words are the stand-in's tokens
    for latency in ("first_token_ms", "between_tokens_ms", "answer_ms"):
        assert 0 < report[latency]["p50"] <= report[latency]["p90"] <= report[latency]["p99"]
    assert report["answer_ms"]["p50"] > report["first_token_ms"]["p50"]
    assert report["price_per_hour"] == serving.status()["price_per_hour"]
    dollars = report["price_per_hour"] / (report["output_tokens_per_second"] * 3600) * 1e6
    assert report["dollars_per_million_output_tokens"] == pytest.approx(dollars, rel=0.01)
    folder = serving.project / "bench"
    assert json.loads((folder / "report.json").read_text("utf-8")) == report
    assert (folder / "report.svg").read_text("utf-8").startswith("<svg")
    assert any("bench.yml" in argument for argument in arguments)
    assert not [argument for argument in arguments if serving.sandbox.token in argument]
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if serving.sandbox.token.encode() in path.read_bytes()]


def test_requests_that_fail_are_said_and_not_averaged_away(serving: Environment) -> None:
    done, _ = load(serving, "--input-tokens", "60000")
    refused(done, 30, "requests failed, the first with 400", "maximum context length")


def test_the_tool_takes_the_file_of_each_kind_of_model(tool: str, tmp_path: Path) -> None:
    for number, model_id in enumerate(different_models()):
        (tmp_path / f"{number}.yml").write_text(rendered("operate/bench.yml", model_id), "utf-8")
    numbers = ("REQUESTS", "CONCURRENCY", "INPUT_CHARACTERS", "OUTPUT_TOKENS")
    texts = {"BENCH_MODEL": "m", "BENCH_FOLDER": "bench", "BENCH_URL": "http://127.0.0.1/v1", "DSTACK_TOKEN": "t"}
    variables = texts | {f"BENCH_{name}": "8" for name in numbers}
    words = ["uvx", "--from", tool, "python", "-c", LOADS, *map(str, tmp_path.iterdir())]
    done = subprocess.run(words, env=os.environ | {"PATH": PATH} | variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_is_not_deployed_is_not_loaded(serving: Environment) -> None:
    absent = Environment(serving.project, serving.sandbox, "absent")
    absent.write()
    refused(absent.inv("bench", PATH=PATH), 33, "inv deploy --env absent")
