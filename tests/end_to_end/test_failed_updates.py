"""Changes that can not succeed: they are refused or rolled back, and the service that serves keeps serving."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.end_to_end.project import PATIENCE, Environment, refused
from tests.sandbox.deployment import wait_for


@pytest.fixture
def service(serving: Environment) -> Iterator[Environment]:
    """A service of one replica. Afterwards it answers, the clouds are well, and its file is as it was."""
    wait_for(lambda: len(serving.status()["replicas"]) == 1 == len(serving.machines()))
    before = dict(serving.settings)
    yield serving
    serving.sandbox.faults.clear()
    serving.settings = before
    serving.write()
    assert serving.ask().ok


def two_replicas(service: Environment) -> Any:
    return service.settings.get("service", {}) | {"replicas": 2}


def nothing_for_rent(service: Environment) -> None:
    for cloud in ("runpod", "vastai"):
        service.sandbox.faults.set_capacity(cloud, available=False)


def test_more_replicas_than_the_price_limit_allows_are_refused(service: Environment) -> None:
    before = service.sandbox.calls(writes=True)
    service.write(max_price_per_hour=0.05, service=two_replicas(service))
    assert "The cheapest offer is $0.40 an hour" in service.inv("plan").stdout
    refused(service.inv("deploy", "--yes"), 26, "max_price_per_hour is 0.05")
    assert service.sandbox.calls(writes=True) == before


def test_a_rolling_change_that_no_offer_fits_is_refused(service: Environment) -> None:
    before = service.sandbox.calls(writes=True)
    service.write(service={"resources": {"gpu": {"memory": "900GB.."}}})
    refused(service.inv("deploy", "--yes"), 26, "the service keeps running as it is")
    assert service.sandbox.calls(writes=True) == before


def test_a_secret_that_a_member_can_not_look_for_is_no_risk_to_what_serves(service: Environment) -> None:
    before, good = service.sandbox.calls(writes=True), service.settings.get("service", {})
    token = service.sandbox.add_user("member")
    service.write(service={"env": {"NEW": "${{ secrets.unheard_of }}"}})
    done = service.inv("deploy", "--yes", DSTACK_TOKEN=token)
    refused(done, 24, "unheard_of is new to mistral-nemo-serving", "let a manager")
    assert service.sandbox.calls(writes=True) == before
    assert service.ask().ok
    service.write(service=good)
    assert service.inv("deploy", "--yes", DSTACK_TOKEN=token).returncode == 0


def test_a_replica_more_that_no_cloud_hands_out_is_rolled_back_in_time(service: Environment) -> None:
    nothing_for_rent(service)
    service.write(service=two_replicas(service), timeouts={"capacity": 20, "ready": 300})
    refused(service.inv("deploy", "--yes"), 26, "within 20 s", "what served before keeps serving")


def test_a_new_value_that_no_cloud_has_a_machine_for_is_rolled_back_in_time(service: Environment) -> None:
    nothing_for_rent(service)
    service.write(service={"env": {"MAX_NUM_SEQS": 112}}, timeouts={"capacity": 15, "ready": 300})
    refused(service.inv("deploy", "--yes"), 26, "within 15 s", "what served before keeps serving")


def test_a_rollout_whose_probes_never_pass_is_rolled_back(service: Environment) -> None:
    service.sandbox.faults.add("unready")
    service.write(service={"env": {"MAX_NUM_SEQS": 16}}, timeouts=PATIENCE | {"ready": 20})
    refused(service.inv("deploy", "--yes"), 29, "within 20 s", "keeps serving")


def test_a_rollout_that_crashes_is_rolled_back_and_a_good_one_succeeds_after_it(service: Environment) -> None:
    service.write(service={"env": {"SANDBOX_CRASH": 1}})
    with service.load(every=1) as answers:
        done = service.inv("deploy", "--yes")
    refused(done, 28, "exited with code 1", "rolled back, what served before keeps serving")
    assert "CUDA out of memory" in done.stderr
    assert "mistral-nemo-serving is running on " in done.stderr  # and what that costs
    logs = service.inv("logs")  # of the crash, not of what was rolled back
    assert "CUDA out of memory" in logs.stdout, logs.stderr
    refused(service.inv("logs", "--replica", "99"), 33, "replica 99")
    assert answers
    assert [answer for answer in answers if answer.failure] == []
    service.write(service={"env": {"MAX_MODEL_LEN": 8192}})
    service.deploy()
    assert service.context() == 8192
