"""Numbers of machines and engines: what they are made from, and `inv metrics`."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from person import Person

from console.errors import ExitCode
from deploy.dstack.observations import Metrics
from operate.logs import Line
from operate.metrics import engine_numbers, machine_numbers, number, sparkline

TIMES = ["2026-11-01T00:00:10Z", "2026-11-01T00:00:00Z"]  # the newest first, as dstack has them
SERIES = {
    "cpu_usage_percent": [400, 800],
    "cpus_detected_num": [16, 16],
    "memory_working_set_bytes": [50, 25],
    "memory_usage_bytes": [99, 99],
    "memory_total_bytes": [100, 100],
    "gpus_detected_num": [2, 2],
    "gpu_memory_total_bytes": [100, 100],
    "gpu_memory_usage_bytes_gpu0": [90, 10],
    "gpu_memory_usage_bytes_gpu1": [70, 10],
    "gpu_util_percent_gpu0": [100, 0],
    "gpu_util_percent_gpu1": [50, 0],
}
MEASURED: list[dict[str, Any]] = [{"name": name, "timestamps": TIMES, "values": two} for name, two in SERIES.items()]
SAID = {"running": 3, "waiting": 1, "kv_cache_usage": 0.12, "time_to_first_token": {"p50": 0.2, "p95": 0.8}}
SAID |= {"inter_token_latency": {"p50": None, "p95": None}, "requests_per_second": None}


def test_what_dstack_measures_becomes_percentages_the_oldest_first() -> None:
    found = machine_numbers(Metrics.model_validate({"metrics": MEASURED}))
    assert found == {"gpu": [0, 75], "gpu_memory": [10, 80], "memory": [25, 50], "cpu": [50, 25]}


@pytest.mark.parametrize("lacking", ["gpu", "cpus", "memory", ""])
def test_what_dstack_does_not_know_is_left_out(lacking: str) -> None:
    known = [one for one in MEASURED if not one["name"].startswith(lacking)]
    found = machine_numbers(Metrics.model_validate({"metrics": known}))
    assert (
        found.keys()
        == {
            "gpu": {"memory", "cpu"},
            "cpus": {"gpu", "gpu_memory", "memory"},
            "memory": {"gpu", "gpu_memory", "cpu"},
            "": set(),
        }[lacking]
    )


def test_lines_that_are_not_the_monitors_are_left_out() -> None:
    texts = ['{"monitor": {"running": 1}}', '{"monitor":', '{"monitor": 3}', "[1]", '{"other": {}}', '{"monitor": {}}']
    assert engine_numbers(Line(datetime.now(UTC), 0, text) for text in texts) == [{"running": 1}, {}]


@pytest.mark.parametrize(
    ("path", "value"),
    [(("running",), 3), (("time_to_first_token", "p95"), 0.8), (("requests_per_second",), None)]
    + [
        (path, None)
        for path in (("absent",), ("running", "p95"), ("inter_token_latency", "p95"), ("time_to_first_token",))
    ],
)
def test_a_number_of_the_engine_may_be_missing(path: tuple[str, ...], value: float | None) -> None:
    assert number(SAID, *path) == value


@pytest.mark.parametrize(
    ("values", "most", "line"),
    [
        ([], None, ""),
        ([0, 0], None, "▁▁"),
        ([0, 50, 100], 100, "▁▅█"),
        ([-1, 300], 100, "▁█"),
        ([1, 2, 4], None, "▃▅█"),
        ([0] * 30 + [8] * 30, None, "▁" * 15 + "█" * 15),
    ],
)
def test_a_sparkline_has_a_block_for_each_part(values: list[float], most: float | None, line: str) -> None:
    assert sparkline(values, most) == line


def write(person: Person, *lines: str) -> None:
    """Let each container write these lines, just now."""
    [run] = person.dstack.runs.values()
    at = datetime.now(UTC).isoformat()
    person.dstack.logs = {attempt.id: [(at, "".join(f"{line}\n" for line in lines))] for attempt in run.active}


def test_machine_and_engine_are_shown_beside_each_other(deployed: Person) -> None:
    deployed.dstack.measured = MEASURED
    write(deployed, "INFO Engine 000", json.dumps({"monitor": SAID | {"running": 1}}), json.dumps({"monitor": SAID}))
    shown = deployed.inv("metrics")
    assert shown.code == 0, shown.errors
    header, row, last_hour = shown.output.splitlines()
    assert "GPU memory" in header
    assert row.split()[:9] == ["0", "75", "%", "80", "%", "50", "%", "25", "%"]
    assert row.split()[9:14] == ["3", "1", "12%", "0.80", "s"]
    assert "GPU ▁▆" in last_hour
    assert "running ▃█" in last_hour
    [replica] = deployed.inv("metrics", "--json").json["replicas"]
    assert replica["machine"] == {"gpu": 75, "gpu_memory": 80, "memory": 50, "cpu": 25}
    assert (replica["engine"], len(replica["last_hour"]["engine"])) == (SAID, 2)


def test_without_the_monitor_dstacks_numbers_are_shown_with_the_reason(deployed: Person) -> None:
    deployed.dstack.measured = MEASURED
    shown = deployed.inv("metrics").output
    assert "75 %" in shown
    assert "running" not in shown.splitlines()[0]
    assert "no numbers of the engine" in shown.splitlines()[-1]
    found = deployed.inv("metrics", "--json").json
    assert found["replicas"][0]["engine"] is None
    assert "no numbers of the engine" in found["engine_missing"]


def test_a_service_without_a_replica_has_no_numbers(deployed: Person) -> None:
    deployed.write("dev", service={"replicas": 0})
    assert deployed.inv("deploy", "--yes").code == 0
    done = deployed.inv("metrics")
    assert (done.code, done.output) == (0, "no replica runs\n")


def test_watching_shows_it_again_until_ctrl_c(deployed: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr("commands.seeing.sleep", wait)
    done = deployed.inv("metrics", "--watch")
    assert done.code == ExitCode.INTERRUPTED
    assert done.output.count("no numbers of the engine") == 3


def test_metrics_of_what_is_not_deployed(person: Person) -> None:
    assert person.inv("metrics").code == ExitCode.NOT_DEPLOYED
