"""What a `Sandbox` with AWS can do in addition."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

from sandbox.api import request
from sandbox.aws import calls
from sandbox.aws.calls import AWS_CALLS_FILE, AwsCall
from sandbox.aws.instances import InstanceInfo
from sandbox.aws.state import OWN_PATH, AwsState
from sandbox.errors import SandboxError

_PROXIES = {name for word in ("http", "https", "all", "no") for name in (f"{word}_proxy", f"{word.upper()}_PROXY")}


class AwsAccess(ABC):
    """The part of `Sandbox` that is about AWS. All methods raise SandboxError without `aws=True`."""

    @property
    @abstractmethod
    def _aws(self) -> AwsState:
        """The running sandbox's account."""

    @property
    def aws_environ(self) -> dict[str, str]:
        """The variables that lead an AWS client here: endpoint, keys, region."""
        return self._aws.environ

    @property
    def zone(self) -> str:
        """The name of the private hosted zone; a public one has the same name."""
        return self._aws.zone

    @property
    def vpc_id(self) -> str:
        """The VPC that the private zone belongs to and gateways are made in."""
        return self._aws.vpc_id

    @property
    def notice(self) -> str:
        """One line for people: which base image EC2 hosts boot from, or what is missing for them."""
        return self._aws.notice

    @property
    def has_hosts(self) -> bool:
        """Whether EC2 instances are real hosts here, so that gateways work."""
        return self._aws.network_pid is not None

    def aws_calls(self, service: str | None = None, writes: bool = False) -> list[AwsCall]:
        """The calls that AWS answered, oldest first; of one service as IAM names it, or those that ask for a change."""
        logged = calls.read(Path(self._aws.folder) / AWS_CALLS_FILE)
        return [call for call in logged if service in (None, call.service) and (call.write or not writes)]

    def instances(self) -> list[InstanceInfo]:
        """All EC2 instances that ever were."""
        return [InstanceInfo(**each) for each in self._own("instances")]

    def power_loss(self, instance_id: str, wiped: bool = False) -> None:
        """Cut the power of an instance's host and give it back, as EC2's recovery does; returns when it boots.

        Its address stays. `wiped`: its disk is as after its creation, and the user data run again.
        """
        self._own("power-loss", id=instance_id, wiped=wiped)

    def snapshot_zone(self) -> str:
        """All record sets of the private zone, as text that is equal when they are."""
        return json.dumps(self._own("zone", id=self._aws.zone_id), indent=1, sort_keys=True)

    def command_inside(self, *command: str) -> list[str]:
        """The command that runs `command` as a client inside the VPC, with its resolver; for root."""
        return [*self._nsenter, "--net", "--pid", "--", *command]

    def command_beside(self, folder: Path, *command: str) -> list[str]:
        """The command that runs `command` in `folder` on a machine that is routed to the VPC and uses its resolver.

        That is what a CI runner with a leg in the VPC has: it reaches gateways by name and the dstack server, which is
        on this machine's loopback.
        """
        return [*self._nsenter, f"--wd={folder}", "--", *command]

    def inside(self, *command: str, timeout: float | None = 60.0) -> subprocess.CompletedProcess[str]:
        """Run a command as a client inside the VPC. Raises subprocess.TimeoutExpired after `timeout` seconds.

        >>> sandbox.inside("curl", "-s", f"http://mistral-nemo.{sandbox.zone}/v1/models").stdout
        """
        words = self.command_inside(*command)
        with subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environ_inside(),
            start_new_session=True,
        ) as process:
            try:
                output, errors = process.communicate(timeout=timeout)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)  # the command is a child of nsenter's
                raise
        return subprocess.CompletedProcess(words, process.returncode, output, errors)

    @property
    def _nsenter(self) -> list[str]:
        if self._aws.network_pid is None:
            raise SandboxError(self.notice)
        return ["nsenter", f"--target={self._aws.network_pid}", "--mount"]

    def _own(self, name: str, **body: Any) -> Any:
        return request("POST", f"{self._aws.url}{OWN_PATH}/{name}", self._aws.token, body)


def environ_inside() -> dict[str, str]:
    """The environment for a command inside the VPC: the caller's, without proxies that aren't there."""
    return {name: value for name, value in os.environ.items() if name not in _PROXIES}
