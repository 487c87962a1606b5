"""A service behind its own private gateway, and the account it is in."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.project import Environment

STREAM_SECONDS = 3


class Behind(Environment):
    """An environment behind its own gateway, driven from a machine that uses the VPC's resolver."""

    @property
    def prefix(self) -> list[str]:
        return self.sandbox.aws.command_beside(self.project)

    @property
    def host(self) -> str:
        return f"{self.run_name}.{self.sandbox.aws.zone}"

    @property
    def url(self) -> str:
        """By address, because this process has another resolver; `headers` has the name."""
        address, *_ = sorted(self.addresses)
        return f"http://{address}/v1"

    @property
    def headers(self) -> dict[str, str]:
        return super().headers | {"Host": self.host}

    @property
    def gateways(self) -> dict[str, str]:
        """Address by id of this gateway's running instances."""
        running = (one for one in self.sandbox.aws.instances() if one.state == "running")
        return {one.id: one.address for one in running if self._owns(one.tags)}

    @property
    def addresses(self) -> set[str]:
        return set(self.gateways.values())

    def settle(self, gateway: dict[str, Any] | None = None, **service: object) -> None:
        """Write the file: one replica or what `service` says; `env` as it was, at first streams of STREAM_SECONDS."""
        environ = self.settings.get("service", {}).get("env", {"SANDBOX_TOKEN_SECONDS": str(STREAM_SECONDS / 8)})
        where = {"region": self.sandbox.aws.environ["AWS_DEFAULT_REGION"], "domain": self.sandbox.aws.zone}
        self.write(
            gateway=where | (gateway or {}),
            dns={"vpc_id": self.sandbox.aws.vpc_id},
            service={"env": environ} | service,
            fleet={"nodes": "0..5"},
        )

    def ask_by_name(self) -> str:
        """The answer to a chat that a backend inside the VPC sent to the service's name; empty when none came."""
        body = '{"model": "mistralai/Mistral-Nemo-Instruct-2407", "messages": [{"role": "user", "content": "Hi"}]}'
        headers = ("-H", f"Authorization: Bearer {self.sandbox.token}", "-H", "Content-Type: application/json")
        url = f"http://{self.host}/v1/chat/completions"
        return self.sandbox.aws.inside("curl", "-s", "-m", "10", url, *headers, "-d", body).stdout

    def engines(self) -> set[str]:
        """The engines that answer: nginx takes turns, so a few requests meet every replica that it knows of."""
        answers = [self.ask(max_tokens=1) for _ in range(6)]
        return {answer.json()["system_fingerprint"] for answer in answers if answer.ok}

    def ready(self) -> list[dict[str, str]]:
        """The replicas whose probes pass."""
        return [replica for replica in self.status()["replicas"] if replica["probes"] == "passing"]

    def _owns(self, tags: dict[str, str]) -> bool:
        return tags.get("dstack_name", "").rpartition("-")[0] in (self.run_name, f"{self.run_name}-gw-b")


@dataclass
class Shared:
    """An environment that is deployed, and that the tests of a file share.

    A test that changes it sets `changed`, so that the next test gets it as it was: one replica behind a gateway.
    """

    environment: Behind
    changed: bool = False

    def restored(self) -> Behind:
        """Return the environment, deployed again where a test has changed it."""
        if self.changed:
            self.environment.settle()
            self.environment.deploy()
            self.changed = False
        return self.environment


def need_hosts(sandbox: Sandbox) -> None:
    """Skip with a message where hosts are not possible: they need root. CI has it."""
    if not sandbox.aws.has_hosts and not os.environ.get("CI"):
        pytest.skip(sandbox.aws.notice)
    assert sandbox.aws.has_hosts, sandbox.aws.notice


def writes(sandbox: Sandbox) -> tuple[int, int]:
    """How many changes the GPU clouds and AWS were asked for."""
    return len(sandbox.calls(writes=True)), len(sandbox.aws.calls(writes=True))


def alive(sandbox: Sandbox) -> list[str]:
    """Ids of the instances that AWS bills."""
    return [one.id for one in sandbox.aws.instances() if one.state != "terminated"]
