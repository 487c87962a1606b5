"""From a push to an answered chat, and all that the workflows say on the way: real dstack server, emulated clouds.

One service goes through these tests in their order: it fails, is deployed, planned, drifts, and is restarted. What act
does not enforce, and what the linters of the workflows look at instead, is in act.py.
"""

from __future__ import annotations

import html
import json
import re
from typing import Any

import pytest

from tests.end_to_end.project import PATIENCE
from tests.workflows.conftest import Team
from tests.workflows.forge import PULL

pytestmark = pytest.mark.server
RUN = "mistral-nemo-staging"
PIPELINE = ["target", "plan", "approve", "gateway", "dns", "service", "smoke"]
ROLLING: dict[str, Any] = {"service": {"env": {"MAX_NUM_SEQS": 96}}}
RESTART: dict[str, Any] = {"service": {"spot_policy": "auto"}}
EVES = {  # somebody's own issue, with the label that the workflow uses
    **{"number": 100, "title": "Prod drifts from our plan", "body": "See the sheet.", "state": "OPEN", "comments": []},
    **{"labels": [{"name": "drift"}], "author": {"is_bot": False, "login": "eve"}},
}
# calls the reusable service.yml as the pipeline does, and shows what comes out
CALLER = {
    "on": {"push": None},
    "jobs": {
        "service": {
            "uses": "./.github/workflows/service.yml",
            "with": {"environment": "staging"},
            "secrets": {"DSTACK_TOKEN": "${{ secrets.DSTACK_TOKEN }}"},
        },
        "gateway": {
            "uses": "./.github/workflows/gateway.yml",
            "with": {"environment": "staging"},
            "secrets": {"DSTACK_TOKEN": "${{ secrets.DSTACK_TOKEN }}"},
        },
        "after": {
            "needs": ["service", "gateway"],
            "runs-on": "ubuntu-24.04",
            "steps": [{"run": "echo '${{ toJSON(needs) }}'"}],
        },
    },
}


def results(team: Team) -> dict[str, str]:
    """Of the jobs of the last execution, in their order."""
    return {label.rpartition("/")[2]: job.result for label, job in team.forge.executions[-1].jobs.items()}


def test_a_token_that_nobody_set_is_named(team: Team) -> None:
    secrets, team.forge.secrets = team.forge.secrets, {}
    execution = team.push()
    team.forge.secrets = secrets
    assert results(team) == {"target": "success", "plan": "failure"}, str(execution)
    assert "set DSTACK_TOKEN" in execution.summary


def test_a_service_that_fails_stops_the_pipeline_and_the_page_says_why(team: Team) -> None:
    for cloud in ("runpod", "vastai"):
        team.sandbox.faults.set_capacity(cloud, available=False)
    execution = team.push(timeouts=PATIENCE | {"capacity": 10})
    team.sandbox.faults.clear()
    assert not execution.ok
    assert results(team) == dict.fromkeys(PIPELINE[:-2], "success") | {"service": "failure"}
    assert "error: no cloud handed out a machine within 10 s" in execution.job("service").summary


def test_a_push_ends_with_an_answered_chat(team: Team) -> None:
    execution = team.push()
    assert execution.ok, str(execution)
    assert results(team) == dict.fromkeys(PIPELINE, "success")
    assert f"service {RUN}: create" in execution.job("plan").summary
    assert "answers as" in execution.job("smoke").summary
    assert "stand-in" in team.ask()


def test_a_second_push_changes_nothing(team: Team) -> None:
    before = team.sandbox.calls(writes=True)
    execution = team.push()
    assert execution.ok, str(execution)
    assert f"service {RUN}: unchanged" in execution.job("plan").summary
    assert team.sandbox.calls(writes=True) == before


def test_environment_and_token_go_into_the_parts_url_and_deployment_come_out(team: Team) -> None:
    team.forge.write({".github/workflows/own.yml": CALLER})
    team.forge.push("a pipeline of the team's own")
    execution = team.forge.run("push", "own.yml")
    assert execution.ok, str(execution)
    needs = json.loads(execution.job("after").log)
    url = f"{team.sandbox.url}/proxy/services/{team.sandbox.project}/{RUN}/v1"
    assert needs["service"]["outputs"] == {"url": url, "deployment": "0"}
    assert needs["gateway"]["outputs"] == {"addresses": ""}


@pytest.mark.parametrize(
    ("settings", "said", "price"),
    [
        ({}, f"service {RUN}: unchanged", r"\$(\d\.\d\d) an hour -> \$\1 \(\+0\.00\)"),
        (
            {"service": {"replicas": 2}, "fleet": {"nodes": "0..4"}},
            f"service {RUN}: in place",
            r"\$\d\.\d\d an hour -> \$\d\.\d\d \(\+0\.[1-9]\d\)",
        ),
        (
            ROLLING,
            f"service {RUN}: rolling\n  env.MAX_NUM_SEQS: 128 -&gt; 96",
            r"\$\d\.\d\d an hour -> \$\d\.\d\d \([+-]\d\.\d\d\)",
        ),
    ],
    ids=["unchanged", "in place", "rolling"],
)
def test_a_pull_request_has_one_comment_with_its_plan(
    team: Team, settings: dict[str, Any], said: str, price: str
) -> None:
    team.environment(**settings)
    execution = team.forge.propose("plan.yml")
    assert execution.ok, str(execution)
    [comment] = team.forge.comments
    assert said in comment
    assert re.search(f"GPUs: {price}", html.unescape(comment)), comment


