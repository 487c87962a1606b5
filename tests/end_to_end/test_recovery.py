"""`inv gateway.check` and `inv gateway.recover` on real hosts: what ends a gateway, and how long callers get nothing.

One service goes through all of it, because a gateway needs a minute to be created. So each test finds the gateway as
the one before left it, and dstack's events of one test are the last hour of the next.
"""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.end_to_end.behind import Behind, alive, writes
from tests.end_to_end.project import Environment, refused
from tests.sandbox.deployment import wait_for

pytestmark = pytest.mark.gateway
Record = Callable[[str, object], None]


@pytest.fixture(scope="module")
def chat(project: Path, vpc: Sandbox) -> Behind:
    """A service with one gateway replica, which may be recovered automatically."""
    environment = Behind(project, vpc, "chat")
    environment.settle()
    environment.write(recovery="automatic", alarms={})
    environment.deploy()
    return environment


@contextmanager
def outage(environment: Behind, record_property: Record) -> Iterator[None]:
    """Ask by name twice a second inside the block and until an answer comes; record the longest time without one."""
    over, good = threading.Event(), [time.monotonic()]
    lost: list[float] = []

    def ask() -> None:
        while not over.is_set():
            (good if "stand-in" in environment.ask_by_name() else lost).append(time.monotonic())
            time.sleep(0.5)

    caller = threading.Thread(target=ask)
    caller.start()
    try:
        yield
        ended = time.monotonic()
        wait_for(lambda: good[-1] > ended, 120)
    finally:
        over.set()
        caller.join()
        seconds = max(after - before for before, after in itertools.pairwise([*good, time.monotonic()]))
        record_property("seconds without answers", round(seconds))
        record_property("requests lost", len(lost))
        print(f"{environment.run_name}: {seconds:.0f} s without answers, {len(lost)} requests lost")


def verdict(environment: Environment) -> int:
    """Return the code of the verdict, which is the exit code too."""
    done = environment.inv("gateway.check", "--json")
    code: int = json.loads(done.stdout)["code"]
    assert done.returncode == code, done.stderr
    return code


def recovered(environment: Behind) -> None:
    """The gateway is healthy, and nothing is left to do: no record, no alarm, no instance too many."""
    assert verdict(environment) == 0
    wanted = environment.settings["gateway"].get("replicas", 1)
    assert len(environment.gateways) == wanted
    assert len([one for one in alive(environment.sandbox) if one in environment.gateways]) == wanted
    assert environment.inv("plan", "--detailed-exitcode").returncode == 0


def killed_at(environment: Behind, moment: str) -> None:
    """Start a recovery at a terminal, and kill it after the line that has these words."""
    terminal, other_end = os.openpty()
    with environment.start("gateway.recover", piped=other_end) as process:
        assert process.stderr
        os.write(terminal, b"y\n")
        said = []
        for line in process.stderr:
            said.append(line)
            if " s  " in line and moment in line:
                break
        process.send_signal(signal.SIGKILL)
    os.close(terminal)
    os.close(other_end)
    assert moment in said[-1], said


def runs_at(environment: Behind, addresses: set[str]) -> bool:
    """Return whether dstack says that a replica of the gateway runs at one of these addresses."""
    [gateway] = environment.ask_dstack("gateways/list")
    return any(one["status"] == "running" and one["hostname"] in addresses for one in gateway["replicas"])


def test_a_healthy_gateway_is_never_touched_and_power_loss_is_left_to_ec2(chat: Behind) -> None:
    assert verdict(chat) == 0
    before, [instance] = writes(chat.sandbox), chat.gateways
    done = chat.inv("gateway.recover", "--yes")
    assert (done.returncode, "nothing to recover" in done.stderr) == (0, True), done.stderr
    chat.sandbox.aws.power_loss(instance)
    assert chat.inv("gateway.recover", "--yes").returncode in (0, 39, 47, 48, 49)  # it starts: the verdict of a moment
    wait_for(lambda: "stand-in" in chat.ask_by_name(), 120)
    assert writes(chat.sandbox) == before
    assert list(chat.gateways) == [instance]


def test_a_terminated_gateway_is_recovered_while_route_53_is_throttled(chat: Behind, record_property: Record) -> None:
    [dead], machines = chat.gateways, chat.machines()
    with outage(chat, record_property):
        chat.sandbox.aws.terminate(dead)
        assert verdict(chat) == 48
        chat.sandbox.faults.add("error", "aws", status=400, code="Throttling", route="route53:*")
        with ThreadPoolExecutor() as pool:
            recovery = pool.submit(chat.inv, "gateway.recover", "--yes")
            wait_for(lambda: runs_at(chat, chat.addresses), 300)
            chat.sandbox.faults.clear()
            done = recovery.result()
        assert done.returncode == 0, done.stderr
    assert "the record is not up to date, and the recovery goes on" in done.stderr
    recovered(chat)
    assert chat.machines() == machines  # no GPU was released for it


def test_one_of_two_is_replaced_however_often_the_recovery_is_killed(chat: Behind, record_property: Record) -> None:
    chat.settle(gateway={"replicas": 2})
    chat.deploy()
    dead, *_ = [one.id for one in chat.sandbox.aws.instances() if one.id in chat.gateways]
    with outage(chat, record_property):
        chat.sandbox.aws.terminate(dead)
        assert verdict(chat) == 47
        refused(chat.inv("gateway.recover", "--yes"), 48, "within the last hour", "on a terminal")
        for moment in ("wait: ", "point the record at", "drop the oldest"):
            killed_at(chat, moment)
        done = chat.inv("gateway.recover", "--yes")
        assert done.returncode == 0, done.stderr
    recovered(chat)
    assert dead not in chat.gateways


def test_a_gateway_that_was_deleted_by_hand_is_created_by_two_recoveries_at_once_after_two_that_were_killed(
    chat: Behind, record_property: Record
) -> None:
    chat.settle()
    chat.deploy()
    machines, [name] = chat.machines(), [gateway["name"] for gateway in chat.ask_dstack("gateways/list")]
    with outage(chat, record_property):
        chat.ask_dstack("gateways/delete", names=[name])
        wait_for(lambda: chat.ask_dstack("gateways/get", name=name) is None, 120)
        assert verdict(chat) == 48
        for moment in ("create another gateway", "register the service"):
            killed_at(chat, moment)
        with ThreadPoolExecutor() as pool:
            two = [
                pool.submit(chat.inv_asked, "gateway.recover", meanwhile=lambda: None),
                pool.submit(chat.inv_asked, "gateway.recover", meanwhile=lambda: None),
            ]
            both = [one.result() for one in two]
        assert [done.returncode for done in both] == [0, 0], [done.stderr for done in both]
    recovered(chat)
    assert chat.machines() == machines
