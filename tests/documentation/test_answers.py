"""The questions of cookiecutter: their texts, the table of answers, and the recorded session."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import recording
import template_docs
from tests.rendered import ROOT

COOKIECUTTER = json.loads((ROOT / "cookiecutter.json").read_text("utf-8"))
PROMPTS = [name for name in COOKIECUTTER if not name.startswith("_")]
PAGE = (ROOT / "docs" / "generate.md").read_text("utf-8")


def between(marks: tuple[str, str]) -> str:
    return PAGE.split(marks[0])[1].split(marks[1])[0]


def test_there_are_at_most_ten_prompts_and_each_says_what_it_is() -> None:
    assert len(PROMPTS) <= 10
    assert list(COOKIECUTTER["__prompts__"]) == PROMPTS
    for name, prompt in COOKIECUTTER["__prompts__"].items():
        choices = COOKIECUTTER[name] if isinstance(COOKIECUTTER[name], list) else []
        assert isinstance(prompt, str) if not choices else set(prompt) == {"__prompt__", *choices}


def test_the_table_has_every_prompt_in_order() -> None:
    table = between(template_docs.ANSWERS_MARKS)
    assert table == template_docs.table_of_answers(), "`inv record --tables` writes it again"
    assert re.findall(r"^\| `(\w+)` \|", table, re.M) == PROMPTS


def test_the_table_names_every_choice() -> None:
    for name, choices in COOKIECUTTER.items():
        if isinstance(choices, list) and name in PROMPTS:
            [row] = re.findall(rf"^\| `{name}` .*$", between(template_docs.ANSWERS_MARKS), re.M)
            assert re.findall(r"<br>`(\w+)`", row) == choices


def squeezed(text: str) -> str:
    """Text without the blanks and line ends that a terminal adds."""
    return re.sub(r"\s+", "", text)


def test_the_recorded_session_asks_what_is_asked_today() -> None:
    session, place = squeezed(between(recording.MARKS)), 0
    for number, name in enumerate(PROMPTS, start=1):
        prompt = COOKIECUTTER["__prompts__"][name]
        texts = (
            [prompt["__prompt__"], *(prompt[choice] for choice in COOKIECUTTER[name])]
            if isinstance(prompt, dict)
            else [prompt]
        )
        for text in [f"[{number}/{len(PROMPTS)}]", *texts]:
            found = session.find(squeezed(text), place)
            assert found >= 0, f"{name}: {text!r}; `inv record --prompts` records the session again"
            place = found


def test_the_recorded_session_has_nothing_of_the_machine_it_was_made_on() -> None:
    assert not recording.PRIVATE.search(between(recording.MARKS))
    assert "cd ~/" in between(recording.MARKS)


def test_every_refusal_in_the_table_is_what_is_said() -> None:
    said = "".join(
        (ROOT / f"template_{name}.py").read_text("utf-8") for name in ("answers", "catalogue", "guess", "names")
    )
    refusals = re.findall(r"^\| `(\w+) … ([^`]+)` \|", PAGE, re.M)
    assert {name for name, _ in refusals} <= set(PROMPTS)
    assert len(refusals) >= 8
    for _, text in refusals:
        assert text.split(" … ")[0] in said, text


def test_marks_that_are_missing_are_named(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(template_docs.MODELS_MARKS[0], "utf-8")
    with pytest.raises(ValueError, match=r"page\.md lacks the line <!-- end of models -->"):
        template_docs.put(page, template_docs.MODELS_MARKS, "")
