"""`Sandbox.aws`: the emulated AWS account, for a user of the sandbox."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

from sandbox.aws import aws_calls
from sandbox.aws.alarms import actions
from sandbox.aws.alarms.actions import NOTIFICATIONS_FILE, Notification
from sandbox.aws.aws_calls import AWS_CALLS_FILE, AwsCall
from sandbox.aws.aws_state import OWN_PATH, AwsState
from sandbox.aws.instance_info import InstanceInfo
from sandbox.errors import SandboxError
from sandbox.world.client import request

_PROXIES = {name for word in ("http", "https", "all", "no") for name in (f"{word}_proxy", f"{word.upper()}_PROXY")}


class AwsAccount:
    """The AWS account of a running sandbox."""

    def __init__(self, state: AwsState | None) -> None:
        """`state` is None in a sandbox without AWS; SandboxError says so."""
        if state is None:
            raise SandboxError("this sandbox has no AWS; start one with `python -m sandbox up --aws`")
        self._state = state

    @property
    def environ(self) -> dict[str, str]:
        """The variables that lead an AWS client here: endpoint, keys, region."""
        return self._state.environ

    @property
    def zone(self) -> str:
        """The name of the private hosted zone; a public one has the same name."""
        return self._state.zone

    @property
    def zone_id(self) -> str:
        """The id of the private hosted zone."""
        return self._state.zone_id

    @property
    def network(self) -> str:
        """The VPC's addresses, as CIDR."""
        return self._state.network

    @property
    def backend(self) -> dict[str, Any]:
        """The backend of a dstack server's configuration that makes private gateways here."""
        return self._state.backend

    @property
    def vpc_id(self) -> str:
        """The VPC that the private zone belongs to and gateways are made in."""
        return self._state.vpc_id

    @property
    def notice(self) -> str:
        """One line for people: which base image EC2 hosts boot from, or what is missing for them."""
        return self._state.notice

    @property
    def has_hosts(self) -> bool:
        """Whether EC2 instances are real hosts here, so that gateways work."""
        return self._state.network_pid is not None

    def calls(self, service: str | None = None, writes: bool = False) -> list[AwsCall]:
        """The calls that AWS answered, oldest first; of one service as IAM names it, or those that ask for a change."""
        logged = aws_calls.read(Path(self._state.folder) / AWS_CALLS_FILE)
        return [call for call in logged if service in (None, call.service) and (call.write or not writes)]

    def instances(self) -> list[InstanceInfo]:
        """All EC2 instances that ever were."""
        return [InstanceInfo(**each) for each in self.ask("instances")]

    def power_loss(self, instance_id: str, wiped: bool = False, lasting: bool = False) -> None:
        """Cut the power of an instance's host and restore it, as EC2's recovery does; return when the host boots.

        Its address stays. `wiped`: its disk is as after its creation, and the user data run again. `lasting`: the host
        stays off until an alarm recovers it, or somebody stops and starts the instance.
        """
        self.ask("power-loss", id=instance_id, wiped=wiped, lasting=lasting)

    def hang(self, instance_id: str) -> None:
        """Let everything on an instance's host stop, its network too, until somebody reboots it."""
        self.ask("hang-instance", id=instance_id)

    def lose_disk(self, instance_id: str) -> None:
        """Let every program on an instance's host wait for its disk, until the host starts again."""
        self.ask("lose-disk", id=instance_id)

    def set_cpu_credits(self, instance_id: str, credits: float) -> None:
        """Let an instance have so many CPU credits. The sandbox neither counts them nor slows the instance down."""
        self.ask("cpu-credits", id=instance_id, credits=credits)

    def terminate(self, instance_id: str) -> None:
        """End an instance behind dstack's back, as a colleague in AWS's console would."""
        import boto3  # it takes longer to import than the rest takes to run

        names = {"endpoint_url": "AWS_ENDPOINT_URL", "region_name": "AWS_DEFAULT_REGION"}
        names |= {"aws_access_key_id": "AWS_ACCESS_KEY_ID", "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY"}
        ec2 = boto3.client("ec2", **{name: self.environ[variable] for name, variable in names.items()})
        ec2.terminate_instances(InstanceIds=[instance_id])

    def notifications(self) -> list[Notification]:
        """What the alarms have done: a line for each action of EC2 and for each message to a topic, oldest first."""
        return actions.read(Path(self._state.folder) / NOTIFICATIONS_FILE)

    def snapshot_zone(self) -> str:
        """All record sets of the private zone, as text that is equal when they are."""
        return json.dumps(self.ask("zone", id=self._state.zone_id), indent=1, sort_keys=True)

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

        >>> sandbox.aws.inside("curl", "-s", f"http://mistral-nemo.{sandbox.aws.zone}/v1/models").stdout
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

    def ask(self, name: str, **body: Any) -> Any:
        """Ask the account's server what AWS has no API for: `instances`, `power-loss`, `faults`, ..."""
        return request("POST", f"{self._state.url}{OWN_PATH}/{name}", self._state.token, body)

    @property
    def _nsenter(self) -> list[str]:
        if self._state.network_pid is None:
            raise SandboxError(self.notice)
        return ["nsenter", f"--target={self._state.network_pid}", "--mount"]


def environ_inside() -> dict[str, str]:
    """The environment for a command inside the VPC: the caller's, without proxies that aren't there."""
    return {name: value for name, value in os.environ.items() if name not in _PROXIES}
