"""Processes that must not outlive the sandbox, and programs that must be installed."""

from __future__ import annotations

import ctypes
import shutil
import signal
from contextlib import suppress

import psutil

from sandbox.errors import SandboxError

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_KILL_WAIT_SECONDS = 5.0
_LIBC = ctypes.CDLL(None, use_errno=True)

PACKAGES = {"ssh": "openssh-client", "git": "git", "unshare": "util-linux"}  # command: Debian package


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs, such as `ssh -f`, so that they can be found and ended."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent() -> None:
    """Have this process killed when its parent ends, however that happens; for `preexec_fn`."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def kill_all_with(variable: str, value: str) -> None:
    """SIGKILL all processes that were started with an environment variable, and return when they are gone.

    For daemons, which can't be found as descendants: whoever inherited `variable` belongs to its process.
    """
    while found := [process for process in psutil.process_iter() if _environ(process).get(variable) == value]:
        for process in found:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        psutil.wait_procs(found, timeout=_KILL_WAIT_SECONDS)


def _environ(process: psutil.Process) -> dict[str, str]:
    """Empty for processes that have ended, and for other users'."""
    try:
        return process.environ()
    except (psutil.Error, OSError):
        return {}


def check_installed() -> None:
    """Raise SandboxError, with the command that installs them, when system packages are missing."""
    missing = [command for command in PACKAGES if shutil.which(command) is None]
    if missing:
        packages = " ".join(sorted({PACKAGES[command] for command in missing}))
        raise SandboxError(f"missing on this machine: {', '.join(missing)}; run `sudo apt-get install -y {packages}`")
