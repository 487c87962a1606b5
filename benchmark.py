"""Measure on this machine what docs/tested.md says: `inv benchmark`, with `--json` for programs.

CPU is the user and system time of a command and its children. Memory is the sum of the resident sets of all processes,
as `ps` shows them, so shared pages count more than once. The gateway's figures come from its tests, which run here and
record them. That needs root and about fifteen minutes.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import psutil
from rich.console import Console
from rich.table import Table

from sandbox import Sandbox

ROOT = Path(__file__).parent
DEMO = ROOT / "demo-mistral-nemo"
RUNS = 5  # of each short command; the fastest run counts, because other work slows the others down
GATEWAY_TESTS = ["tests/end_to_end/test_gateway.py", "tests/end_to_end/test_gateway_outages.py"]
PRIVATE_PATH = "from nothing to a chat answered by name, seconds"
GATEWAY_LIMITS = {PRIVATE_PATH: 130.0}


@dataclass(frozen=True)
class Figure:
    """A measured value. `limit` is what the project promises; None if it promises nothing."""

    what: str
    value: float
    unit: str
    limit: float | None


def main() -> int:
    figures = list(measure())
    if "--fast" not in sys.argv:
        figures += measure_gateway()
    if "--json" in sys.argv:
        print(json.dumps([asdict(figure) for figure in figures], indent=2))
    else:
        Console().print(as_table(figures))
    return any(figure.limit is not None and figure.value > figure.limit for figure in figures)


def as_table(figures: list[Figure]) -> Table:
    table = Table("what", "measured", "limit", box=None)
    for figure in figures:
        over = figure.limit is not None and figure.value > figure.limit
        limit = "" if figure.limit is None else f"{figure.limit:g} {figure.unit}"
        table.add_row(figure.what, f"{'[red]' if over else ''}{figure.value:.2f} {figure.unit}", limit)
    return table


def measure() -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        bake = [tool("cookiecutter"), str(ROOT), "--no-input", "--default-config", "-f", "-o", folder]
        yield Figure("bake, CPU", min(cpu(bake, Path(folder)) for _ in range(RUNS)), "s", 1.0)
    listing = min(cpu([tool("inv"), "--list"], DEMO) for _ in range(RUNS))
    yield Figure("inv --list, CPU", listing, "s", 0.35)
    started = time.monotonic()
    with Sandbox() as sandbox:
        yield Figure("sandbox ready, wall", time.monotonic() - started, "s", None)
        yield Figure("sandbox ready, CPU of all its processes", sum(tree_cpu()), "s", 20)
        with variables(sandbox.environ):
            cpu([tool("inv"), "deploy", "--yes", "--env", "sandbox"], DEMO)
            yield Figure("start of the sandbox to the first answer, wall", time.monotonic() - started, "s", 90)
            yield Figure("resident memory of all its processes, one pod", sum(tree_memory()) / 2**20, "MiB", 700)
            listing = min(cpu([tool("dstack"), "ps"], DEMO) for _ in range(RUNS))
            idle = min(cpu([tool("inv"), "deploy", "--env", "sandbox"], DEMO) for _ in range(RUNS))
            yield Figure(
                "inv deploy that changes nothing, CPU; the limit is one dstack ps", idle, "s", round(listing, 2)
            )
            cpu([tool("inv"), "destroy", "--yes", "--env", "sandbox"], DEMO)


def measure_gateway() -> Iterator[Figure]:
    """Yield what the gateway's tests record. Raises SystemExit when a test fails: its figures would be useless."""
    with TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [tool("pytest"), "-q", f"--junitxml={report}", *GATEWAY_TESTS]
        done = subprocess.run(command, cwd=ROOT, stdout=sys.stderr)
        if done.returncode:
            raise SystemExit("the gateway's tests failed, see above; `inv benchmark --fast` leaves them out")
        for case in ElementTree.parse(report).iter("testcase"):
            title = case.attrib["name"].removeprefix("test_").replace("_", " ")
            for recorded in case.iter("property"):
                what = f"{title}, {recorded.attrib['name']}"
                yield Figure(what, float(recorded.attrib["value"]), "", GATEWAY_LIMITS.get(what))


def tool(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


def cpu(command: list[str], folder: Path) -> float:
    """Return the CPU seconds of a command. Raises SystemExit when it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} exited with {done.returncode}:\n{done.stdout}")
    return (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)


def tree_cpu() -> Iterator[float]:
    for process in psutil.Process().children(recursive=True):
        times = process.cpu_times()
        yield times.user + times.system + times.children_user + times.children_system


def tree_memory() -> Iterator[int]:
    for process in psutil.Process().children(recursive=True):
        yield process.memory_info().rss


@contextmanager
def variables(values: dict[str, str]) -> Iterator[None]:
    """Set environment variables for the commands that run inside."""
    before = dict(os.environ)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


if __name__ == "__main__":
    sys.exit(main())
