"""From a push to an answered chat, and all that the workflows say on the way: real dstack server, emulated clouds.

One service goes through these tests in their order: it is deployed, changed, drifts, and is restarted.
"""

from __future__ import annotations

import pytest

from tests.workflows.conftest import Team

pytestmark = pytest.mark.server
PIPELINE = ["target", "plan", "approve", "gateway", "dns", "service", "smoke"]


def test_a_service_that_fails_stops_the_pipeline_and_says_why(team: Team) -> None:
    for cloud in ("runpod", "vastai"):
        team.sandbox.capacity(cloud, available=False)
    execution = team.push()
    assert not execution.ok
    service = execution.job("service")
    assert service.result == "failure"
    assert "smoke" not in "".join(execution.jobs)
    print(execution.summary)
    team.sandbox.clear_faults()


def test_a_push_ends_with_an_answered_chat(team: Team) -> None:
    execution = team.push()
    assert execution.ok, str(execution)
    print(execution.jobs.keys(), execution.summary)
    assert "stand-in" in team.ask()
