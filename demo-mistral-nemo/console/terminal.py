"""Writes results to standard output and progress to standard error, and both to the page of a GitHub workflow.

A task goes on whatever happens to the terminal: narrow, without a size, with another encoding, or closed.
"""

import html
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stderr, redirect_stdout, suppress
from io import TextIOBase, TextIOWrapper
from typing import Any, TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table

UNLIMITED = 10_000  # columns of a file or a pipe


class Terminal(Console):
    """Standard output or standard error. Long lines are not broken."""

    def __init__(self, *, stderr: bool = False) -> None:
        known = dict(os.environ)
        self.columns = int(known.get("COLUMNS", "")) if known.get("COLUMNS", "").isdecimal() else 0
        if not self.columns:
            known.pop("COLUMNS", None)  # with 0, rich shows nothing
        super().__init__(stderr=stderr, highlight=False, soft_wrap=True, _environ=known)

    def print(self, *objects: Any, **options: Any) -> None:
        """Print below the lines that are there: a spinner on standard error is taken away meanwhile."""
        with nullcontext() if self.stderr else _no_spinner():
            super().print(*objects, **options)

    def out(self, *objects: Any, **options: Any) -> None:
        """Print text as it is, like `print`."""
        with nullcontext() if self.stderr else _no_spinner():
            super().out(*objects, **options)

    def on_broken_pipe(self) -> None:
        """Drop the rest of the output when its reader is gone, as in `| head`. The task goes on to its own end."""
        stream = sys.__stderr__ if self.stderr else sys.__stdout__
        with suppress(OSError, ValueError, AttributeError):  # closed already, or no file at all
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, stream.fileno())  # type: ignore[union-attr]
            os.close(nowhere)

    def sign(self, usual: str, plain: str) -> str:
        """Return `usual`, or `plain` when the terminal's encoding lacks that character."""
        try:
            usual.encode(self.encoding)
        except (LookupError, UnicodeEncodeError):
            return plain
        return usual

    def table(self, table: Table) -> None:
        """Show a table with cells that are folded between words. If it is still too wide, show a line for each cell."""
        width = self.width if self.columns or self.is_terminal else UNLIMITED
        wide = self.options.update_width(UNLIMITED)
        each = [[self.measure(cell, options=wide) for cell in (c.header, *c.cells)] for c in table.columns]
        least, most = ([max(getattr(m, side) for m in column) for column in each] for side in ("minimum", "maximum"))
        between = self.measure(table, options=wide).maximum - sum(most)
        if (widths := distribute(width - between, least, most)) is None:
            return self._records(table)
        for column, columns in zip(table.columns, widths, strict=True):  # rich would cut words to make it fit
            column.width = columns
        if width != self.width:  # a file or a pipe, whose width does not change
            self.width = width
        self.print(table, soft_wrap=False, crop=False)

    def _records(self, table: Table) -> None:
        """Show each value of a table beside the name of its column."""
        if table.title:
            self.print(table.title)
        headers = [str(column.header) for column in table.columns]
        for row in zip(*(column.cells for column in table.columns), strict=True):
            cells = [cell if isinstance(cell, str) else "" for cell in row]  # there is no room for bars
            texts = [(header, cell) for header, cell in zip(headers, cells, strict=True) if cell]
            if any(headers):
                self.print("".join(f"{header}: {cell}\n" for header, cell in texts))
            else:
                self.print("  ".join(cell for _, cell in texts))


def distribute(room: int, least: Sequence[int], most: Sequence[int]) -> list[int] | None:
    """Return widths between `least` and `most` whose sum fits into `room`; None if there are none."""
    if sum(least) > room:
        return None
    widths = list(least)
    while sum(widths) < min(room, sum(most)):
        lacking = [full - width for full, width in zip(most, widths, strict=True)]
        widths[lacking.index(max(lacking))] += 1
    return widths


console = Terminal()
progress = Terminal(stderr=True)
_spinners: list[Status] = []  # those that turn, the innermost last


def print_anything() -> None:
    """Show `?` for a character that the terminal's encoding lacks, instead of ending with an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def watching(title: str) -> Iterator[Callable[[str], None]]:
    """Yield a function that shows a line of progress with the time since the start. A terminal also has a spinner.

    A line that equals the one before is not shown again, so a loop may report the same state in each round.
    """
    started, said = time.monotonic(), ""

    def notify(line: str) -> None:
        nonlocal said
        if line == said:
            return
        said = line
        progress.print(f"[dim]{time.monotonic() - started:5.0f} s[/]  {escape(line)}")
        spinner.update(f"{title}: {escape(line)}")

    with progress.status(title) as spinner:
        _spinners.append(spinner)
        try:
            yield notify
        finally:
            _spinners.remove(spinner)


@contextmanager
def _no_spinner() -> Iterator[None]:
    """Take the spinner of standard error away while something is printed: both share the lines of a terminal."""
    turning = _spinners[-1:] if progress.is_terminal else []
    for spinner in turning:
        spinner.stop()
    yield
    for spinner in turning:
        spinner.start()


class _Tee(TextIOBase):
    """Writes to a stream, and as HTML to a page."""

    def __init__(self, stream: TextIO | None, page: TextIO) -> None:
        self.stream, self.page = stream, page

    def write(self, text: str) -> int:
        with suppress(OSError):  # a page that is full stops nothing
            self.page.write(html.escape(text, quote=False))
        return self.stream.write(text) if self.stream else len(text)

    def flush(self) -> None:
        if self.stream:
            self.stream.flush()


@contextmanager
def on_the_runs_page(*, copied: bool) -> Iterator[None]:
    """In a GitHub workflow, copy what is shown inside the block to the page of the run, if it is to be `copied`.

    When the page can't be written, warn on standard error and go on.
    """
    path = os.environ.get("GITHUB_STEP_SUMMARY")
    with ExitStack() as stack:
        if path and copied:
            try:
                page = open(path, "a", encoding="utf-8")  # noqa: SIM115  # `_end` closes it
                page.write(f"`{shlex.join(['inv', *sys.argv[1:]])}`\n<pre>")
                page.flush()
            except OSError as error:
                why = f"GITHUB_STEP_SUMMARY is {path}, which can't be written ({error.strerror or error})"
                progress.print(f"[yellow]warning:[/] {escape(why)}; nothing is shown on the run's page")
            else:
                stack.callback(_end, page)
                stack.enter_context(redirect_stderr(_Tee(sys.stderr, page)))
                stack.enter_context(redirect_stdout(_Tee(sys.stdout, page)))
        yield


def _end(page: TextIO) -> None:
    with suppress(OSError):  # the disk may be full by now
        page.write("</pre>\n\n")
    with suppress(OSError):
        page.close()
