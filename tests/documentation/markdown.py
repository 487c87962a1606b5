"""Read the template's pages: their links, their anchors, and the commands in their blocks."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from markdown_it.token import Token

from tests.rendered import MARKDOWN, ROOT

ELSEWHERE = ("demo-mistral-nemo/", "<<cookiecutter.project_slug>>/")  # generated repositories have tests of their own
OURS = "https://github.com/toffee/ai-service/blob/main/"


@dataclass(frozen=True)
class Block:
    """A block of commands as a person types them."""

    page: str
    commands: tuple[str, ...]


def pages() -> list[str]:
    """Return every Markdown file of the template, by its path from the root."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "*.md"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    return [name for name in names if not name.startswith(ELSEWHERE) and (ROOT / name).is_file()]


def text_of(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def _tokens(page: str) -> Iterator[Token]:
    for token in MARKDOWN.parse(text_of(page)):
        yield token
        yield from token.children or []


def links(page: str) -> list[str]:
    """Return the targets of a page's links and pictures."""
    found = (token.attrs.get("href") or token.attrs.get("src") for token in _tokens(page))
    return [str(target) for target in found if target]


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub and the site make them."""
    tokens = MARKDOWN.parse(path.read_text("utf-8"))
    headings = [after.content for before, after in pairwise(tokens) if before.type == "heading_open"]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def place(page: str, target: str) -> tuple[Path, str] | None:
    """Return the file and the anchor that a link leads to; None when it leads to another site."""
    address, _, anchor = target.partition("#")
    if address.startswith(OURS):
        return ROOT / address.removeprefix(OURS), anchor
    if "://" in address or address.startswith("mailto:"):
        return None
    return (ROOT / page).parent / address if address else ROOT / page, anchor


def blocks(page: str) -> list[Block]:
    """Return the blocks of a page that hold commands: those with lines that begin with `$`."""
    found = []
    for token in _tokens(page):
        if token.type == "fence" and token.info.strip() == "console":
            joined = token.content.replace("\\\n", " ")
            found.append(Block(page, tuple(re.findall(r"^\$ (.*?)(?:\s+#.*)?$", joined, re.M))))
    return [block for block in found if block.commands]


def programs(command: str) -> Iterator[list[str]]:
    """Return the words of each command of a line with `&&`, `;` or `|`."""
    words = shlex.shlex(command, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    current: list[str] = []
    for word in words:
        if re.fullmatch(r"[&|;()]+", word):
            yield current
            current = []
        else:
            current.append(word)
    yield current
