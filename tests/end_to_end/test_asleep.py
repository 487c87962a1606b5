"""A service without a replica, on purpose: it is deployed, costs nothing, and nobody claims that it was tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.end_to_end.behind import Behind
from tests.end_to_end.conftest import Make
from tests.sandbox.deployment import wait_for


def test_a_service_of_no_replica_is_deployed_asleep_and_wakes_with_one(make: Make) -> None:
    environment = make("night", service={"replicas": 0})
    done = environment.deploy()
    assert "deployment 0 is asleep: nothing answers, and no GPU is billed" in done.stdout
    assert "set service.replicas to 1" in done.stdout
    assert environment.machines() == []
    again = environment.deploy()
    assert "service mistral-nemo-night: unchanged" in again.stdout
    environment.write(service={"replicas": 0, "env": {"MAX_NUM_SEQS": 96}})
    changed = environment.deploy()
    assert "env.MAX_NUM_SEQS: 128 -> 96" in changed.stdout
    assert "deployment 1 is asleep" in changed.stdout

    environment.write(service={"replicas": 1, "env": {"MAX_NUM_SEQS": 96}})
    woken = environment.deploy()
    assert "asleep" not in woken.stdout
    assert environment.ask().ok

    environment.write(service={"replicas": 0, "env": {"MAX_NUM_SEQS": 96}})
    asleep = environment.deploy()
    assert "is asleep" in asleep.stdout
    wait_for(lambda: environment.machines() == [], 120)


@pytest.mark.gateway
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # boto3 leaves connections to the collector
def test_a_service_that_scales_to_zero_is_woken_by_a_request(project: Path, vpc: Sandbox) -> None:
    environment = Behind(project, vpc, "zero")
    scaling = {"metric": "rps", "target": 5, "scale_down_delay": "10s", "window": "30s"}
    environment.settle(replicas="0..2", scaling=scaling)
    done = environment.deploy()
    assert "deployment 0 is asleep" in done.stdout
    assert "the first request to its endpoint starts a replica" in done.stdout
    assert environment.machines() == []
    wait_for(lambda: environment.ask_by_name().startswith("{") and bool(environment.ready()), 150)
    environment.write(service=environment.settings["service"] | {"env": {"MAX_NUM_SEQS": 96}})
    changed = environment.deploy()  # it may have fallen asleep by then, and says which it was
    assert ("deployment 1 is asleep" in changed.stdout) != ("answers as" in changed.stdout)
    done = environment.inv("destroy", "--yes")
    assert done.returncode == 0, done.stderr
