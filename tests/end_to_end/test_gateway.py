"""The private gateway with real hosts: EC2 instances that boot, dstack's own nginx, a private zone that resolves.

The tests share one service. What is measured on the way is recorded as properties of the tests; `inv benchmark` prints
them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from sandbox import Sandbox
from tests.end_to_end.behind import Behind, Shared, alive, writes
from tests.end_to_end.project import Answer, Environment, refused
from tests.sandbox.deployment import wait_for

pytestmark = pytest.mark.gateway
CALLERS = 48
NOTICED_SECONDS = 20  # after that, nothing is sent to a replica that died
WATCHED_SECONDS = 12  # nginx tries a server that failed again after 10
SCALING = {"metric": "rps", "target": 2, "window": "30s", "scale_up_delay": "10s", "scale_down_delay": "10s"}
Record = Callable[[str, object], None]
changing = pytest.mark.usefixtures("changed")


@dataclass(frozen=True)
class First:
    """What came of the first deploy of the file's service."""

    shared: Shared
    zone: str  # before it
    answer: str  # to a chat, after it
    seconds: float  # from nothing to that answer, the start of the sandbox included


@pytest.fixture(scope="module")
def started() -> float:
    return time.monotonic()


@pytest.fixture(scope="module")
def first(started: float, project: Path, vpc: Sandbox) -> First:
    """A service behind its gateway, deployed from nothing by one command."""
    zone, environment = vpc.aws.snapshot_zone(), Behind(project, vpc, "chat")
    environment.settle()
    environment.deploy()
    answer = environment.ask_by_name()
    return First(Shared(environment), zone, answer, time.monotonic() - started)


@pytest.fixture
def chat(first: First) -> Behind:
    """The service with one replica. A test that changes it is marked as `changing`."""
    return first.shared.restored()


@pytest.fixture
def changed(chat: Behind, first: First) -> Iterator[None]:
    """Let the next test get the service as it was, on clouds that are well again."""
    first.shared.changed = True
    yield
    chat.sandbox.faults.clear()


@pytest.fixture
def other(project: Path, chat: Behind) -> Iterator[Behind]:
    """Another service's environment in the same VPC, destroyed at the end."""
    environment = Behind(project, chat.sandbox, "other")
    environment.settle()
    yield environment
    environment.inv("destroy", "--yes")


def test_from_nothing_to_a_chat_answered_by_name(first: First, chat: Behind, record_property: Record) -> None:
    assert "stand-in" in first.answer
    record_property("seconds", first.seconds)
    assert chat.inv("smoke").returncode == 0


def test_a_second_deploy_makes_no_write_call(chat: Behind) -> None:
    before = writes(chat.sandbox)
    done = chat.inv("deploy")
    assert done.returncode == 0, done.stderr
    for part in ("fleet", "gateway", "records", "service"):
        assert f"{part} {chat.run_name}: unchanged" in done.stdout
    assert chat.inv("plan", "--detailed-exitcode").returncode == 0
    assert writes(chat.sandbox) == before


def test_outside_the_vpc_a_deploy_says_that_the_endpoint_is_not_verified(chat: Behind) -> None:
    outside = Environment(chat.project, chat.sandbox, chat.name)
    for command in ("deploy", "smoke"):
        refused(outside.inv(command), 39, "deployed, not verified", "run inv smoke --env chat where callers are")
    assert outside.inv("status").returncode == 0


@changing
def test_a_rolling_update_under_load_cuts_what_is_in_flight_and_nothing_else(
    chat: Behind, record_property: Record
) -> None:
    """The gateway of dstack 0.22 closes its connection to the old replica before it has nginx forget it.

    What the old replica is answering at that moment is cut, so the bound is one answer a caller, however long an answer
    takes; whatever is asked before or after is answered. An answer of a few milliseconds is rarely in flight.
    """
    chat.settle(env=chat.settings["service"]["env"] | {"MAX_NUM_SEQS": 96})
    with chat.load(every=0.05, callers=CALLERS) as answers:
        done = chat.inv("deploy", "--yes")
        wait_for(lambda: len(chat.machines()) == 1)  # until the old one is released
    assert done.returncode == 0, done.stderr
    assert "submitted (rolling)" in done.stderr
    assert len(answers) >= 1000
    cut = report(record_property, answers)
    assert len(cut) <= CALLERS
    if cut:
        moment = min(answer.ended for answer in cut)
        assert all(answer.began < moment < answer.ended + 2 and answer.ended < moment + 2 for answer in cut), cut


