"""Control groups of hosts: systemd in a host keeps its services apart by them, so no two hosts may share one."""

from __future__ import annotations

import secrets
from pathlib import Path

_MOUNTS = Path("/proc/self/mounts")
_JOIN = 'for folder in {}; do mkdir -p "$folder" && echo $$ > "$folder/cgroup.procs" || exit; done; exec "$@"'


class Cgroups:
    """The groups of one VPC, named so that no other sandbox has the same.

    They are folders in the kernel's file system which stay when their processes end: see `removal`.
    """

    def __init__(self) -> None:
        name = f"sandbox-{secrets.token_hex(4)}"
        self._roots = [mount / name for mount in _hierarchies()]

    def command(self, group: str, *words: str) -> list[str]:
        """The command that runs `words` in the group of that name, which it makes if necessary."""
        folders = " ".join(str(root / group) for root in self._roots)
        return ["sh", "-c", _JOIN.format(folders), "join", *words]

    @property
    def removal(self) -> str:
        """The shell command that removes all of them; their processes must have ended."""
        return "; ".join(f"find {root} -depth -type d -exec rmdir {{}} + 2>/dev/null" for root in self._roots)


def _hierarchies() -> list[Path]:
    """Where systemd keeps its groups: in the unified hierarchy, or in the one of version 1 that has its name."""
    mounts = [line.split() for line in _MOUNTS.read_text().splitlines()]
    return [
        Path(path)
        for _, path, kind, options, *_ in mounts
        if kind == "cgroup2" or (kind == "cgroup" and "name=systemd" in options.split(","))
    ]
