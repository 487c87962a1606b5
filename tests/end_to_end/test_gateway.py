"""The private gateway with real hosts: EC2 instances that boot, dstack's own nginx, a private zone that resolves."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.end_to_end.project import Environment, refused
from tests.sandbox.deployment import wait_for

pytestmark = pytest.mark.gateway
STREAM_SECONDS = 3
CALLERS = 48
SCALING = {"metric": "rps", "target": 2, "window": "30s", "scale_up_delay": "10s", "scale_down_delay": "10s"}


class Behind(Environment):
    """An environment behind its own gateway, driven from a machine that uses the VPC's resolver."""

    @property
    def prefix(self) -> list[str]:
        """The host's own network, the VPC's names: what a CI runner in the VPC has."""
        nsenter, *options, end = self.sandbox.command_inside()
        kept = [option for option in options if option not in ("--net", "--pid")]
        return [nsenter, *kept, f"--wd={self.project}", end]

    @property
    def host(self) -> str:
        return f"{self.run_name}.{self.sandbox.zone}"

    @property
    def url(self) -> str:
        """By address, because this process has another resolver; `headers` has the name."""
        [address] = {one.address for one in self.sandbox.instances() if one.state == "running" and self.owns(one.tags)}
        return f"http://{address}/v1"

    @property
    def headers(self) -> dict[str, str]:
        return super().headers | {"Host": self.host}

    def owns(self, tags: dict[str, str]) -> bool:
        return tags.get("dstack_name", "").rpartition("-")[0] == self.run_name

    def settle(self, **service: object) -> None:
        """Write the file: one replica or what `service` says, streams that take STREAM_SECONDS."""
        environ = {"SANDBOX_TOKEN_SECONDS": str(STREAM_SECONDS / 8)}
        self.write(
            gateway={"region": self.sandbox.aws_environ["AWS_DEFAULT_REGION"], "domain": self.sandbox.zone},
            dns={"vpc_id": self.sandbox.vpc_id},
            service={"env": environ} | service,
            fleet={"nodes": "0..5"},
        )


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(aws=True, load_seconds=1) as running:
        assert running.has_hosts, running.notice
        yield running


@pytest.fixture(scope="module")
def zone(sandbox: Sandbox) -> str:
    """The zone before anything was deployed."""
    return sandbox.snapshot_zone()


@pytest.fixture(scope="module")
def chat(project: Path, sandbox: Sandbox, zone: str) -> Iterator[Behind]:
    """A service behind its gateway, deployed from nothing by one command."""
    environment = Behind(project, sandbox, "chat")
    environment.settle()
    environment.deploy()
    yield environment
    environment.inv("destroy", "--yes")


def writes(sandbox: Sandbox) -> tuple[int, int]:
    """How many changes the GPU clouds and AWS were asked for."""
    return len(sandbox.calls(writes=True)), len(sandbox.aws_calls(writes=True))


def test_from_nothing_to_a_chat_answered_by_name(chat: Behind) -> None:
    body = '{"model": "mistralai/Mistral-Nemo-Instruct-2407", "messages": [{"role": "user", "content": "Hi"}]}'
    headers = ("-H", f"Authorization: Bearer {chat.sandbox.token}", "-H", "Content-Type: application/json")
    asked = chat.sandbox.inside("curl", "-s", f"http://{chat.host}/v1/chat/completions", *headers, "-d", body)
    assert "stand-in" in asked.stdout, asked
    assert chat.inv("smoke").returncode == 0


def test_a_second_deploy_makes_no_write_call(chat: Behind) -> None:
    before = writes(chat.sandbox)
    done = chat.inv("deploy")
    assert done.returncode == 0, done.stderr
    for part in ("fleet", "gateway", "records", "service"):
        assert f"{part} {chat.run_name}: unchanged" in done.stdout
    assert chat.inv("plan", "--detailed-exitcode").returncode == 0
    assert writes(chat.sandbox) == before


