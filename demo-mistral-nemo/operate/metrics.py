"""Numbers of each replica in the last hour: its machine's, from dstack, and its engine's, from the monitor's lines.

engine/monitor.py prints a line of numbers every few seconds into the log of its replica.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from deploy import observing
from deploy.api import Api
from deploy.documents.files import Document
from deploy.dstack.answers import Run
from deploy.dstack.observations import Metrics
from deploy.environments import Environment
from operate import logs
from operate.kind import model_kind
from operate.logs import Line

HOUR = timedelta(hours=1)
MOST_LINES = 400  # a monitor's line every 10 s: somewhat more than an hour
BLOCKS, PLAIN = "▁▂▃▄▅▆▇█", "_.-=+*#@"  # levels of a sparkline, the lowest first; for terminals without blocks
Numbers = dict[str, list[float]]  # a series by name, the oldest first


@dataclass(frozen=True)
class ReplicaMetrics:
    """`machine` in percent: gpu, gpu_memory, memory, cpu. `engine`: the monitor's lines. Both the oldest first."""

    replica: int
    status: str
    machine: Numbers
    engine: list[Document]

    def as_json(self) -> Document:
        """Return the numbers as `inv metrics --json` prints them. Without any, `machine` is empty, `engine` null."""
        return {
            "replica": self.replica,
            "status": self.status,
            "machine": {name: values[-1] for name, values in self.machine.items() if values},
            "engine": self.engine[-1] if self.engine else None,
            "last_hour": {"machine": self.machine, "engine": self.engine},
        }

    def latest(self, *path: str) -> float | None:
        """Return a number of the newest line of the engine, e.g. `time_to_first_token`, `p95`; None if unknown."""
        return number(self.engine[-1], *path) if self.engine else None

    def series(self, name: str) -> list[float]:
        """Return a number of the engine over the hour."""
        return [found for line in self.engine if (found := number(line, name)) is not None]


def measured(api: Api, environment: Environment, run: Run) -> list[ReplicaMetrics]:
    """Return the numbers of each replica that serves or starts, in the order of their numbers."""
    after = datetime.now(UTC) - HOUR
    found = []
    for job in sorted(run.replicas, key=lambda job: job.number):
        machine = machine_numbers(observing.metrics(api, environment.run_name, job.number, after))
        attempt = (job.number, job.latest)
        lines = logs.tail(api, environment.run_name, attempt, MOST_LINES, after, keep=lambda line: line.of_monitor)
        found.append(ReplicaMetrics(job.number, job.latest.status, machine, engine_numbers(lines)))
    return found


def missing(found: Iterable[ReplicaMetrics]) -> str:
    """Return why there are no numbers of the engines; "" if there are some."""
    found = list(found)
    if not found:
        return "no replica runs"
    if any(one.engine for one in found):
        return ""
    if model_kind() == "pictures":
        return "no numbers of the engine: one that draws pictures prints none"
    return "no numbers of the engine in the last hour: it is loading, or was deployed without its monitor"


def machine_numbers(metrics: Metrics) -> Numbers:
    """Return what dstack measured as percentages of what the machine has. Several GPUs count as one."""
    of = {metric.name: list(reversed(metric.values)) for metric in metrics.metrics}
    used = _sums(of, "gpu_memory_usage_bytes_gpu")
    cards = len([name for name in of if name.startswith("gpu_util_percent_gpu")]) or 1
    card_bytes = [cards * total for total in of.get("gpu_memory_total_bytes", [])]
    found = {
        "gpu": [total / cards for total in _sums(of, "gpu_util_percent_gpu")],
        "gpu_memory": _percent(used, card_bytes),
        "memory": _percent(of.get("memory_working_set_bytes", []), of.get("memory_total_bytes", [])),
        "cpu": _shares(of.get("cpu_usage_percent", []), of.get("cpus_detected_num", [])),
    }
    return {name: values for name, values in found.items() if values}


def engine_numbers(lines: Iterable[Line]) -> list[Document]:
    """Return what the monitor's lines say. A line that can't be read is left out."""
    found = []
    for line in lines:
        try:
            said = json.loads(line.text)["monitor"]
        except (ValueError, KeyError, TypeError):
            continue
        found += [said] if isinstance(said, dict) else []
    return found


def number(line: Document, *path: str) -> float | None:
    """Return the number at a path of keys; None if it is not there, or no number."""
    value: object = line
    for key in path:
        value = value.get(key) if isinstance(value, dict) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def sparkline(values: Sequence[float], most: float | None = None, width: int = 30, blocks: str = BLOCKS) -> str:
    """Return a line of blocks, each the mean of a part of the values. `most`: the value of a full block."""
    count = min(width, len(values))
    edges = [len(values) * at // count for at in range(count + 1)] if count else []
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    top = most or max(means, default=0) or 1
    levels = [round(max(0.0, min(mean / top, 1.0)) * (len(blocks) - 1)) for mean in means]
    return "".join(blocks[level] for level in levels)


def _sums(of: Numbers, prefix: str) -> list[float]:
    series = [values for name, values in of.items() if name.startswith(prefix)]
    return [sum(values) for values in zip(*series, strict=False)]


def _percent(used: Sequence[float], total: Sequence[float]) -> list[float]:
    return [100 * part / whole for part, whole in zip(used, total, strict=False) if whole]


def _shares(percent: Sequence[float], count: Sequence[float]) -> list[float]:
    return [part / whole for part, whole in zip(percent, count, strict=False) if whole]
