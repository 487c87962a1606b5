"""Recordings for the documentation: `inv demo` as an animated picture, a session with cookiecutter as text.

Each is what a real command prints in a terminal. `inv record` makes both again, and a test fails when they are stale.
"""

from __future__ import annotations

import html
import json
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import pyte

import template_docs

ROOT = Path(__file__).parent
COLUMNS, ROWS, VISIBLE = 110, 1000, 28  # of the terminal; the picture shows the last VISIBLE rows
NARROW = 90  # of the text, which a page has to hold
WIDTH, HEIGHT = 8.43, 18  # of a character in the picture
SLOWEST, FASTEST, END = 1.2, 0.12, 6.0  # seconds between two rows, and how long the last row stays
SPINNER = re.compile("[\u2801-\u28ff]")
PRIVATE = re.compile(r"(?:/tmp|/home|/root|/Users|/work)/|Bearer (?!%s)|hf_\w{10}|DSTACK_TOKEN=")
DARK = {"red": "#ff7b72", "green": "#7ee787", "brown": "#e3b341", "cyan": "#79c0ff", "brightblack": "#8b949e"}
MARKS = ("<!-- recorded: inv record -->\n", "<!-- end of recording -->\n")
ANSWERS = {"model_id": "Qwen/Qwen3-8B", "owner": "the search team"}  # others: Enter

Row = list[pyte.screens.Char]
Output = Iterator[tuple[float, str]]  # a text with the second in which it came

pyte.graphics.FG_ANSI[2] = "brightblack"  # pyte has no dim text