@changing
def test_replicas_follow_the_load_up_and_down(chat: Behind, record_property: Record) -> None:
    chat.settle(replicas="1..3", scaling=SCALING)
    chat.deploy()
    began = time.monotonic()
    with chat.load(every=0.05, callers=36) as answers:
        wait_for(lambda: len(chat.ready()) == 3, 240)
        record_property("seconds until three replicas serve", time.monotonic() - began)
    failed, ended = report(record_property, answers), time.monotonic()
    assert failed == []  # replicas that join cut nothing
    wait_for(lambda: len(chat.status()["replicas"]) == 1, 240)
    record_property("seconds until one is left", time.monotonic() - ended)
    wait_for(lambda: len(chat.machines()) == 1)  # what a leaving one is answering is cut, as above
    assert chat.ask().ok


@changing
def test_one_cloud_dies_and_the_other_answers(chat: Behind, record_property: Record) -> None:
    wait_for(lambda: len(chat.machines()) == 1, 120)
    [replica] = chat.ready()
    chat.sandbox.faults.set_capacity(replica["cloud"], available=False)  # the second one has to go to the other cloud
    chat.settle(replicas=2)
    chat.deploy()
    assert {replica["cloud"] for replica in chat.ready()} == {"runpod", "vastai"}
    wait_for(lambda: len(chat.engines()) == 2)  # dstack tells a gateway of more replicas every 15 s, later when busy
    with chat.load(every=0.05, callers=12) as answers:
        wait_for(lambda: len(answers) > 50)
        died = time.monotonic()
        for pod in chat.sandbox.pods():
            if pod.running and pod.cloud == replica["cloud"]:
                chat.sandbox.kill_pod(pod.id)
        wait_for(lambda: answers[-1].began > died + NOTICED_SECONDS + WATCHED_SECONDS)
    failed = report(record_property, answers)
    chat.sandbox.faults.clear()
    last = max((answer.ended for answer in failed), default=died)
    record_property("seconds until the last failure", last - died)
    assert not [answer for answer in failed if answer.began > died + NOTICED_SECONDS]
    assert sum(answer.began > died + NOTICED_SECONDS for answer in answers) > 20  # 50 and more on an idle machine
    wait_for(lambda: len(chat.ready()) == 2, 240)  # dstack replaces what died


def test_another_service_with_its_own_gateway_shares_the_zone(chat: Behind, other: Behind) -> None:
    records = chat.sandbox.aws.snapshot_zone()
    limit = {"prefix": "/v1/", "key": {"type": "header", "header": "Authorization"}, "rps": 1, "burst": 4}
    other.settle(rate_limits=[limit])
    other.deploy()
    for one in (chat, other):
        assert "stand-in" in one.ask_by_name()
    for one, answers in ((chat, {200}), (other, {200, 429})):  # its own limit, which no other service has
        assert {requests.get(f"{one.url}/models", headers=one.headers).status_code for _ in range(10)} == answers
    without_token = requests.get(f"{chat.url}/models", headers={"Host": chat.host})
    assert without_token.status_code in (401, 403)
    assert other.inv("destroy", "--yes").returncode == 0
    assert chat.sandbox.aws.snapshot_zone() == records
    assert chat.ask().ok


@changing
def test_another_gateway_is_refused_where_nobody_moves_the_record(chat: Behind) -> None:
    chat.settle(gateway={"instance_type": "t3.small"})
    chat.write(dns=None)
    before = writes(chat.sandbox)
    assert chat.inv("plan", "--detailed-exitcode").returncode == 11
    refused(chat.inv("deploy", "--yes"), 37, "changing instance_type needs a new gateway", "--allow-recreation")
    refused(chat.inv("gateway.deploy"), 37, "instance_type")
    assert writes(chat.sandbox) == before


@changing
def test_destroy_leaves_zone_and_account_as_they_were(chat: Behind, first: First) -> None:
    done = chat.inv("destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert chat.sandbox.aws.snapshot_zone() == first.zone
    assert alive(chat.sandbox) == []
    assert chat.machines() == []
    before = writes(chat.sandbox)
    assert chat.inv("destroy", "--yes").returncode == 0
    assert writes(chat.sandbox) == before


def report(record_property: Record, answers: list[Answer]) -> list[Answer]:
    """Record requests and failures. Returns the failed."""
    failed = [answer for answer in answers if answer.failure]
    record_property("requests", len(answers))
    record_property("failures", len(failed))
    return failed
