"""Exact versions that are written in more than one place: packages, actions, images.

A pin of the template and the same pin here change together. A test fails where two places differ, and `inv pins` writes
the newest version everywhere.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

PACKAGE = re.compile(r"\b(?P<name>[a-z][\w.-]*)(?:\[[\w,-]+\])?==(?P<version>\d(?:[\w.]*\w)?)")  # also in commands
ACTION = re.compile(r"\buses: (?P<name>[\w.-]+/[\w./-]+)@(?P<version>[0-9a-f]{40} # v[\d.]+)")
IMAGE = re.compile(r"^image: (?P<name>[\w./-]+):(?P<version>v?\d[\w.-]*(?:@sha256:[0-9a-f]{64})?)", re.MULTILINE)
UV = re.compile(r'\bversion: "(?P<version>\d[\d.]*)" # (?P<name>uv)$', re.MULTILINE)  # for setup-uv
PATTERNS = (PACKAGE, ACTION, IMAGE, UV)
LOCK = "requirements.txt"
APART = ("tests/", "sandbox/vllm/requirements.txt")  # tests use other versions on purpose; vLLM has its own environment
RENDERED = "demo-mistral-nemo/"

Pins = dict[str, dict[str, frozenset[str]]]  # by name, then by file; a lock file with markers has more than one version


def find(root: Path) -> Pins:
    """Return every pin in the files at `root` that git tracks or does not ignore."""
    found: Pins = defaultdict(dict)
    for name in _files(root):
        text = (root / name).read_text("utf-8", errors="replace")
        versions = defaultdict(set)
        for pattern in PATTERNS:
            for match in pattern.finditer(text):
                versions[match["name"]].add(match["version"])
        for pinned, those in versions.items():
            found[pinned][name] = frozenset(those)
    return found


def different(pins: Pins) -> Pins:
    """Return the pins whose versions differ between files."""
    return {name: places for name, places in pins.items() if len(set(places.values())) > 1}


def newest(pins: Pins) -> dict[str, str]:
    """Return the highest version of each pin. Actions are compared by the tag in their comment."""
    return {name: max((v for those in places.values() for v in those), key=_order) for name, places in pins.items()}


def put(root: Path, versions: Mapping[str, str]) -> list[str]:
    """Write these versions wherever the names are pinned, except in generated files: lock files and the demo.

    Return the files that changed.
    """

    def pinned(match: re.Match[str]) -> str:
        start, end = (match.start("version") - match.start(), match.end("version") - match.start())
        return match[0][:start] + versions.get(match["name"], match["version"]) + match[0][end:]

    changed = []
    for name in _files(root):
        if not name.startswith(RENDERED) and LOCK not in name:
            before = after = (root / name).read_text("utf-8", errors="surrogateescape")
            for pattern in PATTERNS:
                after = pattern.sub(pinned, after)
            if after != before:
                (root / name).write_text(after, "utf-8", errors="surrogateescape")
                changed.append(name)
    return changed


def _files(root: Path) -> list[str]:
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=root, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    return [name for name in names if not name.startswith(APART) and (root / name).is_file()]


def _order(version: str) -> tuple[list[int], str]:
    return [int(number) for number in re.findall(r"\d+", version.split("#")[-1])], version
