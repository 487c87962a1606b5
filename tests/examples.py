"""The examples of docs/call-it.md of a rendering: taken out of the page, and run as they stand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(bash|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_CURL = """#!/bin/sh
printf '%s\\n' "$@" >> arguments-of-curl
exec {curl} "$@"
"""


@dataclass(frozen=True)
class Example:
    """A block of the page below a heading, in the language of its fence."""

    heading: str
    language: str
    code: str

    def run(self, folder: Path, url: str, token: str) -> subprocess.CompletedProcess[str]:
        """Run it in a folder, with only the variables that the page has readers set. curl's arguments are kept."""
        command = [sys.executable, "-c"] if self.language == "python" else ["bash", "-o", "pipefail", "-c"]
        shim = folder / "bin" / "curl"
        shim.parent.mkdir(exist_ok=True)
        shim.write_text(_CURL.format(curl=shutil.which("curl")), "utf-8")
        shim.chmod(0o755)
        path = f"{shim.parent}:{os.environ['PATH']}"
        variables = {"PATH": path, "HOME": str(folder), "OPENAI_BASE_URL": url, "OPENAI_API_KEY": token}
        words = [*command, self.code]
        return subprocess.run(words, cwd=folder, env=variables, capture_output=True, text=True, timeout=120)


def page(project: Path) -> str:
    """The text of the page."""
    return (project / "docs" / "call-it.md").read_text("utf-8")


def examples(project: Path) -> list[Example]:
    """Every example of the page, in its order."""
    found = []
    for section in re.split(r"^##+ ", page(project), flags=re.MULTILINE)[1:]:
        heading = section.partition("\n")[0]
        found += [Example(heading, language, code) for language, code in _BLOCK.findall(section)]
    return found


def variables_to_set(project: Path) -> set[str]:
    """The variables that the page has readers set before the first request."""
    return set(re.findall(r"\b(?:export|read -rs) ([A-Z_]+)", page(project)))
