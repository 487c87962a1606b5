"""The database that new dstack servers start from."""

from __future__ import annotations

import asyncio

import pytest

from sandbox.world.dstack_database import migrated_database


def test_without_a_cache_a_server_makes_its_own_database(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose HOME belongs to another one can start a sandbox all the same."""
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nobody-can-write-here")
    assert asyncio.run(migrated_database()) is None
