"""The Markdown files of this repository, as a reader's program sees them: links, headings, blocks, commands."""

import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.environments import ROOT

_FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
_ENDS_OF_COMMANDS = {"|", "&&", ";", "#"}


@dataclass(frozen=True)
class Page:
    """A Markdown file; `text` is what stands between its blocks."""

    path: Path
    text: str
    blocks: tuple[tuple[str, str], ...]  # language and content

    @property
    def links(self) -> list[str]:
        """Return the targets of its links that lead to no other site."""
        targets = re.findall(r"\]\(([^)\s]+)\)", self.text)
        return [target for target in targets if not re.match(r"https?:|mailto:", target)]

    @property
    def anchors(self) -> set[str]:
        """Return the anchors of its headings, as GitHub makes them."""
        headings = re.findall(r"^#+ (.+)$", self.text, re.MULTILINE)
        plain = [re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings]
        return {heading.replace(" ", "-") for heading in plain}

    @property
    def commands(self) -> Iterator[list[str]]:
        """Yield the words of each `inv` command, of those in console blocks and of those in the text."""
        consoles = [block.replace("\\\n", " ") for language, block in self.blocks if language == "console"]
        in_blocks = [line for block in consoles for line in block.splitlines()]
        typed = [line.strip().removeprefix("$ ") for line in in_blocks if line.strip().startswith("$ ")]
        for line in [*typed, *re.findall(r"`(inv [^`…]+)`", self.text)]:
            words = shlex.split(line, comments=True)
            while "inv" in words:
                words = words[words.index("inv") :]
                end = next((number for number, word in enumerate(words) if word in _ENDS_OF_COMMANDS), len(words))
                yield words[1:end]
                words = words[end:]


def read(path: Path) -> Page:
    """Return the page in a file."""
    written = path.read_text(encoding="utf-8")
    blocks = tuple((language, content) for _, language, content in _FENCE.findall(written))
    return Page(path, _FENCE.sub("", written), blocks)


def pages() -> list[Page]:
    """Return all Markdown files of this repository."""
    return [read(path) for path in files(".md")]


def files(*suffixes: str) -> list[Path]:
    """Return this repository's files of these kinds, without those of hidden folders and of virtual environments."""
    found = []
    for folder, below, names in os.walk(ROOT):
        hidden = [name for name in below if name.startswith(".") and name != ".github"]
        environments = [name for name in below if Path(folder, name, "pyvenv.cfg").exists()]
        below[:] = [name for name in below if name not in {*hidden, *environments, "node_modules"}]
        found += [Path(folder, name) for name in names if name.endswith(suffixes)]
    return sorted(found)
