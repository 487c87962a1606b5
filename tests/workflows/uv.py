"""Stands in for uv in the tests of workflows. It installs nothing.

Every test would download 200 MB else, of what the environment that runs the tests has already: `uv venv` makes an
environment that sees the packages and programs of that one, but for uv, and `uv pip sync --require-hashes` checks no
more than that the lock has hashes. `uvx` runs what is installed there, if it is the version that is asked for. What the
workflows don't do is refused.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import version
from pathlib import Path

SCRIPTS = Path(sysconfig.get_path("scripts"))


def main(words: list[str]) -> str | int:
    """Do what uv would; returns the exit code, or what is wrong."""
    environment = Path(".venv")
    match words:
        case ["venv", *_]:
            venv.create(environment, symlinks=True)
            [packages] = environment.glob("lib/python3*/site-packages")
            (packages / "tests.pth").write_text(f"{sysconfig.get_path('purelib')}\n", "utf-8")
            for program in SCRIPTS.iterdir():
                own = environment / "bin" / program.name  # what venv has made is there already
                if program.is_file() and not own.exists() and not program.name.startswith(("python", "uv")):
                    own.symlink_to(program)
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
            return subprocess.run([SCRIPTS / name, *arguments], env=environ).returncode
        case _:
            return f"error: this stand-in for uv does not know: uv {' '.join(words)}"
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
