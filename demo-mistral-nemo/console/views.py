"""Shows errors, JSON and tables, for every room."""

from json import dumps
from typing import Any

from rich.markup import escape
from rich.table import Table

from console.errors import Failure
from console.terminal import console, progress


def failure(error: Failure) -> None:
    """Show the problem and the remedy on one line, then the notes that were added on the way."""
    progress.print(f"[bold red]error:[/] {escape(str(error))}")
    for note in getattr(error, "__notes__", ()):
        progress.print(escape(note))


def data(value: Any) -> None:
    """Print JSON for machines."""
    console.out(dumps(value, indent=2, default=str), highlight=False)


def table(title: str, *columns: str) -> Table:
    """Return an empty table. Columns of prices are aligned on the right."""
    shown = Table(title=title or None, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        shown.add_column(column, justify="right" if column.startswith("$/h") else "left")
    return shown
