"""The site builds without a warning, and with what the pages only promise."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import documentation
import template_docs
from tests.rendered import ROOT


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as it is published, but for the program that draws diagrams, which comes from the network."""
    folder = tmp_path_factory.mktemp("site") / "html"
    documentation.build(folder, diagrams=False)
    return folder


def test_every_page_is_in_the_contents(site: Path) -> None:
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    contents = (site / "index.html").read_text("utf-8")
    assert {page for page in pages - {"index"} if f'href="{page}.html"' not in contents} == set()


def test_every_known_model_has_its_section(site: Path) -> None:
    page = (site / "models.html").read_text("utf-8")
    for model_id in template_docs.catalogue():
        assert f'href="https://huggingface.co/{model_id}"' in page
    assert template_docs.CATALOGUE_PLACE in (ROOT / "docs" / "models.md").read_text("utf-8")


def test_nothing_is_loaded_from_another_site(site: Path) -> None:
    """A reader's browser asks only the site itself: for scripts, styles, fonts and pictures."""
    for page in site.glob("*.html"):
        text = page.read_text("utf-8")
        loaded = re.findall(r'<(?:script|img|iframe)[^>]* src="(https?:[^"]*)"', text)
        loaded += re.findall(r'<link[^>]*rel="stylesheet"[^>]* href="(https?:[^"]*)"', text)
        loaded += re.findall(r'\bfrom "(https?:[^"]*)"|import\("(https?:[^"]*)"', text)
        assert loaded == [], page.name


@pytest.mark.parametrize("mistake", ["[nowhere](nowhere.md)", "[nowhere](try.md#nowhere)", "```{nonsense}\n```"])
def test_a_mistake_in_a_page_fails_the_build(
    mistake: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for path in [*(ROOT / "docs").glob("*.*"), *(ROOT / "docs").glob("_static/*")]:
        copy = tmp_path / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    (tmp_path / "docs" / "conf.py").write_text(
        (ROOT / "docs" / "conf.py").read_text("utf-8").replace("DOCS.parent", f"{str(ROOT)!r}"), "utf-8"
    )
    with (tmp_path / "docs" / "updating.md").open("a", encoding="utf-8") as page:
        page.write(f"\n{mistake}\n")
    monkeypatch.setattr(documentation, "DOCS", tmp_path / "docs")
    with pytest.raises(subprocess.CalledProcessError):
        documentation.build(tmp_path / "site", diagrams=False)
    assert "updating.md" in capfd.readouterr().err


@pytest.mark.parametrize("npm", ["", "echo broken.tgz; echo nothing > broken.tgz", "exit 1"])
def test_a_program_for_diagrams_that_is_not_the_expected_one_is_refused(
    npm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if npm:
        (tmp_path / "npm").write_text(f"#!/bin/sh\n{npm}\n")
        (tmp_path / "npm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}")
    with pytest.raises(RuntimeError, match=r"mermaid@"):
        documentation.fetch_mermaid(tmp_path / "mermaid")
    assert not (tmp_path / "mermaid").exists()
