"""Going back from GitHub: steps of a story in test_pipeline.py."""

from __future__ import annotations

import json
from typing import Any

from tests.story import step
from tests.workflows.act import Execution
from tests.workflows.conftest import RUN, Team

GOING_BACK = ["target", "plan", "approve", "service", "smoke"]  # gateway and records stay as they are


def go_back(team: Team, to: str) -> Execution:
    """Start the pipeline by hand with a value of `rollback-to`."""
    inputs = {"environment": team.target, "rollback-to": to}
    return team.forge.run("workflow_dispatch", "deploy.yml", inputs=inputs)


def went_back(team: Team, to: str, commit: str, priority: int) -> None:
    """Go back; what runs then is what the commit says, and the page of the run names it."""
    execution = go_back(team, to)
    assert execution.ok, str(execution)
    results = {label.rpartition("/")[2]: job.result for label, job in execution.jobs.items()}
    assert results == dict.fromkeys(GOING_BACK, "success")
    for job in ("plan", "service"):
        assert f"back to commit {commit[:7]}" in execution.job(job).summary
    assert "answers as" in execution.job("smoke").summary
    assert deployed(team)["configuration"]["priority"] == priority
    assert f" commit={commit} " in deployed(team)["configuration_path"]


def deployed(team: Team) -> dict[str, Any]:
    """What dstack's run was made from."""
    spec: dict[str, Any] = team.ask_dstack("runs/get", run_name=RUN)["run_spec"]
    return spec


@step
def deploy_another_commit(team: Team) -> str:
    """A push deploys another commit, which its row in the history names. Return it."""
    execution = team.push(service={"priority": 10})
    assert execution.ok, str(execution)
    commit = team.forge.git("rev-parse", "HEAD")
    [newest, *_] = json.loads(deployed(team)["configuration_path"].partition(" deployments=")[2])
    assert (newest["commit"], newest["branch"], newest["subject"]) == (commit, "main", "a change")
    assert newest["ci"].startswith(f"{team.forge.url}/actions/runs/")
    return commit


@step
def go_back_to_the_one_before(team: Team, commit: str) -> None:
    """`previous` is the deployment before."""
    went_back(team, "previous", commit, priority=0)


@step
def go_back_to_a_commit(team: Team, commit: str) -> None:
    """A commit is deployed, also one that was left by a rollback."""
    went_back(team, commit, commit, priority=10)


@step
def refuse_what_is_no_deployment(team: Team) -> None:
    """A wrong value ends the pipeline in its plan, with one line on the page of the run."""
    before = deployed(team)
    execution = go_back(team, "main; true")
    assert {label.rpartition("/")[2]: job.result for label, job in execution.jobs.items()} == {
        "target": "success",
        "plan": "failure",
    }, str(execution)
    summary = execution.job("plan").summary
    assert "error: --to is 'main; true'" in summary
    assert summary.count("error: ") == 1
    assert "Traceback" not in str(execution)
    assert deployed(team) == before
