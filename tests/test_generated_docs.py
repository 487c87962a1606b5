"""The pages of a rendering are short, plain, and speak only of what was chosen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.rendered import MARKDOWN, Bake
from tests.test_rendering import COMBINATIONS, PICTURES, every_combination

LINES_OF_README = 150
WORDS_OF_SENTENCE = 32
SENTENCES_OF_PARAGRAPH = 4
COLUMNS_OF_TABLE = 4
CLOUDS = {"runpod": "RunPod", "vastai": "Vast.ai"}
SHORT_FORMS = re.compile(r"\b(e\.g|i\.e|Vast\.ai|vs)\.?", re.IGNORECASE)  # have a dot that ends no sentence


def pages(project: Path) -> dict[str, str]:
    """The README and the pages of docs/, by name."""
    found = [project / "README.md", *(project / "docs").rglob("*.md")]
    return {path.relative_to(project).as_posix().removeprefix("docs/"): path.read_text("utf-8") for path in found}


def paragraphs(text: str) -> Iterator[list[str]]:
    """The sentences of each paragraph, list item and cell; code in them is one word each."""
    for token in MARKDOWN.parse(text):
        if token.type == "inline":
            parts = token.children or ()
            plain = "".join("code" if part.type == "code_inline" else part.content or " " for part in parts)
            yield re.split(r"(?<=[.:;!?])\s+(?=\W*[A-Z0-9])", SHORT_FORMS.sub("word", plain))


def columns(text: str) -> Iterator[int]:
    """The number of columns of each table."""
    for head in re.findall(r"^\|(?:-+\|)+$", text, re.MULTILINE):
        yield head.count("|") - 1


@every_combination
def test_the_readme_can_be_read_in_minutes(baked: Bake, answers: dict[str, str]) -> None:
    assert len(pages(baked(**answers))["README.md"].splitlines()) <= LINES_OF_README


@pytest.mark.parametrize("answers", [{}, {"model_id": PICTURES}, COMBINATIONS[-4]], ids=["chat", "pictures", "unknown"])
def test_sentences_paragraphs_and_tables_are_short(baked: Bake, answers: dict[str, str]) -> None:
    found = pages(baked(**answers))
    assert len(found) > 5
    for name, text in found.items():
        for sentences in paragraphs(text):
            for sentence in sentences:
                assert len(sentence.split()) <= WORDS_OF_SENTENCE, f"{name}: {sentence}"
        for sentences in paragraphs(text):
            stops = [sentence for sentence in sentences if sentence.rstrip().endswith((".", "!", "?"))]
            assert len(stops) <= SENTENCES_OF_PARAGRAPH, f"{name}: {' '.join(sentences)}"
        assert all(number <= COLUMNS_OF_TABLE for number in columns(text)), name


@pytest.mark.parametrize("chosen", CLOUDS)
def test_one_cloud_alone_is_never_told_of_the_other(baked: Bake, chosen: str) -> None:
    [other] = CLOUDS.keys() - {chosen}
    text = "".join(pages(baked(gpu_clouds=chosen)).values())
    assert CLOUDS[chosen] in text
    assert not re.search(f"{other}|{re.escape(CLOUDS[other])}|other cloud|more clouds", text, re.IGNORECASE)


@pytest.mark.parametrize("answers", [{}, {"model_id": PICTURES}], ids=["chat", "pictures"])
def test_the_page_on_security_is_about_the_image_that_is_pinned(baked: Bake, answers: dict[str, str]) -> None:
    """Red after a raise of the image: read the advisories since then, and correct docs/security.md."""
    project = baked(**answers)
    page = pages(project)["security.md"]
    image = yaml.safe_load((project / "dstack" / "service.dstack.yml").read_text("utf-8"))["image"]
    [pinned] = re.findall(r":v([\d.]+)", image)
    assert f"pins `{image}`" in page
    assert f"vLLM {pinned}." in page.split("\n\n")[2]
    fixed_in = re.findall(r"^\| (?:CVE|GHSA|PYSEC)-.*? \| .*? \| ([\d.]+) \| .* \|$", page, re.MULTILINE)
    assert len(fixed_in) >= 5
    assert [version for version in fixed_in if numbers(version) <= numbers(pinned)] == []


def numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


@every_combination
def test_no_engine_runs_code_of_the_models_authors(baked: Bake, answers: dict[str, str]) -> None:
    assert "trust-remote-code" not in (baked(**answers) / "dstack" / "service.dstack.yml").read_text("utf-8")


def test_each_kind_of_model_has_its_own_examples(baked: Bake) -> None:
    chats, pictures = (pages(baked(**answers)) for answers in ({}, {"model_id": PICTURES}))
    assert "chat.completions" in chats["call-it.md"]
    assert "images.generate" in pictures["call-it.md"]
    runbook = [name for name in chats if name.startswith("runbook/")]
    assert len(runbook) > 5
    for name in ("README.md", "call-it.md", "change.md", "configure.md", "cost.md", *runbook):
        assert not re.search(r"\bpictures?\b|\bhare\b|\bimages/", chats[name], re.IGNORECASE), name
        assert not re.search(r"\bchats?\b|streams?\b|lora\b|tool calls?\b", pictures[name], re.IGNORECASE), name
