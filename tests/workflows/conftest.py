"""Repositories on a GitHub of their own, whose workflows are executed."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.rendered import Bake
from tests.workflows.forge import Forge

Publish = Callable[..., Forge]


@pytest.fixture
def publish(baked: Bake, tmp_path: Path) -> Iterator[Publish]:
    """publish(**answers): the repository that is generated from them; at the end, nothing in it may show a secret."""
    forges: list[Forge] = []

    def one(**answers: str) -> Forge:
        forges.append(Forge(tmp_path / f"forge-{len(forges)}", baked(**answers)))
        return forges[-1]

    yield one
    assert [leak for forge in forges for leak in forge.leaks()] == []
    for forge in forges:
        shutil.rmtree(forge.folder)  # each holds a copy of the project for every job


@pytest.fixture
def forge(publish: Publish) -> Forge:
    return publish()
