"""A rendered project whose commands are run in this process, and people who type them."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.invariants.person import Person, Project, server
from tests.invariants.stand_in.server import Server
from tests.invariants.transport import Transport
from tests.rendered import ROOT


@pytest.fixture(scope="session")
def hunted(cookies_session: Any) -> Project:
    """A project of its own: its environment file changes all the time."""
    template = os.environ.get("HUNT_TEMPLATE", str(ROOT))  # another version of it, to hold one against the other
    return Project(Path(cookies_session.bake(template=template).project_path))


@pytest.fixture
def stand_in() -> Server:
    return server()


@pytest.fixture
def person(hunted: Project, stand_in: Server) -> Callable[[str], Person]:
    """person(name): somebody with a token of the stand-in's."""
    transport = Transport(stand_in)
    return lambda name: Person(hunted, transport, name)
