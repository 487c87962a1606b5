"""A service without a replica, on purpose: it is deployed, costs nothing, and nobody claims that it was tried."""

from __future__ import annotations

from tests.end_to_end.conftest import Make
from tests.sandbox.deployment import wait_for


def test_a_service_of_no_replica_is_deployed_asleep_and_wakes_with_one(make: Make) -> None:
    environment = make("asleep", service={"replicas": 0})
    done = environment.deploy()
    assert "deployment 0 is asleep: nothing answers, and no GPU is billed" in done.stdout
    assert "set service.replicas to 1" in done.stdout
    assert environment.machines() == []
    again = environment.deploy()
    assert "service mistral-nemo-asleep: unchanged" in again.stdout
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
