"""A pull request whose plan changes: steps of a story in test_pipeline.py."""

from __future__ import annotations

import html
import re
from typing import Any

from tests.story import step
from tests.workflows.conftest import ROLLING, RUN, Team
from tests.workflows.forge import PULL


@step
def propose_no_change(team: Team) -> None:
    """Open a pull request that changes nothing: one comment says so."""
    [comment] = proposed(team)
    assert f"service {RUN}: unchanged" in comment
    assert_price(comment, r"\$(\d\.\d\d) an hour -> \$\1 \(\+0\.00\)")


@step
def propose_a_second_replica(team: Team) -> None:
    """Update the pull request, which somebody else commented on: the comment changes, and the other one stays."""
    state = team.forge.state
    state["pulls"][PULL]["comments"].insert(0, {"id": 1, "user": {"login": "eve", "type": "User"}, "body": "Nice."})
    team.forge.state = state
    [nice, comment] = proposed(team, service={"replicas": 2}, fleet={"nodes": "0..4"})
    assert nice == "Nice."
    assert f"service {RUN}: in place" in comment
    assert_price(comment, r"\$\d\.\d\d an hour -> \$\d\.\d\d \(\+0\.[1-9]\d\)")


@step
def propose_another_setting(team: Team) -> None:
    """Update the pull request again: the same comment has the new plan and nothing of the old one."""
    [nice, comment] = proposed(team, **ROLLING)
    assert nice == "Nice."
    assert f"service {RUN}: rolling\n  env.MAX_NUM_SEQS: 128 -&gt; 96" in comment
    assert "in place" not in comment
    assert_price(comment, r"\$\d\.\d\d an hour -> \$\d\.\d\d \([+-]\d\.\d\d\)")


def proposed(team: Team, **settings: Any) -> list[str]:
    """Propose these settings. Return the comments of the pull request."""
    team.environment(**settings)
    execution = team.forge.propose("plan.yml")
    assert execution.ok, str(execution)
    return team.forge.comments


def assert_price(comment: str, price: str) -> None:
    assert re.search(f"GPUs: {price}", html.unescape(comment)), comment
