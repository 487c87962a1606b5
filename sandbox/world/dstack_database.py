"""A database that has dstack's tables already: to make them costs every new server 8 seconds of CPU.

`python -m sandbox.world.dstack_database` makes it, once for each version of dstack, in the sandbox's cache.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from sandbox.world.cache import cache_folder, locked
from sandbox.world.processes import die_with_parent

_MIGRATE = """
import asyncio
from dstack._internal.server.db import get_db, migrate

async def main():
    await migrate()
    await get_db().engine.dispose()

asyncio.run(main())
"""


async def migrated_database() -> Path | None:
    """Return the database's file, which the first caller makes. None where the cache can't be read or written."""
    path = _path()
    if not os.access(path, os.R_OK):
        making = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "sandbox.world.dstack_database"),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            preexec_fn=die_with_parent,
        )
        await making.wait()
    return path if os.access(path, os.R_OK) else None


def _path() -> Path:
    return cache_folder() / f"dstack-{version('dstack')}.sqlite"


def _make() -> None:
    """Make the file, or wait for the process that is making it."""
    with locked("dstack-database.lock"):
        if _path().exists():
            return
        unfinished = _path().with_suffix(".unfinished")
        unfinished.unlink(missing_ok=True)  # of a process that was killed
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(cache_folder()),
            "DSTACK_SERVER_DIR": str(cache_folder()),
            "DSTACK_DATABASE_URL": f"sqlite+aiosqlite:///{unfinished}",
        }
        subprocess.run([sys.executable, "-c", _MIGRATE], env=environ, check=True, preexec_fn=die_with_parent)
        unfinished.rename(_path())


if __name__ == "__main__":
    _make()
