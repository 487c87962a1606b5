"""From a push to an answered chat, and all that the workflows say on the way: real dstack server, emulated clouds.

The tests share a team, and a service that its first push deployed. What act does not enforce, and what the linters of
the workflows look at instead, is in act.py.
"""

from __future__ import annotations

import json

import pytest

from tests.end_to_end.project import PATIENCE
from tests.story import step
from tests.workflows import drift, pull_request, rollback
from tests.workflows.act import Execution
from tests.workflows.conftest import RESTART, RUN, Team

pytestmark = pytest.mark.server
PIPELINE = ["target", "plan", "approve", "gateway", "dns", "service", "smoke"]
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


def results(execution: Execution) -> dict[str, str]:
    """Return the results of the jobs, in their order."""
    return {label.rpartition("/")[2]: job.result for label, job in execution.jobs.items()}


@pytest.fixture(scope="module")
def first_push(shared: Team) -> Execution:
    """What became of the push that deployed the service."""
    execution = shared.push()
    shared.keep()
    return execution


@pytest.fixture
def deployed(first_push: Execution, team: Team) -> Team:
    """The team, whose service runs as the files of main say."""
    assert first_push.ok, str(first_push)
    team.deploy_again()
    return team


def test_a_token_that_nobody_set_is_named(team: Team, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(team.forge, "secrets", {})
    execution = team.push("without-token")
    assert results(execution) == {"target": "success", "plan": "failure"}, str(execution)
    assert "set DSTACK_TOKEN" in execution.summary


def test_a_service_that_fails_stops_the_pipeline_and_the_page_says_why(team: Team) -> None:
    for cloud in ("runpod", "vastai"):
        team.sandbox.faults.set_capacity(cloud, available=False)
    execution = team.push("unlucky", timeouts=PATIENCE | {"capacity": 10})
    assert not execution.ok
    assert results(execution) == dict.fromkeys(PIPELINE[:-2], "success") | {"service": "failure"}
    assert "error: no cloud handed out a machine within 10 s" in execution.job("service").summary


def test_a_push_ends_with_an_answered_chat(first_push: Execution, team: Team) -> None:
    assert first_push.ok, str(first_push)
    assert results(first_push) == dict.fromkeys(PIPELINE, "success")
    assert f"service {RUN}: create" in first_push.job("plan").summary
    assert "answers as" in first_push.job("smoke").summary
    assert "stand-in" in team.ask()


def test_a_second_push_changes_nothing(deployed: Team) -> None:
    before = deployed.sandbox.calls(writes=True)
    execution = deployed.push()
    assert execution.ok, str(execution)
    assert f"service {RUN}: unchanged" in execution.job("plan").summary
    assert deployed.sandbox.calls(writes=True) == before


def test_environment_and_token_go_into_the_parts_url_and_deployment_come_out(deployed: Team) -> None:
    deployed.forge.write({".github/workflows/own.yml": CALLER})
    deployed.forge.push("a pipeline of the team's own")
    execution = deployed.forge.run("push", "own.yml")
    assert execution.ok, str(execution)
    needs = json.loads(execution.job("after").log)
    url = f"{deployed.sandbox.url}/proxy/services/{deployed.sandbox.project}/{RUN}/v1"
    assert needs["service"]["outputs"] == {"url": url, "deployment": "0"}
    assert needs["gateway"]["outputs"] == {"addresses": "", "others": ""}


def test_a_pull_request_has_one_comment_with_its_plan(deployed: Team) -> None:
    pull_request.propose_no_change(deployed)
    pull_request.propose_a_second_replica(deployed)
    pull_request.propose_another_setting(deployed)


def test_a_pull_request_that_restarts_a_protected_service_is_red(deployed: Team) -> None:
    deployed.environment(**RESTART)
    execution = deployed.forge.propose("plan.yml")
    assert not execution.ok
    assert execution.job("comment").result == "success"
    [comment] = deployed.forge.comments
    assert f"service {RUN}: restart\n  spot_policy: on-demand -&gt; auto" in comment
    assert f"error: changing spot_policy restarts {RUN}" in comment


def test_the_comment_has_all_environments(deployed: Team) -> None:
    deployed.environment()
    deployed.environment("canary")
    deployed.forge.variables["ENVIRONMENTS"] = '["staging", "canary"]'
    execution = deployed.forge.propose("plan.yml")
    assert execution.ok, str(execution)
    [comment] = deployed.forge.comments
    assert "service mistral-nemo-canary: create" in comment
    assert f"service {RUN}: unchanged" in comment


def test_drift_has_one_issue_that_is_opened_updated_and_closed(deployed: Team) -> None:
    drift.nothing_drifts(deployed)
    number = drift.a_difference_opens_one_issue(deployed)
    drift.another_difference_updates_the_issue(deployed, number)
    drift.the_issue_is_closed_when_every_environment_is_known_to_be_as_main_says(deployed, number)
    drift.a_later_difference_opens_another_issue(deployed)


@step
def refuse_the_restart(team: Team) -> None:
    """A restart that nobody allowed is refused, and the service keeps serving."""
    inputs = {"environment": team.target, "allow-restart": "false"}
    refused = team.forge.run("workflow_dispatch", "deploy.yml", inputs=inputs)
    assert results(refused) == {"target": "success", "plan": "failure"}, str(refused)
    assert f"error: changing spot_policy restarts {RUN}" in refused.summary
    assert "stand-in" in team.ask()


@step
def allow_the_restart(team: Team) -> None:
    """A restart that is allowed ends with an answered chat."""
    team.deployed_other = True
    inputs = {"environment": team.target, "allow-restart": "true"}
    allowed = team.forge.run("workflow_dispatch", "deploy.yml", inputs=inputs)
    assert allowed.ok, str(allowed)
    assert f"service {RUN}: restart" in allowed.job("service").summary
    assert "stand-in" in team.ask()


def test_a_protected_service_is_restarted_only_when_that_is_allowed(deployed: Team) -> None:
    deployed.merge("a restart", **RESTART)
    refuse_the_restart(deployed)
    allow_the_restart(deployed)


def test_the_pipeline_goes_back_to_an_earlier_deployment(deployed: Team) -> None:
    first, deployed.deployed_other = deployed.forge.git("rev-parse", "HEAD"), True
    second = rollback.deploy_another_commit(deployed)
    rollback.go_back_to_the_one_before(deployed, first)
    rollback.go_back_to_a_commit(deployed, second)
    rollback.refuse_what_is_no_deployment(deployed)
