"""Where the sandbox keeps what is made once: base images of hosts, an installation of vLLM."""

from __future__ import annotations

import fcntl
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """Each thing is in a folder that is named after its recipe."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ai-service-sandbox"


@contextmanager
def locked(name: str) -> Iterator[Path]:
    """The cache's folder, while no other process has the lock of that name; waits for the one that has it."""
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield folder


def mebibytes(folder: Path) -> int:
    """What `folder` takes on disk."""
    return int(subprocess.run(["du", "-sm", folder], check=True, capture_output=True, text=True).stdout.split()[0])
