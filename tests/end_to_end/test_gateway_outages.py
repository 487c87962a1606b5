"""Failures and interruptions of a gateway's deploy, and behind the gateway."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from sandbox import Sandbox
from tests.end_to_end.behind import Behind, alive, writes
from tests.sandbox.deployment import dstack_server_of, wait_for
from tests.story import step

pytestmark = pytest.mark.gateway


@dataclass(frozen=True)
class Interrupted:
    """A deploy that was sent a signal."""

    code: int
    said: str
    instances: int  # that AWS billed afterwards


@dataclass(frozen=True)
class FirstDeploy:
    """A first deploy that was interrupted four times, each time one step later, and then continued to its end."""

    environment: Behind
    while_gateway_is_created: Interrupted
    when_gateway_runs: Interrupted
    when_record_is_written: Interrupted
    when_service_is_submitted: Interrupted
    last: subprocess.CompletedProcess[str]
    answer: str  # to a chat, after the last deploy
    aws_writes: list[str]
    machines: list[str]


@pytest.fixture(scope="module")
def first(project: Path, vpc: Sandbox) -> FirstDeploy:
    """The service of this file. Its test is the one of interrupted deploys; the others find it deployed."""
    chat = Behind(project, vpc, "chat")
    chat.settle()
    name = chat.run_name

    def record_written(line: str) -> bool:
        """The batch is at Route 53 and not everywhere yet: the deploy waits for that."""
        if f"gateway {name}: running" not in line:
            return False
        return bool(wait_for(lambda: vpc.aws.calls("route53", writes=True), 30))

    created = broken_off(chat, containing(f"gateway {name}: create"), signal.SIGINT)
    running = broken_off(chat, containing(f"gateway {name}: running"), signal.SIGKILL)
    recorded = broken_off(chat, record_written, signal.SIGKILL)
    submitted = broken_off(chat, containing(f"{name}: deployment 0 submitted"), signal.SIGTERM)
    last = chat.inv("deploy", "--yes")
    answer, made = chat.ask_by_name(), [call.action for call in vpc.aws.calls(writes=True)]
    return FirstDeploy(chat, created, running, recorded, submitted, last, answer, made, chat.machines())


@pytest.fixture
def serving(first: FirstDeploy) -> Behind:
    """The service, deployed with one replica."""
    assert first.last.returncode == 0, first.last.stderr
    return first.environment


def broken_off(chat: Behind, seen: Callable[[str], bool], number: signal.Signals, *flags: str) -> Interrupted:
    """Start a deploy, and send it a signal after the first line that `seen` accepts."""
    with chat.start("deploy", "--yes", *flags) as process:
        assert process.stderr
        said = []
        for line in process.stderr:
            said.append(line)
            if seen(line):
                process.send_signal(number)
                break
        _, rest = process.communicate(timeout=60)
    return Interrupted(process.returncode, "".join([*said, rest]), len(alive(chat.sandbox)))


def containing(words: str) -> Callable[[str], bool]:
    return lambda line: words in line


@step
def the_signal_says_how_to_continue(deploy: Interrupted) -> None:
    """Interrupt while the gateway is created: the deploy says how to continue, and at most one instance is billed."""
    assert deploy.code == 130, deploy.said
    assert "running it again continues" in deploy.said
    assert deploy.instances <= 1


@step
def the_gateway_is_found(deploy: Interrupted) -> None:
    """Kill when the gateway runs: it is the one that the deploy before created."""
    assert deploy.code == -signal.SIGKILL, deploy.said
    assert deploy.instances == 1


@step
def the_record_is_not_reported(deploy: Interrupted, host: str) -> None:
    """Kill when the record is at Route 53: the deploy does not say that it is everywhere."""
    assert deploy.code == -signal.SIGKILL, deploy.said
    assert f"record {host}" not in deploy.said


@step
def the_record_is_found(deploy: Interrupted, host: str) -> None:
    """Terminate when the service is submitted: the record was found as the deploy before wrote it."""
    assert deploy.code != 0, deploy.said
    assert f"record {host}" in deploy.said
    assert "unchanged" in deploy.said.split(f"record {host}")[1].splitlines()[0]


@step
def the_service_answers(first: FirstDeploy) -> None:
    """Continue to the end: the service answers, and nothing was created twice."""
    assert first.last.returncode == 0, first.last.stderr
    assert "stand-in" in first.answer
    assert first.aws_writes == ["RunInstances", "ChangeResourceRecordSets"]
    assert len(first.machines) == 1


def test_a_deploy_that_is_interrupted_at_any_step_is_continued(first: FirstDeploy) -> None:
    """Each deploy ends one step later than the one before; the last one finds everything half done."""
    host = first.environment.host
    the_signal_says_how_to_continue(first.while_gateway_is_created)
    the_gateway_is_found(first.when_gateway_runs)
    the_record_is_not_reported(first.when_record_is_written, host)
    the_record_is_found(first.when_service_is_submitted, host)
    the_service_answers(first)


@pytest.mark.parametrize("wiped", [False, True], ids=["power lost", "disk lost"])
def test_a_gateway_whose_host_fails_recovers_without_help(
    serving: Behind, wiped: bool, record_property: Callable[[str, object], None]
) -> None:
    [gateway] = serving.gateways
    serving.sandbox.aws.power_loss(gateway, wiped=wiped)
    began, before = time.monotonic(), writes(serving.sandbox)
    assert "stand-in" not in serving.ask_by_name()  # nothing, or what nginx says while dstack behind it starts
    wait_for(lambda: "stand-in" in serving.ask_by_name(), 600)
    record_property("seconds without answers", time.monotonic() - began)
    assert serving.inv("deploy", "--yes").returncode == 0
    assert writes(serving.sandbox) == before


def test_requests_are_served_while_the_dstack_server_is_down(serving: Behind) -> None:
    """Those with a token that it checked within a minute: this one, just now."""
    headers = serving.headers | {"Authorization": f"Bearer {serving.sandbox.add_user('caller')}"}

    def status() -> int:
        return requests.get(f"{serving.url}/models", headers=headers, timeout=30).status_code

    assert status() == 200
    assert serving.sandbox.folder
    server = dstack_server_of(serving.sandbox.folder)
    assert server
    server.suspend()
    try:
        until = time.monotonic() + 20
        while time.monotonic() < until:
            assert status() == 200
            time.sleep(1)
    finally:
        server.resume()
    assert serving.inv("smoke").returncode == 0
