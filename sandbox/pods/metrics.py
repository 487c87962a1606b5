"""What `dstack metrics` shows of a pod: figures made up from what the stand-in engine is doing.

The engine leaves its activity in a file; the runner turns it into the figures of a machine that does the same with a
real model. The busy share is that of the time since the last reading, as a GPU's own counter gives it.
"""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sandbox.pods.spec import PodSpec

GIB = 1024**3

_IDLE_CORES = 0.04  # CPU cores: the runner and the container's own processes
_LOADING_CORES = 1.6  # reading shards
_BUSY_CORES = 1.1  # one core schedules, the rest serves HTTP
_IDLE_MEMORY_GIB, _ENGINE_MEMORY_GIB = 0.4, 5.2
_WEIGHTS_SHARE = 0.6  # of what the engine finally takes of a GPU; the rest becomes KV cache after loading
_BUSY_PERCENT, _BUSY_SWING = 90.0, 6.0  # GPU utilization while requests run: 84-96 %
_SWING_SECONDS = 23.0


@dataclass(frozen=True)
class Activity:
    """What an engine is doing. Moments are of the monotonic clock, which all processes of a machine share."""

    started: float
    load_seconds: float
    gpus: int  # how many it uses
    memory_share: float  # of each GPU, once it is loaded (--gpu-memory-utilization)
    busy_seconds: float = 0.0  # with at least one request running, up to busy_since
    busy_since: float | None = None

    def busy(self, now: float) -> float:
        """Seconds with at least one request running."""
        return self.busy_seconds + (now - self.busy_since if self.busy_since is not None else 0.0)

    def loaded(self, now: float) -> float:
        """The share of the weights that is loaded, 0-1."""
        return min(1.0, (now - self.started) / self.load_seconds) if self.load_seconds else 1.0

    def save(self, path: Path) -> None:
        """Replace what is in `path`, which a reader sees either before or after."""
        draft = path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self)))
        draft.replace(path)

    @classmethod
    def load(cls, path: Path) -> Activity | None:
        """None when no engine has run."""
        try:
            return cls(**json.loads(path.read_text()))
        except FileNotFoundError:
            return None


class Meter:
    """The pod's counters; CPU time adds up from one reading to the next."""

    def __init__(self, spec: PodSpec) -> None:
        self._spec = spec
        self._read_at = time.monotonic()
        self._busy = 0.0
        self._cpu_seconds = 0.0

    def read(self, activity: Activity | None) -> dict[str, Any]:
        """dstack's MetricsResponse: bytes, percent and microseconds. `activity` is None when no engine runs."""
        now = time.monotonic()
        interval = max(now - self._read_at, 1e-3)
        busy = activity.busy(now) if activity else 0.0
        share = min(1.0, max(0.0, (busy - self._busy) / interval))
        loading = activity is not None and activity.loaded(now) < 1.0
        cores = _IDLE_CORES + (_LOADING_CORES if loading else _BUSY_CORES * share)
        self._cpu_seconds += min(cores, self._spec.cpus) * interval
        self._read_at, self._busy = now, busy
        memory = _IDLE_MEMORY_GIB + (_ENGINE_MEMORY_GIB * activity.loaded(now) if activity else 0.0)
        memory_bytes = int(min(memory, self._spec.memory_gib * 0.9) * GIB)
        return {
            "timestamp_micro": time.time_ns() // 1000,
            "cpu_usage_micro": int(self._cpu_seconds * 1e6),
            "memory_usage_bytes": int(memory_bytes * 1.15),  # with the page cache
            "memory_working_set_bytes": memory_bytes,
            "gpus": [self._gpu(index, activity, share, now) for index in range(self._spec.gpu_count)],
        }

    def _gpu(self, index: int, activity: Activity | None, share: float, now: float) -> dict[str, int]:
        if activity is None or index >= activity.gpus:
            return {"gpu_memory_usage_bytes": 0, "gpu_util_percent": 0}
        loaded = activity.loaded(now)
        taken = activity.memory_share * (1.0 if loaded == 1.0 else _WEIGHTS_SHARE * loaded)
        swing = _BUSY_SWING * math.sin(math.tau * now / _SWING_SECONDS + index)
        return {
            "gpu_memory_usage_bytes": int(taken * self._spec.gpu_memory_gib * GIB),
            "gpu_util_percent": round(share * (_BUSY_PERCENT + swing)),
        }
