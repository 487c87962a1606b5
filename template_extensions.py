"""The template's Jinja extension: its filters, and a short cut for text that has nothing to render.

template_catalogue.py and template_text.py define the filters. cookiecutter loads `CatalogueExtension` through
`_extensions` of cookiecutter.json.

`cruft update` renders two versions of the template in one folder and one process, where Python keeps the modules of the
first version. So no file here imports another one: this file runs them, and runs itself anew when a file has changed.
cruft also keeps the `_extensions` that a repository was generated with: the names of this file, of the class and of
`FILTERS` stay what they are.
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
SOURCES = (HERE / "template_catalogue.py", HERE / "template_text.py")

Filters = dict[str, Callable[..., Any]]
FILTERS: Filters = {name: apply for file in SOURCES for name, apply in runpy.run_path(str(file))["FILTERS"].items()}


def contents() -> tuple[str, ...]:
    """Return the text of every file that the filters come from: code and data."""
    files = (Path(__file__), *SOURCES, *sorted((HERE / "models").glob("*.yml")))
    return tuple(file.read_text("utf-8") for file in files)


FILTERS_BY_CONTENTS: dict[tuple[str, ...], Filters] = {contents(): FILTERS}


def current_filters() -> Filters:
    """Return the filters of the files as they are now."""
    now = contents()
    if now not in FILTERS_BY_CONTENTS:
        FILTERS_BY_CONTENTS[now] = runpy.run_path(__file__)["FILTERS"]
    return FILTERS_BY_CONTENTS[now]


class CatalogueExtension(Extension):
    """Adds the filters to cookiecutter's Jinja environment, and the short cut for plain text."""

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        environment.filters.update(current_filters())
        render_plain_text_as_it_is(environment)


class PlainText:
    """A text without template syntax, in the place of a template."""

    def __init__(self, text: str) -> None:
        self.text = text

    def render(self, **context: Any) -> str:
        return self.text


def render_plain_text_as_it_is(environment: Environment) -> None:
    """Let cookiecutter render text that has no template syntax without compiling it.

    Most files, and almost all names of files, are such text, and compiling it is most of what rendering costs.
    cookiecutter keeps the newline at the end of a file, so plain text needs no change at all.
    """
    starts = [environment.block_start_string, environment.variable_start_string, environment.comment_start_string]
    starts += [start for start in (environment.line_statement_prefix, environment.line_comment_prefix) if start]
    syntax = re.compile("|".join(map(re.escape, [*starts, "\r"])))  # Jinja makes one kind of newline of all
    compiled_text, compiled_file = environment.from_string, environment.get_template

    def from_string(source: str | nodes.Template, *arguments: Any, **options: Any) -> Template | PlainText:
        if isinstance(source, str) and not syntax.search(source):
            return PlainText(source)
        return compiled_text(source, *arguments, **options)

    def get_template(name: str | Template, *arguments: Any, **options: Any) -> Template | PlainText:
        """Return a file as a template. Arguments beside its name come from `include` and the like, not cookiecutter."""
        if isinstance(name, str) and environment.loader and not arguments and not options:
            source = environment.loader.get_source(environment, name)[0]
            if not syntax.search(source):
                return PlainText(source)
        return compiled_file(name, *arguments, **options)

    environment.from_string = from_string  # type: ignore[method-assign, assignment]
    environment.get_template = get_template  # type: ignore[method-assign, assignment]
