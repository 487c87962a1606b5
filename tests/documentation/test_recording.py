"""The picture of `inv demo`: whole, small, harmless, and of the demo as it is today."""

from __future__ import annotations

import io
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from xml.etree import ElementTree

import pytest
from rich.console import Console

import demo
import demo_stage
import recording
from tests.rendered import ROOT

PICTURE = ROOT / "docs" / "demo.svg"
AGAIN = "`inv record` records the demo again"


def lines(svg: str) -> list[str]:
    """The rows of a picture's terminal."""
    texts = ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    return ["".join(text.itertext()) for text in texts]


def headlines(rows: list[str]) -> list[str]:
    """The demo's own rows: its steps, the commands it types, the question."""
    return [row for row in rows if row.startswith(("──", "$ ", "  you:"))]


@pytest.fixture
def today(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What demo.py prints in its own words, with a sandbox in which everything succeeds."""
    shown = io.StringIO()
    console = Console(file=shown, width=200, highlight=False, soft_wrap=True)
    for module in (demo, demo_stage):
        monkeypatch.setattr(module, "console", console)
    pods = [SimpleNamespace(id="1", cloud="runpod", started=1, running=False)]
    moved = [*pods, SimpleNamespace(id="2", cloud="vastai", started=2, running=False)]

    class Rehearsal(demo_stage.Stage):
        def inv(self, *words: str, code: int = 0) -> None:
            demo_stage.console.print(f"$ inv {' '.join(words)} --env {self.environment}")

        def answer(self) -> str:
            return '{"choices": [{"message": {"content": "…"}}]}'

    found = iter([pods, moved])
    cloud = SimpleNamespace(
        pods=lambda: next(found, moved), faults=SimpleNamespace(set_capacity=lambda *_, **__: None), url="", project=""
    )
    demo.step("Starting the sandbox", "a real dstack server, with RunPod and Vast.ai emulated on this machine")
    project = Path(shutil.copytree(demo.DEMO, tmp_path / demo.DEMO.name))
    demo.play(Rehearsal(cast("Any", cloud), project, "sandbox"), 0.0)
    return shown.getvalue().splitlines()


def test_it_shows_the_steps_and_commands_of_today(today: list[str]) -> None:
    recorded = headlines(lines(PICTURE.read_text("utf-8")))
    assert len(recorded) > 8
    assert recorded == headlines(today), AGAIN


def test_it_is_whole_and_small() -> None:
    svg = PICTURE.read_text("utf-8")
    rows = lines(svg)
    assert any(re.match(r"Done in \d+ s; the first answer came after \d+ s\.", row) for row in rows), AGAIN
    assert len(svg.encode()) <= 200_000
    assert "@keyframes" in svg
    assert "prefers-reduced-motion" in svg
    assert "<script" not in svg
    assert max(map(len, rows)) <= recording.COLUMNS


def test_it_has_nothing_of_the_machine_it_was_made_on() -> None:
    assert not recording.PRIVATE.search("\n".join(lines(PICTURE.read_text("utf-8"))))


def test_a_recording_is_what_a_terminal_shows_at_the_end() -> None:
    script = r"""
import sys, time
print("\x1b[1m$ inv deploy\x1b[0m", flush=True)
time.sleep(0.3)
print("waiting", end="\r\x1b[2K", flush=True)
print("\x1b[32m<done> & well\x1b[0m", sys.stdout.isatty(), flush=True)
"""
    rows = recording.rows_of(recording.run([sys.executable, "-c", script], ROOT, 80), 80)
    assert [recording.text_of(row) for _, row in rows] == ["$ inv deploy", "<done> & well True"]
    assert rows[1][0] - rows[0][0] > 0.2
    svg = recording.svg(rows)
    assert lines(svg) == ["$ inv deploy", "<done> & well True"]
    assert '<tspan class="bold">$ inv deploy</tspan>' in svg
    assert '<tspan class="green">&lt;done&gt; &amp; well</tspan>' in svg


def test_waiting_times_are_short() -> None:
    rows = [(second, recording.rows_of(iter([(0.0, "text")]), 80)[0][1]) for second in (0.0, 100.0, 100.0)]
    [total] = re.findall(r"animation:scroll ([\d.]+)s", recording.svg(rows))
    assert float(total) == pytest.approx(recording.SLOWEST + recording.FASTEST + recording.END, abs=0.1)


@pytest.mark.parametrize(
    "secret", ["/tmp/demo-x/y", "/home/somebody/x", "Authorization: Bearer abc", "hf_abcdefghijkl"]
)
def test_a_recording_with_a_secret_or_a_path_is_refused(secret: str) -> None:
    with pytest.raises(ValueError, match="of this machine alone"):
        recording.svg(recording.rows_of(iter([(0.0, f"see {secret}\r\n")]), 80))


def test_a_command_that_fails_is_not_recorded() -> None:
    with pytest.raises(RuntimeError, match="ended with 3"):
        list(recording.run([sys.executable, "-c", "raise SystemExit(3)"], ROOT, 80))
