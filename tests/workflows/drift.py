"""Nights in which what runs differs from main, or not: steps of a story in test_pipeline.py."""

from __future__ import annotations

import json
from typing import Any

from tests.story import step
from tests.workflows.conftest import RESTART, ROLLING, RUN, Team

EVES = {  # somebody's own issue, with the label that the workflow uses
    **{"number": 100, "title": "Prod drifts from our plan", "body": "See the sheet.", "state": "OPEN", "comments": []},
    **{"labels": [{"name": "drift"}], "author": {"is_bot": False, "login": "eve"}},
}


def look(team: Team, *unreachable: str) -> list[dict[str, Any]]:
    """Let the night come. Return the issues of the workflow; those of people stay as they are.

    An `unreachable` environment makes the workflow fail, and hides nothing of the other one.
    """
    team.forge.variables["ENVIRONMENTS"] = json.dumps(["staging", *unreachable])
    execution = team.forge.run("schedule", "drift.yml", schedule="23 4 * * *")
    assert execution.ok == (not unreachable), str(execution)
    issues = list(team.forge.state.get("issues", {}).values())
    assert [issue for issue in issues if not issue["author"]["is_bot"]] in ([], [EVES]), "hers to edit and close"
    return [issue for issue in issues if issue["author"]["is_bot"]]


@step
def nothing_drifts(team: Team) -> None:
    """Without a difference there is no issue."""
    assert look(team) == []


@step
def a_difference_opens_one_issue(team: Team) -> int:
    """A difference opens one issue, beside somebody's own with that label. Return its number."""
    team.forge.state = team.forge.state | {"issues": {"100": EVES}}
    team.environment("down", server={"url": "http://127.0.0.1:9", "project": "main"})
    team.merge("merged, and not deployed", **ROLLING)
    [opened] = look(team, "down")
    assert look(team, "down") == look(team) == [opened]
    assert opened["state"] == "OPEN"
    assert f"service {RUN}: rolling\n  env.MAX_NUM_SEQS: 128 -&gt; 96" in opened["body"]
    number: int = opened["number"]
    return number


@step
def another_difference_updates_the_issue(team: Team, number: int) -> None:
    """Another difference updates the same issue."""
    team.merge("and something else", **RESTART)
    [updated] = look(team)
    assert updated["number"] == number
    assert f"service {RUN}: restart" in updated["body"]
    assert "MAX_NUM_SEQS" not in updated["body"]


@step
def the_issue_is_closed_when_every_environment_is_known_to_be_as_main_says(team: Team, number: int) -> None:
    """Without a difference the issue is closed, but not while one environment can't be asked."""
    team.merge("back to what runs")
    assert [issue["state"] for issue in look(team, "down")] == ["OPEN"]  # perhaps it is the other one that drifts
    [closed] = look(team)
    assert (closed["number"], closed["state"]) == (number, "CLOSED")


@step
def a_later_difference_opens_another_issue(team: Team) -> None:
    """A later difference opens another issue, and the closed one stays closed."""
    team.merge("later", **ROLLING)
    assert [issue["state"] for issue in look(team)] == ["CLOSED", "OPEN"]
