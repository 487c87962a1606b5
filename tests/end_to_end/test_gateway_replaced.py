"""A gateway is replaced by another one with real hosts, while callers inside the VPC ask for the service by name."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sandbox import Sandbox
from sandbox.aws.aws_account import environ_inside
from tests.end_to_end.behind import Behind, alive

pytestmark = pytest.mark.gateway
ALLOWED_SECONDS = 10.0  # without answers; dstack needs about 3 to register a service, the old route may go first

# Asks ten times a second, and resolves the name each time. Prints when each request began, and whether it was answered.
CALLER = """
import json, sys, threading, time, urllib.request
url, token = sys.argv[1:]
def ask():
    began, good = time.time(), False
    try:
        request = urllib.request.Request(url, headers={"Authorization": "Bearer " + token})
        with urllib.request.urlopen(request, timeout=5) as answer:
            good = "data" in json.load(answer)
    except Exception:
        pass
    print(json.dumps([began, good]), flush=True)
while True:
    threading.Thread(target=ask, daemon=True).start()
    time.sleep(0.1)
"""


@contextmanager
def asked_by_name(service: Behind) -> Iterator[list[tuple[float, bool]]]:
    """Ask for the service's models by name during the block; afterwards the list has when, and whether it answered."""
    command = [sys.executable, "-c", CALLER, f"http://{service.host}/v1/models", service.sandbox.token]
    words = service.sandbox.aws.command_inside(*command)
    answers: list[tuple[float, bool]] = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=environ_inside()) as process:
        try:
            yield answers
            time.sleep(3)
        finally:
            process.terminate()
            output, _ = process.communicate(timeout=30)
    answers += [(began, good) for began, good in (json.loads(line) for line in output.splitlines())]


@pytest.fixture(scope="module")
def serving(project: Path, vpc: Sandbox) -> Behind:
    """A service that is deployed behind its gateway."""
    environment = Behind(project, vpc, "moved")
    environment.settle()
    environment.deploy()
    return environment


def killed(service: Behind, words: str) -> None:
    """Start a deploy, and kill it after the first line that has these words."""
    with service.start("deploy", "--yes") as process:
        assert process.stderr
        said = []
        for line in process.stderr:
            said.append(line)
            if words in line:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL, "".join(said)


def in_use(service: Behind) -> tuple[str, list[str]]:
    """Names of the gateway in use, and of the others."""
    found = json.loads(service.inv("gateway.status", "--json").stdout)
    return found["name"], found["others"]


def test_callers_by_name_hardly_notice_that_the_gateway_is_replaced(
    serving: Behind, record_property: Callable[[str, object], None]
) -> None:
    [old], [pod], (before, _) = serving.gateways, serving.machines(), in_use(serving)
    serving.settle(gateway={"instance_type": "t3.small"})
    plan = serving.inv("plan", "--detailed-exitcode")
    assert plan.returncode == 10, plan.stderr
    assert f"gateway {before}-gw-b: replace" in plan.stdout
    began = time.monotonic()
    with asked_by_name(serving) as answers:
        serving.deploy()
    record_property("seconds of the deploy", time.monotonic() - began)
    lost = [moment for moment, good in answers if not good]
    seconds = max(lost) - min(lost) if lost else 0.0
    record_property("requests", len(answers))
    record_property("failures", len(lost))
    record_property("seconds from the first failure to the last", seconds)
    assert len(answers) > 300
    assert seconds < ALLOWED_SECONDS
    assert in_use(serving) == (f"{before}-gw-b", [])
    [new] = serving.gateways
    assert (new != old, alive(serving.sandbox), serving.machines()) == (True, [new], [pod])
    assert serving.inv("plan", "--detailed-exitcode").returncode == 0


def test_a_replacement_that_is_killed_at_any_step_is_continued(serving: Behind) -> None:
    [pod], (before, _) = serving.machines(), in_use(serving)
    after = serving.run_name if before != serving.run_name else f"{before}-gw-b"
    serving.settle(gateway={"instance_type": "t3.micro"})
    killed(serving, f"gateway {after}: create")
    assert in_use(serving) == (before, [after])
    killed(serving, f"gateway {after}: running")
    assert len(alive(serving.sandbox)) == 2
    assert after in serving.inv("destroy", "--dry-run").stdout
    killed(serving, f"moved to gateway {after}")
    assert in_use(serving) == (after, [before])
    killed(serving, "waiting 30 s")
    assert "stand-in" in serving.ask_by_name()
    serving.deploy()
    assert in_use(serving) == (after, [])
    assert "stand-in" in serving.ask_by_name()
    assert len(alive(serving.sandbox)) == 1
    assert serving.machines() == [pod]
    assert serving.inv("plan", "--detailed-exitcode").returncode == 0


def test_a_gateway_that_somebody_deleted_is_created_under_the_other_name(serving: Behind) -> None:
    [pod], (before, _) = serving.machines(), in_use(serving)
    serving.ask_dstack("gateways/delete", names=[before])
    serving.deploy()
    after, others = in_use(serving)
    assert (after != before, others) == (True, [])
    assert "stand-in" in serving.ask_by_name()
    assert serving.machines() == [pod]


def test_the_jobs_of_a_pipeline_replace_a_gateway_one_step_each(serving: Behind) -> None:
    before, _ = in_use(serving)
    serving.settle(gateway={"instance_type": "t3.large"})
    for task in ("gateway.deploy", "dns.update", "gateway.deploy"):
        done = serving.inv(task)
        assert done.returncode == 0, done.stderr
    after, others = in_use(serving)
    assert (after != before, others) == (True, [])
    assert "stand-in" in serving.ask_by_name()
    assert serving.inv("destroy", "--yes").returncode == 0
    assert alive(serving.sandbox) == []
