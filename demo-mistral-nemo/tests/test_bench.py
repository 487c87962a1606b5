"""How a load test's numbers are shown, and the message when there are none."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import run

from console.errors import ExitCode, Failure
from deploy.environments import Environment
from operate import bench, measurements, views
from operate.measurements import KINDS, Load, Report

EVERY_KIND = pytest.mark.parametrize("kind", KINDS)
SUMMARY: dict[str, Any] = {
    metric.key: {"avg": 4.0, "p50": 1.04, "p90": 2.0, "p99": 3.0}
    for kind in KINDS.values()
    for metric in (*kind.latencies, *kind.rates)
} | {f"{direction}_sequence_length": {"avg": 100.04} for direction in ("input", "output")}


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """serve(kind) makes this repository's service one of that kind of model."""
    path = tmp_path / "model.json"
    monkeypatch.setattr("capacity.served.PATH", path)

    def write(kind: str) -> None:
        path.write_text(json.dumps({"kind": kind, "model": "a/b"}), encoding="utf-8")

    return write


def report_of(kind: str) -> Report:
    measured = KINDS[kind]
    return Report(
        run="x",
        model="a/b",
        gpus=("A40 48 GB",),
        tool=bench.TOOL,
        load=Load(8, 100, 512, measured.output_tokens),
        price_per_hour=1.44,
        latencies=measurements.latencies(measured, SUMMARY),
        rates=measurements.rates(measured, SUMMARY, 1.44),
        input_tokens=measurements.tokens_counted(measured, SUMMARY, "input"),
        output_tokens=measurements.tokens_counted(measured, SUMMARY, "output"),
    )


def test_a_million_costs_the_hours_that_it_takes() -> None:
    # 10,000 seconds at 0.0002 dollars
    assert measurements.dollars_per_million(price_per_hour=0.72, per_second=100) == pytest.approx(2.0)


@EVERY_KIND
def test_the_report_has_percentiles_rates_and_dollars(kind: str) -> None:
    found = report_of(kind).as_json()
    for metric in KINDS[kind].latencies:
        assert found[metric.name] == {"p50": 1.0, "p90": 2.0, "p99": 3.0}
    for metric in KINDS[kind].rates:
        assert (found[f"{metric.name}_per_second"], found[f"dollars_per_million_{metric.name}"]) == (4.0, 100.0)
    assert (found["concurrency"], found["requests"], found["price_per_hour"]) == (8, 100, 1.44)


def test_tokens_are_those_that_were_counted_where_answers_have_any() -> None:
    chat, pictures = report_of("chat").as_json(), report_of("pictures").as_json()
    assert (chat["input_tokens"], chat["output_tokens"]) == (100.0, 100.0)
    assert pictures["input_tokens"] == 512
    assert "output_tokens" not in pictures


@EVERY_KIND
def test_the_load_suits_the_kind_of_model(serve: Callable[[str], None], kind: str) -> None:
    serve(kind)
    assert bench.planned_load(8, 100) == Load(8, 100, KINDS[kind].input_tokens, KINDS[kind].output_tokens)
    assert bench.planned_load(8, 100, input_tokens=7).input_tokens == 7


def test_tokens_of_an_answer_are_refused_where_it_has_none(serve: Callable[[str], None]) -> None:
    serve("chat")
    assert bench.planned_load(8, 100, output_tokens=7).output_tokens == 7
    serve("pictures")
    with pytest.raises(Failure, match="--output-tokens 7: a picture has no tokens; leave it out") as failure:
        bench.planned_load(8, 100, output_tokens=7)
    assert failure.value.code == ExitCode.SETTINGS_INVALID


@pytest.mark.parametrize(("kind", "tokens"), [("chat", ", 100.0 tokens in, 100.0 out"), ("pictures", "")])
def test_it_is_shown_and_left_as_json_and_as_a_picture(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str, tokens: str
) -> None:
    report = report_of(kind)
    bench.save(report, views.bench_picture(report), tmp_path)
    views.bench(report, tmp_path)
    shown = capsys.readouterr().out
    assert f"a/b on A40 48 GB: 100 requests, 8 at a time{tokens}\n" in shown
    assert "$100.000 a million, at $1.44/h" in shown
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == report.as_json()
    picture = (tmp_path / "report.svg").read_text("utf-8")
    assert picture.startswith("<svg")
    assert "100.000" in picture
    views.bench(report, tmp_path, json=True)
    assert json.loads(capsys.readouterr().out) == report.as_json()


def test_without_uv_it_says_what_to_install(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(Failure, match="install uv") as failure:
        bench.measure(environment, run(), Path("bench"), print, Load(1, 1, 1, 1))
    assert failure.value.code == ExitCode.BENCH_FAILED


@pytest.mark.parametrize("folder", ["file", "file/below", "/proc/none"])
def test_a_folder_that_can_not_be_is_refused_before_any_load(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: str
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setattr("shutil.which", lambda name: name)
    with pytest.raises(Failure, match=r"^can't write to .* \(.*\); choose another --folder") as failure:
        bench.measure(environment, run(), tmp_path / folder, print, Load(1, 1, 1, 1))
    assert failure.value.code == ExitCode.SETTINGS_INVALID


@pytest.mark.parametrize("name", ["report.json", "report.svg"])
def test_a_report_that_can_not_be_written_is_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(Failure, match=f"{name} can't be written") as failure:
        bench.save(report_of("chat"), "<svg/>", tmp_path)
    assert failure.value.code == ExitCode.BENCH_FAILED


def test_the_tool_needs_no_proxy_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "intern.example.com")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    here, there = bench.variables_for("http://127.0.0.1:3000/v1"), bench.variables_for("http://chat.example.com/v1")
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
def test_a_tool_that_writes_no_numbers_gives_no_measurement(tmp_path: Path, code: int) -> None:
    with pytest.raises(Failure, match="without numbers") as failure:
        bench.read(tmp_path, code)
    assert failure.value.code == ExitCode.BENCH_FAILED
