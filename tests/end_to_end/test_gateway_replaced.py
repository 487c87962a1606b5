"""A gateway is replaced by another one with real hosts, while callers inside the VPC ask for the service by name."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.end_to_end.behind import Behind, alive
from tests.faults.measuring import Loss, callers
from tests.sandbox.deployment import wait_for

pytestmark = pytest.mark.gateway
ALLOWED_SECONDS = 10.0  # without answers for a caller that resolves the name each second


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
    with callers(serving, 1, 30) as answers:
        done = serving.deploy()
    record_property("seconds of the deploy", time.monotonic() - began)
    lost = {seconds: Loss.of_answers(found) for seconds, found in answers.items()}
    for seconds, one in lost.items():
        record_property(f"address kept for {seconds} s", str(one))
    fresh, kept = lost.values()
    assert fresh.requests > 300
    assert fresh.seconds < ALLOWED_SECONDS, (lost, done.stderr)
    assert kept.seconds < ALLOWED_SECONDS + 30, (lost, done.stderr)
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
    wait_for(lambda: serving.ask_dstack("gateways/get", name=before) is None, 120)
    serving.deploy()
    after, others = in_use(serving)
    assert (after != before, others) == (True, [])
    assert "stand-in" in serving.ask_by_name()
    assert serving.machines() == [pod]
    assert serving.inv("destroy", "--yes").returncode == 0
    assert alive(serving.sandbox) == []
