"""Follows EC2: an instance that runs is a host, whatever the API does to the one happens to the other."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from sandbox.aws.aws_calls import AwsCall
from sandbox.aws.vpc.host import Host, HostSpec
from sandbox.aws.vpc.network import Network
from sandbox.aws.vpc.status_checks import StatusChecks
from sandbox.errors import SandboxError

logger = logging.getLogger(__name__)


class Hypervisor:
    """All hosts of a VPC. Each has a thread of its own, so that what happens to it happens in order."""

    def __init__(self, base: Path, folder: Path, network: Network) -> None:
        self._base = base
        self._folder = folder
        self._network = network
        self._hosts: dict[str, Host] = {}
        self._threads: dict[str, ThreadPoolExecutor] = {}
        self._last: dict[str, Future[None]] = {}  # what was begun last with each host

    def follow(self, call: AwsCall, running: Callable[[], Iterable[HostSpec]]) -> None:
        """Do to the hosts what `call` did to their instances; `running` reads which ones run now."""
        if call.service != "ec2" or not call.write or call.status >= 400:
            return
        ids = call.parameters.get("InstanceIds", ())
        match call.action:
            case "RunInstances":
                for spec in running():
                    if spec.id not in self._hosts:
                        self._add(spec)
            case "StopInstances":
                self._each(ids, Host.shut_down)
            case "StartInstances":
                self._each(ids, Host.start)
            case "RebootInstances":
                self._each(ids, _reboot)
            case "TerminateInstances":
                self._each(ids, Host.terminate)

    def lose_power(self, id: str, wiped: bool, lasting: bool) -> None:
        """Cut the power of a host and restore it, as EC2's recovery does; return when the host boots.

        `wiped`: with an empty disk. `lasting`: nobody restores it. Raises SandboxError when there is no such host.
        """
        self._now(id, lambda host: _lose_power(host, wiped, lasting))

    def hang(self, id: str) -> None:
        """Let everything in a host stop, and its network too. Raises SandboxError when there is no such host."""
        self._now(id, Host.hang)

    def lose_disk(self, id: str) -> None:
        """Let a host wait for ever for its disk. Raises SandboxError when there is no such host."""
        self._now(id, Host.lose_disk)

    def recover(self, id: str) -> None:
        """Begin to start a host again on other hardware, with its address and its disk, as EC2 does for an alarm."""
        self._check(id)
        self._do(id, _recover)

    def reboot(self, id: str) -> None:
        """Begin to restart a host, without its consent if it does not shut down."""
        self._check(id)
        self._do(id, _reboot)

    def checks(self, id: str) -> StatusChecks:
        """Return what EC2's status checks of a host find. While EC2 works on it, it is being initialized."""
        if id not in self._last or not self._last[id].done():
            return StatusChecks(initializing=True)
        return self._hosts[id].checks()

    def running(self, id: str) -> bool:
        """Whether the host of an instance is switched on."""
        return id in self._hosts and self._hosts[id].running

    def stop(self) -> None:
        """Cut everybody's power."""
        for thread in self._threads.values():
            thread.shutdown(wait=True, cancel_futures=True)
        for host in self._hosts.values():
            host.cut_power()

    def _add(self, spec: HostSpec) -> None:
        self._hosts[spec.id] = Host(spec, self._base, self._folder / spec.id, self._network)
        self._threads[spec.id] = ThreadPoolExecutor(1, thread_name_prefix=spec.id)
        self._do(spec.id, Host.start)

    def _each(self, ids: Iterable[str], act: Callable[[Host], None]) -> None:
        for id in ids:
            if id in self._hosts:
                self._do(id, act)

    def _now(self, id: str, act: Callable[[Host], None]) -> None:
        """Do something to a host; return when it is done. Raises SandboxError when there is no such host."""
        self._check(id)
        self._do(id, act).result()

    def _check(self, id: str) -> None:
        """Raise SandboxError when there is no such host, or when its instance is stopped or terminated."""
        if id not in self._hosts:
            raise SandboxError(f"no host {id}")
        if not self._hosts[id].switched_on:
            raise SandboxError(f"{id} is stopped or terminated")

    def _do(self, id: str, act: Callable[[Host], None]) -> Future[None]:
        def logged() -> None:
            try:
                act(self._hosts[id])
            except Exception:
                logger.exception("host %s", id)
                raise

        begun = self._last[id] = self._threads[id].submit(logged)
        return begun


def _reboot(host: Host) -> None:
    host.shut_down()
    host.start()


def _recover(host: Host) -> None:
    host.cut_power()
    host.start()


def _lose_power(host: Host, wiped: bool, lasting: bool) -> None:
    host.cut_power()
    if wiped:
        host.wipe()
    if not lasting:
        host.start()
