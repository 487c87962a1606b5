"""What the workflows do where there is nothing to deploy to, or nobody to trust. No server, seconds."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.workflows.forge import Forge

NOWHERE = "http://127.0.0.1:9"  # nothing listens on the port of the discard service


@pytest.fixture
def forge(forge: Forge) -> Forge:
    """Set up to deploy to a server that is down."""
    forge.secrets = {"DSTACK_TOKEN": "4f1d0b", "DSTACK_ADMIN_TOKEN": "a7c39e"}
    forge.variables = {
        "DSTACK_SERVER_URL": NOWHERE,
        "MAIN_ENVIRONMENT": "staging",
        "ENVIRONMENTS": json.dumps(["staging", "prod"]),
    }
    forge.write({"environments/staging.yml": {"server": {"project": "main"}}})
    forge.push("environments")
    return forge


@pytest.mark.parametrize("pull", [{"author": "mallory", "fork": True}, {"author": "dependabot[bot]"}])
def test_pull_requests_that_get_no_secrets_are_left_alone(forge: Forge, pull: dict[str, Any]) -> None:
    forge.write({"README.md": "Better."})
    execution = forge.propose("plan.yml", **pull)
    assert execution.ok, str(execution)
    assert execution.jobs == {}
    assert forge.comments == []


def test_a_failed_plan_is_red_and_the_comment_says_why(forge: Forge) -> None:
    execution = forge.propose("plan.yml")
    assert not execution.ok
    assert execution.job("comment").result == "success", str(execution)
    [comment] = forge.comments
    assert comment.count(f"error: no dstack server answers at {NOWHERE}") == 2, comment


def test_an_environment_without_a_plan_is_not_deployed(forge: Forge) -> None:
    execution = forge.run("push", "deploy.yml")
    assert not execution.ok
    assert {name: job.result for name, job in execution.jobs.items()} == {
        "deploy/target": "success",
        "deploy/plan": "failure",
    }
    assert f"error: no dstack server answers at {NOWHERE}" in execution.summary


def test_main_is_not_deployed_until_an_environment_is_set(forge: Forge) -> None:
    del forge.variables["MAIN_ENVIRONMENT"]
    execution = forge.run("push", "deploy.yml")
    assert execution.ok, str(execution)
    assert execution.jobs == {}


@pytest.mark.parametrize(
    ("event", "environment"),
    [
        ({"event": "push"}, "staging"),
        ({"event": "push", "ref": "refs/tags/v1"}, "prod"),
        ({"event": "workflow_dispatch", "inputs": {"environment": "dev"}}, "dev"),
    ],
    ids=["main", "tag", "by hand"],
)
def test_what_is_deployed_where(forge: Forge, event: dict[str, Any], environment: str) -> None:
    forge.git("tag", "v1")
    forge.git("push", "--quiet", "origin", "v1")
    execution = forge.run(workflow="deploy.yml", **event)
    assert execution.job("target").outputs["target"] == {"environment": environment}
    assert f"inv deploy --env {environment} --dry-run" in execution.summary


def test_an_environment_that_can_t_be_asked_for_drift_is_red_and_touches_no_issue(forge: Forge) -> None:
    execution = forge.run("schedule", "drift.yml", schedule="23 4 * * *")
    assert not execution.ok
    assert sorted(job.result for job in execution.jobs.values()) == ["failure", "failure", "success"], str(execution)
    assert not forge.state.get("issues")


def test_the_checks_pass_after_the_team_has_made_the_repository_its_own(forge: Forge) -> None:
    """The fixture has added an environment."""
    edits = {
        "environments/dev.yml": ("http://127.0.0.1:3000", "https://dstack.acme.example"),
        "environments/prod.yml": ("\nserver:\n", "\nserver:\n  url: https://dstack.acme.example\n"),
        "dstack/service.dstack.yml": ("MAX_NUM_SEQS: 128", "MAX_NUM_SEQS: 64"),
    }
    for name, (before, after) in edits.items():
        text = (forge.work / name).read_text("utf-8")
        assert before in text
        forge.write({name: text.replace(before, after)})
    forge.push("ours")
    execution = forge.run("push", "ci.yml")
    assert execution.ok, str(execution)
    assert "passed" in execution.job("test").log
