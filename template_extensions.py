"""The template's Jinja extension: its filters, and a shortcut for text without template syntax.

The other files template_*.py define the filters. cookiecutter loads `CatalogueExtension` through
`_extensions` of cookiecutter.json.

`cruft update` renders two versions of the template in one folder and one process, where Python keeps the modules of the
first version. So no file here imports another one: this file runs them, and runs itself again when a file has changed.
cruft also keeps the `_extensions` that a repository was generated with, so the names of this file, of the class and of
`FILTERS` must not change.
"""

from __future__ import annotations

import re
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jinja2 import Environment, Template, nodes
from jinja2.ext import Extension

HERE = Path(__file__).parent
SOURCES = tuple(HERE / f"template_{name}.py" for name in ("answers", "catalogue", "summary", "text"))
RUN_BY_THEM = tuple(HERE / f"template_{name}.py" for name in ("guess", "names"))

Filters = dict[str, Callable[..., Any]]
FILTERS: Filters = {name: apply for file in SOURCES for name, apply in runpy.run_path(str(file))["FILTERS"].items()}


def contents() -> tuple[str, ...]:
    """Return the text of every file that defines the filters: code and data."""
    files = (Path(__file__), *SOURCES, *RUN_BY_THEM, *sorted((HERE / "models").glob("*.yml")))
    return tuple(file.read_text("utf-8") for file in files)


FILTERS_BY_CONTENTS: dict[tuple[str, ...], Filters] = {contents(): FILTERS}


def current_filters() -> Filters:
    """Return the filters of the files as they are now."""
    now = contents()
    if now not in FILTERS_BY_CONTENTS:
        FILTERS_BY_CONTENTS[now] = runpy.run_path(__file__)["FILTERS"]
    return FILTERS_BY_CONTENTS[now]


class CatalogueExtension(Extension):
    """Adds the filters to cookiecutter's Jinja environment, and the shortcut for plain text."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(current_filters())
        render_plain_text_as_it_is(environment)


class PlainText:
    """Text without template syntax, used in place of a template."""

    def __init__(self, text: str) -> None:
        self.text = text

    def render(self, **context: Any) -> str:
        return self.text


def render_plain_text_as_it_is(environment: Environment) -> None:
    """Let cookiecutter render text that has no template syntax without compiling it.

    Most files, and almost all names of files, are such text. Compiling them takes most of the time of rendering.
    cookiecutter keeps the newline at the end of a file, so plain text needs no change.
    """
    starts = [environment.block_start_string, environment.variable_start_string, environment.comment_start_string]
    starts += [start for start in (environment.line_statement_prefix, environment.line_comment_prefix) if start]
    syntax = re.compile("|".join(map(re.escape, [*starts, "\r"])))  # Jinja changes all newlines to one kind
    compiled_text, compiled_file = environment.from_string, environment.get_template

    def from_string(source: str | nodes.Template, *arguments: Any, **options: Any) -> Template | PlainText:
        if isinstance(source, str) and not syntax.search(source):
            return PlainText(source)
        return compiled_text(source, *arguments, **options)

    def get_template(name: str | Template, *arguments: Any, **options: Any) -> Template | PlainText:
        """Return a file as a template. Only Jinja's own statements, such as `include`, pass more than its name."""
        if isinstance(name, str) and environment.loader and not arguments and not options:
            source = environment.loader.get_source(environment, name)[0]
            if not syntax.search(source):
                return PlainText(source)
        return compiled_file(name, *arguments, **options)

    environment.from_string = from_string  # type: ignore[method-assign, assignment]
    environment.get_template = get_template  # type: ignore[method-assign, assignment]