def run(command: list[str], folder: Path, columns: int, answer: Callable[[str], str] = lambda text: "") -> Output:
    """Run a command in a terminal of so many columns, and yield its output. Type what `answer` returns to it.

    Raises RuntimeError when the command fails.
    """
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("DSTACK_", "GITHUB_"))}
    variables = keep | {"TERM": "xterm-256color", "COLUMNS": str(columns), "LINES": "40", "PYTHONPATH": str(ROOT)}
    ours, theirs = pty.openpty()
    started, waiting = time.monotonic(), ""
    with subprocess.Popen(command, cwd=folder, env=variables, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        while data := _read(ours):
            text = data.decode("utf-8", "replace")
            yield time.monotonic() - started, text
            waiting += text
            if typed := answer(waiting):
                os.write(ours, typed.encode())
                waiting = ""
    os.close(ours)
    if process.returncode:
        raise RuntimeError(f"{command} ended with {process.returncode}")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux: the command has ended
        return b""


def rows_of(output: Output, columns: int) -> list[tuple[float, Row]]:
    """Return the rows of the terminal after the whole output, each with the second of its last change.

    A row that a spinner left behind is left out.
    """
    screen, changed = pyte.Screen(columns, ROWS), [0.0] * ROWS
    stream = pyte.Stream(screen)
    for second, text in output:
        screen.dirty.clear()
        stream.feed(text)
        for row in screen.dirty:
            changed[row] = second
    lines = [[screen.buffer[row][column] for column in range(columns)] for row in range(ROWS)]
    used = [row for row, line in enumerate(lines) if text_of(line)]
    kept = (row for row in range(used[0], used[-1] + 1) if not SPINNER.match(text_of(lines[row])))
    return [(changed[row], lines[row]) for row in kept]


def text_of(row: Row) -> str:
    return "".join(character.data for character in row).rstrip()


def svg(recorded: list[tuple[float, Row]]) -> str:
    """Return an animated picture: rows scroll in as they came, and waiting times are short.

    Raises ValueError when a row has a path of this machine or a secret.
    """
    if found := PRIVATE.search("\n".join(text_of(row) for _, row in recorded)):
        raise ValueError(f"the recording has {found[0]!r}, which is of this machine alone")
    shown, clock = [0.0], 0.0
    for (before, _), (after, _) in pairwise(recorded):
        clock += min(max(after - before, FASTEST), SLOWEST)
        shown.append(clock)
    total = clock + END
    moves = [(100 * second / total, row + 1) for row, second in enumerate(shown)]
    scroll = "".join(f"{at:.2f}%{{{_down(min(0, VISIBLE - row))}}}" for at, row in moves)
    cover = "".join(f"{at:.2f}%{{{_down(row)}}}" for at, row in moves[:VISIBLE])
    colours = "".join(f".{name}{{fill:{value}}}" for name, value in DARK.items())
    last = _down(min(0, VISIBLE - len(recorded)))
    rows = "\n".join(f'<text y="{at * HEIGHT + 14}">{_spans(row)}</text>' for at, (_, row) in enumerate(recorded))
    width, height = round(COLUMNS * WIDTH) + 32, VISIBLE * HEIGHT + 32
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" aria-label="inv demo">
<title>What inv demo prints, with the waiting times cut</title>
<style>
text{{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:#e6edf3;white-space:pre}}
.bold{{font-weight:700}}{colours}
.rows{{{last};animation:scroll {total:.1f}s step-end infinite}}
.cover{{{_down(VISIBLE)};fill:#161b22;animation:cover {total:.1f}s step-end infinite}}
@keyframes scroll{{{scroll}100%{{{last}}}}}
@keyframes cover{{{cover}100%{{{_down(VISIBLE)}}}}}
@media (prefers-reduced-motion:reduce){{.rows,.cover{{animation:none}}}}
</style>
<rect width="100%" height="100%" rx="8" fill="#161b22"/>
<svg x="16" y="16" width="{width - 32}" height="{height - 32}"><g class="rows">
{rows}
</g><rect class="cover" width="100%" height="100%"/></svg>
</svg>
"""


def _down(rows: int) -> str:
    return f"transform:translateY({rows * HEIGHT}px)"


def _spans(row: Row) -> str:
    """Return the characters of a row as SVG, those of one style together."""
    spans: list[tuple[str, str]] = []
    for char in row[: len(text_of(row))]:
        style = " ".join([*(["bold"] if char.bold else []), *([char.fg] if char.fg in DARK else [])])
        same = spans and spans[-1][0] == style
        spans[-1:] = [(style, spans[-1][1] + char.data)] if same else [*spans[-1:], (style, char.data)]
    return "".join(
        f'<tspan class="{style}">{html.escape(text)}</tspan>' if style else html.escape(text) for style, text in spans
    )


def record_demo() -> Path:
    """Run the demo and write docs/demo.svg."""
    picture = ROOT / "docs" / "demo.svg"
    picture.write_text(svg(rows_of(run([sys.executable, "-m", "demo"], ROOT, COLUMNS), COLUMNS)), "utf-8")
    return picture


def record_prompts() -> Path:
    """Answer cookiecutter's questions, and write the session into docs/generate.md."""
    names = [name for name in json.loads((ROOT / "cookiecutter.json").read_text("utf-8")) if name[0] != "_"]

    def answer(text: str) -> str:
        plain = re.sub(r"\x1b\[[\d;]*m", "", text)
        asked = re.search(r"\[(\d+)/\d+\]", plain) if plain.endswith("): ") else None
        return f"{ANSWERS.get(names[int(asked[1]) - 1], '')}\r" if asked else ""

    with TemporaryDirectory(prefix="services-") as folder:  # a usual name means to the hook that cruft renders
        command = [sys.executable, "-m", "cookiecutter", str(ROOT)]
        rows = rows_of(run(command, Path(folder), NARROW, answer), NARROW)
        lines = [text_of(row).replace(str(Path(folder).resolve()), "~") for _, row in rows]
    page = ROOT / "docs" / "generate.md"
    template_docs.put(page, MARKS, "\n".join(["```text", "$ cookiecutter gh:toffee/ai-service", *lines, "```", ""]))
    return page
