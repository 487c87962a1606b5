"""Output stays readable on terminals of any width and encoding, and when the reader closes the pipe."""

from __future__ import annotations

import io
import os
import pty
import subprocess
import sys

import pytest
from rich.bar import Bar
from rich.table import Table

from console.terminal import Terminal, distribute
from deploy.environments import ROOT

ROWS = [
    ("0", "running", "California, US", "A40 48 GB", "1,234.56"),
    ("12", "pulling", "EU-SE-1", "2x H100 80 GB", "9.87"),
]
WORDS = {word for row in ROWS for cell in row for word in cell.split()}


def shown(monkeypatch: pytest.MonkeyPatch, columns: str | None) -> str:
    """The table ROWS, as somebody sees it with COLUMNS."""
    monkeypatch.delenv("COLUMNS", raising=False)
    if columns is not None:
        monkeypatch.setenv("COLUMNS", columns)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    table = Table("replica", "status", "region", "GPU", "$/h", title="Replicas", box=None, pad_edge=False)
    for row in ROWS:
        table.add_row(*row)
    terminal = Terminal()
    terminal.table(table)
    terminal.print("the last line")
    return written.getvalue()


@pytest.mark.parametrize("columns", [*map(str, range(1, 81)), "200", "0", "-5", "", "many", None])
def test_no_width_cuts_a_word(monkeypatch: pytest.MonkeyPatch, columns: str | None) -> None:
    text = shown(monkeypatch, columns)
    assert set(text.split()) >= WORDS
    assert "Replicas" in text
    assert text.endswith("the last line\n")


@pytest.mark.parametrize("columns", ["0", "80", None])
def test_where_there_is_room_a_row_is_a_line(monkeypatch: pytest.MonkeyPatch, columns: str | None) -> None:
    lines = [line for line in shown(monkeypatch, columns).splitlines() if "A40" in line]
    assert [line.split() for line in lines] == [" ".join(ROWS[0]).split()]


def test_on_a_narrow_terminal_each_value_stands_beside_its_column(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "region: California, US\nGPU: A40 48 GB\n$/h: 1,234.56\n\nreplica: 12\n" in shown(monkeypatch, "20")


def test_a_narrow_row_without_columns_names_is_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "10")
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    table = Table(box=None, show_header=False)
    table.add_row("first token", "p50", "189.3 ms", Bar(10, 0, 5, width=30))
    Terminal().table(table)
    assert written.getvalue() == "first token  p50  189.3 ms\n"


def test_a_table_takes_the_room_that_there_is() -> None:
    assert distribute(10, [2, 3], [4, 5]) == [4, 5]
    assert distribute(7, [2, 3], [2, 9]) == [2, 5]
    assert distribute(5, [2, 3], [4, 5]) == [2, 3]
    assert distribute(4, [2, 3], [4, 5]) is None


def test_a_table_in_a_file_is_as_wide_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    written = io.StringIO()
    monkeypatch.setattr(sys, "stdout", written)
    table = Table("name", box=None)
    table.add_row("word " * 50)
    Terminal().table(table)
    assert len(written.getvalue().splitlines()) == 2


def test_a_sign_that_the_encoding_lacks_is_a_word(monkeypatch: pytest.MonkeyPatch) -> None:
    for encoding, sign in (("latin-1", "ok"), ("utf-8", "✓")):
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))
        assert Terminal().sign("✓", "ok") == sign


def test_when_the_reader_has_gone_the_rest_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setattr(sys, "__stdout__", stream)
        terminal = Terminal()
        for _ in range(3):
            terminal.print("nobody reads this")


def test_a_result_does_not_share_a_line_with_the_spinner() -> None:
    """On a terminal, both go to the same screen. The spinner's line is erased first."""
    ours, theirs = pty.openpty()
    script = (
        "from console.terminal import console, watching\n"
        "with watching('deploying') as notify:\n"
        "    notify('waiting')\n"
        "    console.print('the result')\n"
    )
    variables = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    words = [sys.executable, "-c", script]
    subprocess.run(words, cwd=ROOT, env=variables, stdin=theirs, stdout=theirs, stderr=theirs, check=True, timeout=60)
    os.close(theirs)
    before, _, _ = os.read(ours, 65536).decode().partition("the result")
    os.close(ours)
    assert "deploying" in before
    assert before.rpartition("deploying")[2].endswith("\x1b[2K"), repr(before[-80:])
