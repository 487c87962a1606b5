"""Stands in for uv in the tests of workflows. It installs nothing.

`uv venv` makes the environment that runs the tests appear as .venv, and `uv pip sync --require-hashes` checks no more
than that the lock has hashes: every test would download 200 MB else, of what that environment has already. What the
workflows don't do is refused.
"""

from __future__ import annotations

import sys
from pathlib import Path


def main(words: list[str]) -> str | None:
    """Do what uv would; returns what is wrong."""
    environment = Path(".venv")
    match words:
        case ["venv", *_]:
            environment.mkdir(exist_ok=True)  # a folder, as .gitignore expects it
            for path in Path(sys.prefix).iterdir():
                (environment / path.name).symlink_to(path)
        case ["pip", "sync", *options] if "--require-hashes" in options:
            lock = Path(next(option for option in options if not option.startswith("-")))
            if not environment.exists():
                return "No virtual environment found; run `uv venv` to create an environment, or pass `--system`"
            if "--hash=sha256:" not in lock.read_text("utf-8"):
                return f"In `--require-hashes` mode, all requirements must have a hash: {lock}"
        case _:
            return f"this stand-in for uv does not know: uv {' '.join(words)}"
    return None


if __name__ == "__main__":
    problem = main(sys.argv[1:])
    sys.exit(f"error: {problem}" if problem else 0)
