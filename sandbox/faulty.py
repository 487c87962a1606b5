"""What a `Sandbox` can do to its clouds: faults, which sandbox/faults.py describes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any
from urllib.parse import urlencode

from sandbox.aws.access import AwsAccess
from sandbox.errors import SandboxError
from sandbox.faults import AWS, Fault, Kind


class FaultAccess(AwsAccess):
    """The part of `Sandbox` that is about faults. The GPU clouds' are kept by the world, AWS's by AWS's own process."""

    @property
    @abstractmethod
    def _has_aws(self) -> bool:
        """Whether the running sandbox has an account."""

    @abstractmethod
    def _control(self, method: str, path: str, body: Any = None) -> Any:
        """Ask the world."""

    def capacity(self, cloud: str, available: bool) -> None:
        """Empty the shelves of `cloud`, runpod or vastai, or fill them again. Machines that are rented stay."""
        self.clear_faults("capacity", cloud)
        if not available:
            self.fault("capacity", cloud)

    def fault(
        self,
        kind: Kind,
        cloud: str | None = None,
        *,
        route: str = "*",
        status: int = 500,
        code: str | None = None,
        seconds: float = 0.0,
        image: str = "*",
        times: int | None = None,
    ) -> None:
        """Let the clouds fail from now on, see sandbox/faults.py for the kinds and their fields.

        `cloud` None is all but AWS.

        >>> sandbox.fault("error", "runpod", status=429, route="POST /v2/pods", times=3)
        >>> sandbox.fault("error", "aws", status=400, code="Throttling", route="route53:*", times=3)
        """
        try:
            fault = Fault(kind, cloud, route, status, code, seconds, image, times)
        except ValueError as e:
            raise SandboxError(str(e)) from None
        if cloud == AWS:
            self._own("add-fault", **fault.to_json())
        else:
            self._control("POST", "faults", fault.to_json())

    def faults(self) -> list[Fault]:
        """The faults in force, oldest first; AWS's last."""
        of_aws = self._own("faults") if self._has_aws else []
        return [Fault(**fault) for fault in [*self._control("GET", "faults"), *of_aws]]

    def clear_faults(self, kind: str | None = None, cloud: str | None = None) -> int:
        """End the faults of `kind` and on `cloud`, None is any; returns how many. Pods that are ill stay ill."""
        query = {name: value for name, value in (("kind", kind), ("cloud", cloud)) if value is not None}
        ended: int = self._control("DELETE", f"faults?{urlencode(query)}")
        if self._has_aws:
            ended += self._own("clear-faults", kind=kind, cloud=cloud)
        return ended
