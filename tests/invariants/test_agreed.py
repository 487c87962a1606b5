"""Another person changes something between the plan of a deploy and the yes to it."""

from __future__ import annotations

import pytest

from tests.invariants.person import Project
from tests.invariants.stage import VALUE, Stage


@pytest.mark.parametrize(("words", "code"), [("deploy --yes", 31), ("destroy --yes", 31), ("plan", 0)])
def test_what_is_not_there_any_more_as_it_was_shown_is_not_applied(hunted: Project, words: str, code: int) -> None:
    stage = Stage(hunted)
    stage.write(0, VALUE)
    assert stage.do(0, "deploy", "--yes").code == 0
    for who in (0, 1):
        stage.write(who, VALUE)
    done = stage.agree_late(0, *words.split())
    assert done.code == code, done.said
    stage.clear_away()
