"""What is made of a load test's numbers, and what is said when there are none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest import run

from console.errors import ExitCode, Failure
from deploy.environments import Environment
from operate import bench, views

SUMMARY: dict[str, Any] = {
    metric: {"avg": 4.0, "p50": 1.04, "p90": 2.0, "p99": 3.0}
    for _, metric in (*bench.LATENCIES.values(), *bench.RATES.values())
} | {f"{direction}_sequence_length": {"avg": 100.04} for direction in ("input", "output")}


def test_a_million_costs_the_hours_that_it_takes() -> None:
    # 10,000 seconds at 0.0002 dollars
    assert bench.dollars_per_million(price_per_hour=0.72, per_second=100) == pytest.approx(2.0)


def test_the_report_has_percentiles_rates_and_dollars() -> None:
    found = bench.numbers(SUMMARY, price_per_hour=1.44)
    for name in bench.LATENCIES:
        assert found[name] == {"p50": 1.0, "p90": 2.0, "p99": 3.0}
    for name in bench.RATES:
        assert (found[f"{name}_per_second"], found[f"dollars_per_million_{name}"]) == (4.0, 100.0)


def test_it_is_shown_and_left_as_json_and_as_a_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = {"run": "x", "model": "a/b", "gpus": ["A40 48 GB"], "concurrency": 8, "requests": 100}
    report |= bench.numbers(SUMMARY, price_per_hour=1.44)
    views.bench(report, tmp_path)
    shown = capsys.readouterr().out
    assert "a/b on A40 48 GB: 100 requests, 8 at a time" in shown
    assert "$100.000 a million, at $1.44/h" in shown
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == report
    picture = (tmp_path / "report.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    assert "100.000" in picture
    views.bench(report, tmp_path, json=True)
    assert json.loads(capsys.readouterr().out) == report


def test_without_uv_it_says_what_to_install(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Failure, match="install uv") as failure:
        bench.of(environment, run(), Path("bench"), print, concurrency=1, requests=1, input_tokens=1, output_tokens=1)
    assert failure.value.code == ExitCode.BENCH_FAILED


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/none"])
def test_a_folder_that_can_not_be_is_refused_before_any_load(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr("shutil.which", lambda name: name)
    load = {"concurrency": 1, "requests": 1, "input_tokens": 1, "output_tokens": 1}
    with pytest.raises(Failure, match=r"^--folder: .* is no folder to write to: ") as failure:
        bench.of(environment, run(), tmp_path / folder, print, **load)
    assert failure.value.code == ExitCode.SETTINGS_INVALID


def test_a_report_that_can_not_be_left_is_said(tmp_path: Path) -> None:
    (tmp_path / "report.json").mkdir()
    with pytest.raises(Failure, match=r"report\.json can't be written") as failure:
        views.bench({}, tmp_path)
    assert failure.value.code == ExitCode.BENCH_FAILED


def test_the_tool_needs_no_proxy_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "intern.example.com")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    here, there = bench.surroundings("http://127.0.0.1:3000/v1"), bench.surroundings("http://chat.example.com/v1")
    assert here["no_proxy"] == here["NO_PROXY"] == "intern.example.com,localhost,127.0.0.1,::1"
    assert there["NO_PROXY"] == "intern.example.com"
    assert "HF_HUB_OFFLINE" not in here | there


def test_one_failed_request_spoils_the_numbers(tmp_path: Path) -> None:
    (tmp_path / "profile_export_aiperf.json").write_text(json.dumps(SUMMARY), encoding="utf-8")
    records = [{"error": None}, {"error": {"code": 503, "message": "no replica"}}]
    (tmp_path / "profile_export.jsonl").write_text("\n".join(map(json.dumps, records)), encoding="utf-8")
    with pytest.raises(Failure, match="1 of 2 requests failed, the first with 503: no replica") as failure:
        bench.read(tmp_path, 0)
    assert failure.value.code == ExitCode.SMOKE_FAILED


@pytest.mark.parametrize("code", [0, 1])
def test_a_tool_that_leaves_no_numbers_is_no_measurement(tmp_path: Path, code: int) -> None:
    with pytest.raises(Failure, match="without numbers") as failure:
        bench.read(tmp_path, code)
    assert failure.value.code == ExitCode.BENCH_FAILED
