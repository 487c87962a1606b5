"""Brings engine/monitor.py into the container: as text in the service's `env`, which its command writes to a file.

dstack's own `files` belong to the user who uploads them, and another user's deploy would be an outage.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

from deploy.documents.references import texts

if TYPE_CHECKING:
    from deploy.documents.files import Document

VARIABLE, FILE = "ENGINE_MONITOR", "engine/monitor.py"


def with_monitor(service: Document, root: Path) -> Document:
    """Return the service with the monitor's text, if its commands, or a group's, use it and this repository has it.

    A value that the files themselves set stays; "" switches the monitor off.
    """
    path, env = root / FILE, service.get("env") or {}
    commands = [service.get("commands"), service.get("groups")]
    uses = any(f"${VARIABLE}" in text for place in commands for _, text in texts(place))
    if not uses or not path.exists() or not isinstance(env, dict) or VARIABLE in env:
        return service
    # dstack's server takes $$ for $, and ${{ for a reference
    return service | {"env": env | {VARIABLE: path.read_text(encoding="utf-8").replace("$", "$$")}}


def shortened(document: Document) -> Document:
    """Return the document with the monitor's fingerprint in place of its text, for people to read."""
    env = document.get("env")
    if not isinstance(env, dict) or not env.get(VARIABLE):
        return document
    return document | {"env": env | {VARIABLE: f"{FILE} ({fingerprint(env[VARIABLE])})"}}


def fingerprint(text: object) -> str | None:
    """Return a short digest of the monitor's text; None where there is none."""
    return sha256(str(text).encode()).hexdigest()[:12] if text else None