def test_a_pull_request_that_restarts_a_protected_service_is_red(team: Team) -> None:
    team.environment(**RESTART)
    execution = team.forge.propose("plan.yml")
    assert not execution.ok
    assert execution.job("comment").result == "success"
    [comment] = team.forge.comments
    assert f"service {RUN}: restart\n  spot_policy: on-demand -&gt; auto" in comment
    assert f"error: changing spot_policy restarts {RUN}" in comment


def test_the_comment_has_all_environments_and_others_comments_stay(team: Team) -> None:
    state = team.forge.state
    state["pulls"][PULL]["comments"].insert(0, {"id": 1, "user": {"login": "eve", "type": "User"}, "body": "Nice."})
    team.forge.state = state
    team.environment()
    team.environment("canary")
    team.forge.variables["ENVIRONMENTS"] = '["staging", "canary"]'
    execution = team.forge.propose("plan.yml")
    team.forge.variables["ENVIRONMENTS"] = '["staging"]'
    assert execution.ok, str(execution)
    [nice, comment] = team.forge.comments
    assert nice == "Nice."
    assert "service mistral-nemo-canary: create" in comment
    assert f"service {RUN}: unchanged" in comment


def test_drift_has_one_issue_that_is_opened_updated_and_closed(team: Team) -> None:
    def look(ok: bool = True) -> list[dict[str, Any]]:
        execution = team.forge.run("schedule", "drift.yml", schedule="23 4 * * *")
        assert execution.ok == ok, str(execution)
        issues = list(team.forge.state.get("issues", {}).values())
        assert [issue for issue in issues if not issue["author"]["is_bot"]] in ([], [EVES]), "hers to edit and close"
        return [issue for issue in issues if issue["author"]["is_bot"]]

    assert look() == []
    team.forge.state = team.forge.state | {"issues": {"100": EVES}}
    team.environment(**ROLLING)
    team.environment("down", server={"url": "http://127.0.0.1:9", "project": "main"})
    team.forge.push("merged, and not deployed")
    team.forge.variables["ENVIRONMENTS"] = '["staging", "down"]'  # what can't be asked hides nothing
    assert look(ok=False) == look(ok=False)
    team.forge.variables["ENVIRONMENTS"] = '["staging"]'
    [opened] = look()
    assert opened["state"] == "OPEN"
    assert f"service {RUN}: rolling\n  env.MAX_NUM_SEQS: 128 -&gt; 96" in opened["body"]
    team.environment(**RESTART)
    team.forge.push("and something else")
    [updated] = look()
    assert updated["number"] == opened["number"]
    assert f"service {RUN}: restart" in updated["body"]
    assert "MAX_NUM_SEQS" not in updated["body"]
    team.environment()
    team.forge.push("back to what runs")
    team.forge.variables["ENVIRONMENTS"] = '["staging", "down"]'
    assert [issue["state"] for issue in look(ok=False)] == ["OPEN"]  # perhaps it is the other one that drifts
    team.forge.variables["ENVIRONMENTS"] = '["staging"]'
    [closed] = look()
    assert (closed["number"], closed["state"]) == (opened["number"], "CLOSED")
    team.environment(**ROLLING)
    team.forge.push("later")
    assert [issue["state"] for issue in look()] == ["CLOSED", "OPEN"]


def test_a_protected_service_is_restarted_only_when_that_is_allowed(team: Team) -> None:
    team.environment(**RESTART)
    team.forge.push("a restart")
    by_hand = {"environment": "staging"}
    refused = team.forge.run("workflow_dispatch", "deploy.yml", inputs=by_hand | {"allow-restart": "false"})
    assert results(team) == {"target": "success", "plan": "failure"}, str(refused)
    assert f"error: changing spot_policy restarts {RUN}" in refused.summary
    assert "stand-in" in team.ask()
    allowed = team.forge.run("workflow_dispatch", "deploy.yml", inputs=by_hand | {"allow-restart": "true"})
    assert allowed.ok, str(allowed)
    assert f"service {RUN}: restart" in allowed.job("service").summary
    assert "stand-in" in team.ask()


def test_no_secret_is_in_anything_that_was_written(team: Team) -> None:
    assert len(team.forge.executions) > 10
    assert team.forge.leaks() == []
    for secret in (*team.sandbox.keys.values(), team.sandbox.token):
        assert not [execution for execution in team.forge.executions if secret in execution.written]
