"""Links and anchors of the template's pages lead somewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.documentation.markdown import anchors, links, pages, place


def broken(page: str, target: str) -> str:
    """Return what is wrong with a link; empty when nothing is."""
    found = place(page, target)
    if found is None:
        return ""
    path, anchor = found
    if not path.exists():
        return "there is no such file"
    if anchor and anchor not in anchors(path):
        return "the page has no such heading"
    return ""


@pytest.mark.parametrize("page", pages())
def test_links_lead_to_files_and_headings_that_exist(page: str) -> None:
    assert {target: why for target in links(page) if (why := broken(page, target))} == {}


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("docs/nowhere.md", "no such file"),
        ("docs/try.md#nowhere", "no such heading"),
        ("#nowhere", "no such heading"),
        ("https://github.com/toffee/ai-service/blob/main/nowhere", "no such file"),
        ("https://github.com/toffee/ai-service/blob/main/CHANGELOG.md#nowhere", "no such heading"),
    ],
)
def test_a_broken_link_is_found(target: str, why: str) -> None:
    assert why in broken("README.md", target)


def test_anchors_are_those_of_github(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("# `inv` and *you*: a test, 2\n\nText\n----\n\n```\n# none\n```\n", "utf-8")
    assert anchors(tmp_path / "page.md") == {"inv-and-you-a-test-2", "text"}
