"""Stands in for uv in the tests of workflows. It installs nothing.

`uv venv` makes the environment that runs the tests appear as .venv, and `uv pip sync --require-hashes` checks no more
than that the lock has hashes: every test would download 200 MB else, of what that environment has already. `uvx`
runs what is installed there, if that is the version asked for. What the workflows don't do is refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path


def main(words: list[str]) -> str | int:
    """Do what uv would; returns the exit code, or what is wrong."""
    environment = Path(".venv")
    match words:
        case ["venv", *_]:
            environment.mkdir(exist_ok=True)  # a folder, as .gitignore expects it
            for path in Path(sys.prefix).iterdir():
                (environment / path.name).symlink_to(path)
        case ["pip", "sync", *options] if "--require-hashes" in options:
            lock = Path(next(option for option in options if not option.startswith("-")))
            if not environment.exists():
                return "error: No virtual environment found; run `uv venv` to create an environment, or pass `--system`"
            if "--hash=sha256:" not in lock.read_text("utf-8"):
                return f"error: In `--require-hashes` mode, all requirements must have a hash: {lock}"
        case ["tool", "run", program, *arguments]:  # uvx
            name, _, wanted = program.partition("==")
            if wanted != version(name):
                return f"error: the tests have {name} {version(name)}, the workflow {wanted}"
            environ = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}  # how this was found
            return subprocess.run([Path(sysconfig.get_path("scripts")) / name, *arguments], env=environ).returncode
        case _:
            return f"error: this stand-in for uv does not know: uv {' '.join(words)}"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
