"""Answers are data: whatever somebody types, files stay what they are, and the text reads back as it was typed."""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Callable

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import TemplateError

from template_text import markdown, quoted
from tests.rendered import MARKDOWN, Bake, files, texts, typed

HOSTILE = [
    "\"double\" 'single' \"\"\" '''",
    "key: value # comment",
    "- [x] {a: 1} &anchor *alias !tag | > % @",
    "${{ secrets.HF_TOKEN }}",
    "$(reboot) `reboot` ; reboot & | > /dev/null",
    "<% raw %> << 7*7 >> <# no #> #% if",
    "{{ cookiecutter.project_slug }} {% if %}",
    "<script>alert(1)</script> &lt; <!-- -->",
    "[link](http://example.com) ![image](x) # * _ ~~ 1. | === ---",
    "\\ \\n \\u0041 \\",
    "% %% %s {} {0} \\N{DASH}",
    "🚀 日本語 👩\u200d💻 é e\u0301",
]
MARKUP = [
    "*a* **b** _c_ __d__ ~~e~~ `f`",
    "[a](b) ![c](d) [e][f] [g]: h",
    "<b>a</b> <http://b.c> &lt; &#35; <!-- d -->",
    "\\* \\\\ \\",
    "# a #",
    "- a",
    "+ a",
    "* a",
    "1. a",
    "1) a",
    "> a",
    "===",
    "---",
    "***",
    "___",
    "```",
    "~~~",
    "| a | b |",
    "https://a.bc www.a.bc team@a.bc",
]
PUNCTUATION = "\"'`\\#:${}<>%()[]|&*!@~=-+_.,;? 🚀aé0"
ANYTHING = st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.sampled_from(PUNCTUATION + "\n\t"))
LINES = (
    (
        st.text(st.characters(exclude_categories=["C", "Z"], include_characters=" \u200d"), min_size=1)
        | st.text(st.sampled_from(PUNCTUATION), min_size=1)
    )
    .map(str.strip)
    .filter(bool)
)
BREAKS = st.sampled_from(["\n", "\r", "\t", "\0", "\x1b", "\x85", "\xa0", "\u2028", "\u202e", "\ufeff"])


@given(ANYTHING)
def test_a_quoted_text_reads_back_from_yaml_toml_and_python(text: str) -> None:
    assert yaml.safe_load(f"key: {quoted(text)}  # comment") == {"key": text}
    assert tomllib.loads(f"key = {quoted(text)}") == {"key": text}
    assert ast.literal_eval(quoted(text)) == text


PLACES = ["{}", "# {}", "before\n{}", "- {}", "> {}", "| a |\n| - |\n| {} |", "**{}**"]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("text", MARKUP)
def test_markup_in_an_answer_stays_text(text: str, place: str) -> None:
    assert _read_back(place, text) == text


@given(LINES)
@pytest.mark.parametrize("place", PLACES)
def test_any_line_in_markdown_stays_text(place: str, text: str) -> None:
    assert _read_back(place, text) == text


def test_formulas_and_templates_of_some_sites_are_escaped_too() -> None:
    assert markdown("$x$ {{ site.title }}") == r"\$x\$ \{\{ site\.title \}\}"


@pytest.mark.parametrize("text", HOSTILE)
def test_a_hostile_answer_stays_text(baked: Bake, text: str) -> None:
    _check_that_answers_read_back(baked, name=text[:60].strip(), owner=(text * 20)[:200].strip())


@pytest.mark.slow
@given(name=LINES.map(lambda text: text[:60].strip()), owner=LINES.map(lambda text: text[:200].strip()))
@settings(max_examples=10)
def test_any_printable_answer_stays_text(baked: Bake, name: str, owner: str) -> None:
    _check_that_answers_read_back(baked, name, owner)


@given(st.builds(lambda before, break_, after: before + break_ + after, ANYTHING, BREAKS, ANYTHING))
@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_other_answer_is_refused_in_one_line(refusal: Callable[..., str], text: str) -> None:
    said = refusal(project_slug="chat", owner=typed(text))
    assert said.startswith("owner ")
    assert said[:-1].isprintable()


def test_cookiecutter_renders_delimiters_in_answers_given_beforehand(baked: Bake) -> None:
    """Documented behaviour, of every template: --no-input answers are templates themselves."""
    calculated, broken = "team << 7*7 >>", "team <% if"
    assert "team 49" in "".join(files(baked(owner=calculated)).values())
    with pytest.raises(TemplateError):
        baked(owner=broken)


def _check_that_answers_read_back(baked: Bake, name: str, owner: str) -> None:
    """Compares every text of every file with the same text of a project whose answers are plain words."""
    plain = files(baked(project_slug="chat", project_name="Plainname", owner="Plainowner"))
    project = files(baked(project_slug="chat", project_name=typed(name), owner=typed(owner)))
    assert project.keys() == plain.keys()
    for file in plain:
        expected = [text.replace("Plainname", name).replace("Plainowner", owner) for text in texts(file, plain[file])]
        assert texts(file, project[file]) == expected


def _read_back(place: str, text: str) -> str:
    """The text that a reader of the rendered Markdown sees in that place."""
    inline = [token.children or [] for token in MARKDOWN.parse(place.format(markdown(text))) if token.type == "inline"]
    assert {child.type for child in inline[-1]} <= {"text", "softbreak", "strong_open", "strong_close"}
    return "".join(child.content for child in inline[-1]).removeprefix("before")
