"""Failures and interruptions of a gateway's deploy, and behind the gateway."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from sandbox import Sandbox
from tests.end_to_end.behind import Behind, alive, terminate, writes
from tests.end_to_end.project import refused
from tests.sandbox.deployment import dstack_server_of, wait_for

pytestmark = pytest.mark.gateway


@pytest.fixture(scope="module")
def chat(project: Path, vpc: Sandbox) -> Behind:
    environment = Behind(project, vpc, "chat")
    environment.settle()
    return environment


@pytest.fixture(scope="module")
def serving(chat: Behind) -> Behind:
    """The same, deployed; a test that changes it leaves it serving."""
    chat.deploy()
    return chat


def broken_off(chat: Behind, seen: Callable[[str], bool], number: signal.Signals, *flags: str) -> tuple[int, str]:
    """Start a deploy, send it a signal after the first line that `seen` likes. Returns its exit code and words."""
    with chat.start("deploy", "--yes", *flags) as process:
        assert process.stderr
        said = []
        for line in process.stderr:
            said.append(line)
            if seen(line):
                process.send_signal(number)
                break
        _, rest = process.communicate(timeout=60)
    return process.returncode, "".join([*said, rest])


def containing(words: str) -> Callable[[str], bool]:
    return lambda line: words in line


def test_a_deploy_that_is_interrupted_at_any_step_is_continued(chat: Behind) -> None:
    """Each deploy ends one step later than the one before; the last one finds everything half done."""
    name, sandbox = chat.run_name, chat.sandbox

    code, said = broken_off(chat, containing(f"gateway {name}: create"), signal.SIGINT)
    assert code == 130, said
    assert "running it again continues" in said
    assert len(alive(sandbox)) <= 1

    code, said = broken_off(chat, containing(f"gateway {name}: running"), signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    wait_for(lambda: len(alive(sandbox)) == 1)

    def record_written(line: str) -> bool:
        """The batch is at Route 53 and not everywhere yet: the deploy waits for that."""
        if f"gateway {name}: running" not in line:
            return False
        return bool(wait_for(lambda: sandbox.aws.calls("route53", writes=True), 30))

    code, said = broken_off(chat, record_written, signal.SIGKILL)
    assert code == -signal.SIGKILL, said
    assert f"record {chat.host}" not in said

    code, said = broken_off(chat, containing(f"{name}: deployment 0 submitted"), signal.SIGTERM)
    assert code != 0, said
    assert f"record {chat.host}" in said
    assert "unchanged" in said.split(f"record {chat.host}")[1].splitlines()[0]

    chat.deploy()
    assert "stand-in" in chat.ask_by_name()
    made = [call.action for call in sandbox.aws.calls(writes=True)]
    assert made == ["RunInstances", "ChangeResourceRecordSets"]
    assert len(chat.machines()) == 1


@pytest.mark.parametrize("wiped", [False, True], ids=["power lost", "disk lost"])
def test_a_gateway_whose_host_fails_recovers_without_help(
    serving: Behind, wiped: bool, record_property: Callable[[str, object], None]
) -> None:
    [gateway] = serving.gateways
    serving.sandbox.aws.power_loss(gateway, wiped=wiped)
    began, before = time.monotonic(), writes(serving.sandbox)
    assert "stand-in" not in serving.ask_by_name()  # nothing, or what nginx says while dstack behind it starts
    wait_for(lambda: "stand-in" in serving.ask_by_name(), 300)
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


def test_a_terminated_gateway_is_replaced_as_the_runbook_says(serving: Behind) -> None:
    """dstack keeps calling it `running`. A second replica, then one again, makes dstack drop the dead one."""
    [dead] = serving.gateways
    terminate(serving.sandbox, dead)
    wait_for(lambda: "stand-in" not in serving.ask_by_name())
    refused(serving.inv("smoke"), 30, "the endpoint does not answer")  # where callers are, that is no excuse
    serving.settle(gateway={"replicas": 2})
    serving.deploy()
    serving.settle()
    serving.deploy()
    assert list(serving.gateways) not in ([], [dead])
    assert "stand-in" in serving.ask_by_name()
    assert len(serving.machines()) == 1


def test_a_recreated_gateway_gets_service_and_record_back(serving: Behind) -> None:
    [old], [pod], name = serving.gateways, serving.machines(), serving.run_name
    serving.settle(gateway={"instance_type": "t3.small"})
    for step in (f"gateway {name}: deleted", f"gateway {name}: running"):
        code, said = broken_off(serving, containing(step), signal.SIGKILL, "--allow-recreation")
        assert code == -signal.SIGKILL, said
    assert f"service {name}: in place" in serving.inv("plan").stdout  # it runs, and the gateway does not know it
    serving.deploy()
    [new] = serving.gateways
    assert new != old
    assert "stand-in" in serving.ask_by_name()
    assert serving.machines() == [pod]  # no GPU was released for it
    assert serving.inv("plan", "--detailed-exitcode").returncode == 0
