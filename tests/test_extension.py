"""The template's Jinja extension renders what Jinja would render, and compiles only what has template syntax."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cookiecutter.utils import create_env_with_context
from jinja2 import DictLoader, Environment

from tests.rendered import ROOT

CONTEXT = {"cookiecutter": json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))}
PLAIN = ["", "plain", "a line\n", "two lines\n\n", "a < b > c, 100 %, $(x), ${{ y }}, # z\n", "Grüße 🎉\n"]
TEMPLATES = [
    "<< 6 * 7 >>\n",
    "a\n#% if true\nb\n#% endif\nc\n",
    "<% if true %>d<% endif %>",
    "e<# none #>f",
    "g\r\nh\r\n",
]


@pytest.fixture
def environment() -> Environment:
    """An environment as cookiecutter makes it, with the texts as files called 0, 1, 2 and so on."""
    made: Environment = create_env_with_context(CONTEXT)
    made.loader = DictLoader({str(number): text for number, text in enumerate(PLAIN + TEMPLATES)})
    return made


@pytest.mark.parametrize("text", PLAIN + TEMPLATES, ids=repr)
def test_a_text_is_rendered_as_jinja_renders_it(environment: Environment, text: str) -> None:
    jinja = Environment(keep_trailing_newline=True, **CONTEXT["cookiecutter"]["_jinja2_env_vars"])
    expected = jinja.from_string(text).render()
    assert environment.from_string(text).render() == expected
    assert environment.get_template(str((PLAIN + TEMPLATES).index(text))).render() == expected


def test_a_file_of_plain_text_can_be_included(environment: Environment) -> None:
    assert environment.from_string("<% include '1' %>!").render() == "plain!"


def test_plain_text_is_not_compiled(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[Any] = []
    monkeypatch.setattr(environment, "compile", lambda source, *_: compiled.append(source))
    for number, text in enumerate(PLAIN):
        environment.from_string(text).render()
        environment.get_template(str(number)).render()
    assert compiled == []


def test_the_filters_are_loaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """cookiecutter makes an environment for each hook, for its questions and for the files."""
    create_env_with_context(CONTEXT)
    monkeypatch.setattr("runpy.run_path", lambda *_: pytest.fail("they are loaded again"))
    create_env_with_context(CONTEXT)
