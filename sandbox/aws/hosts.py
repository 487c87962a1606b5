"""The hosts of the account for everybody beside the VPC: what breaks them, what EC2 does to them, what it measures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from sandbox.aws.alarms.samples import Values, values
from sandbox.aws.vpc.hypervisor import Hypervisor
from sandbox.aws.vpc.status_checks import StatusChecks
from sandbox.errors import SandboxError


class Hosts:
    """All hosts. Without a hypervisor there are none, and SandboxError says why where somebody needs one."""

    def __init__(self, hypervisor: Hypervisor | None, notice: str) -> None:
        """`notice` says why there is no hypervisor."""
        self._hypervisor = hypervisor
        self._notice = notice
        self._credits: dict[str, float] = {}
        self.breaks: dict[str, Callable[[dict[str, Any]], None]] = {  # by name; from the request's JSON
            "power-loss": lambda asked: self._real.lose_power(asked["id"], asked["wiped"], asked["lasting"]),
            "hang-instance": lambda asked: self._real.hang(asked["id"]),
            "lose-disk": lambda asked: self._real.lose_disk(asked["id"]),
            "cpu-credits": lambda asked: self._set_credits(asked["id"], asked["credits"]),
        }

    def recover(self, id: str) -> None:
        """Begin to start a host again on other hardware, as EC2 does for an alarm."""
        self._real.recover(id)

    def reboot(self, id: str) -> None:
        """Begin to restart a host, as EC2 does for an alarm."""
        self._real.reboot(id)

    def running(self, id: str) -> bool:
        """Whether the host of an instance is switched on."""
        return self._hypervisor is not None and self._hypervisor.running(id)

    def checks(self, id: str) -> StatusChecks:
        """Return what EC2's status checks of an instance find. Without hosts they find nothing bad."""
        return self._hypervisor.checks(id) if self._hypervisor else StatusChecks()

    def sample(self, ids: Iterable[str]) -> Values:
        """Return the metrics of the instances that run now. Without hosts there is nothing to measure."""
        if self._hypervisor is None:
            return {}
        return {id: values(self._hypervisor.checks(id), self._credits.get(id)) for id in ids}

    def _set_credits(self, id: str, credits: float) -> None:
        """Let an instance have so many CPU credits from now on. Raises SandboxError when it has no host."""
        self._real.checks(id)
        self._credits[id] = credits

    @property
    def _real(self) -> Hypervisor:
        if self._hypervisor is None:
            raise SandboxError(self._notice)
        return self._hypervisor