def test_a_rolling_update_under_load_cuts_what_is_in_flight_and_nothing_else(chat: Behind) -> None:
    """The gateway of dstack 0.22 closes its connection to the old replica before it has nginx forget it.

    What the old replica is answering at that moment is cut, so the bound is one answer a caller, however long an answer
    takes; whatever is asked before or after is answered. An answer of a few milliseconds is rarely in flight.
    """
    chat.settle(env={"SANDBOX_TOKEN_SECONDS": str(STREAM_SECONDS / 8), "MAX_NUM_SEQS": 96})
    with chat.load(every=0.05, callers=CALLERS) as answers:
        done = chat.inv("deploy", "--yes")
        time.sleep(20)
    assert done.returncode == 0, done.stderr
    assert len(answers) >= 1000
    cut = [answer for answer in answers if answer.failure]
    print(f"{len(answers)} requests of {STREAM_SECONDS} s during a rolling update, {len(cut)} cut in flight")
    assert len(cut) <= CALLERS
    if cut:
        moment = min(answer.ended for answer in cut)
        assert all(answer.began < moment < answer.ended + 2 and answer.ended < moment + 2 for answer in cut), cut


def test_replicas_follow_the_load_and_clouds_stand_in_for_each_other(chat: Behind) -> None:
    chat.settle(replicas="1..3", scaling=SCALING)
    chat.deploy()
    chat.sandbox.capacity("runpod", available=False)  # the first replica is there; the others have to go to Vast.ai
    with chat.load(every=0.05, callers=36) as answers:
        wait_for(lambda: len(ready(chat)) == 3, 240)
        clouds = {replica["cloud"] for replica in ready(chat)}
        assert clouds == {"runpod", "vastai"}
        for pod in chat.sandbox.pods():
            if pod.running and pod.cloud == "vastai":
                chat.sandbox.kill_pod(pod.id)
        chat.sandbox.capacity("runpod", available=True)
        time.sleep(5)
        after = time.monotonic()
        time.sleep(20)
        assert sum(answer.began > after and not answer.failure for answer in answers) > 100
    wait_for(lambda: len(chat.status()["replicas"]) == 1, 240)
    assert chat.ask().ok


def test_another_service_with_its_own_gateway_shares_the_zone(chat: Behind, project: Path) -> None:
    other, records = Behind(project, chat.sandbox, "other"), chat.sandbox.snapshot_zone()
    other.settle()
    other.deploy()
    for one in (chat, other):
        assert one.ask().ok
        assert "stand-in" not in one.sandbox.inside("curl", "-s", f"http://{one.host}/v1/models").stderr
    assert other.inv("destroy", "--yes").returncode == 0
    assert chat.sandbox.snapshot_zone() == records
    assert chat.ask().ok


def test_a_change_that_takes_a_new_gateway_is_refused(chat: Behind) -> None:
    good = dict(chat.settings)
    chat.write(gateway=chat.settings["gateway"] | {"instance_type": "t3.small"})
    before = writes(chat.sandbox)
    assert chat.inv("plan", "--detailed-exitcode").returncode == 11
    refused(chat.inv("deploy", "--yes"), 37, "changing instance_type takes a new gateway", "--allow-recreation")
    refused(chat.inv("gateway.deploy"), 37, "instance_type")
    assert writes(chat.sandbox) == before
    chat.write(**good)


def test_destroy_leaves_zone_and_account_as_they_were(chat: Behind, zone: str) -> None:
    done = chat.inv("destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert chat.sandbox.snapshot_zone() == zone
    assert [one.id for one in chat.sandbox.instances() if one.state != "terminated"] == []
    assert chat.machines() == []
    before = writes(chat.sandbox)
    assert chat.inv("destroy", "--yes").returncode == 0
    assert writes(chat.sandbox) == before


def ready(chat: Behind) -> list[dict[str, str]]:
    return [replica for replica in chat.status()["replicas"] if replica["probes"] == "passing"]
