"""What a `Sandbox` can do to its clouds: faults, which sandbox/faults.py describes."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any
from urllib.parse import urlencode

from sandbox.aws.access import AwsAccess
from sandbox.errors import SandboxError
from sandbox.faults import AWS, DSTACK, Fault, Kind


class FaultAccess(AwsAccess):
    """The part of `Sandbox` that is about faults. The GPU clouds' are kept by the world, AWS's by AWS's own process."""

    @property
    @abstractmethod
    def _has_aws(self) -> bool:
        """Whether the running sandbox has an account."""

    @property
    @abstractmethod
    def _has_front(self) -> bool:
        """Whether calls to the dstack server go through a proxy that faults can be on."""

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
        status: int = 0,
        code: str | None = None,
        seconds: float = 0.0,
        image: str = "*",
        times: int | None = None,
        after: int = 0,
        body: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        """Let the clouds, or the dstack server's answers, fail from now on; sandbox/faults.py has kinds and fields.

        `cloud` None is all but AWS and the dstack server.

        >>> sandbox.fault("error", "runpod", status=429, route="POST /v2/pods", times=3)
        >>> sandbox.fault("error", "aws", status=400, code="Throttling", route="route53:*", times=3)
        >>> sandbox.fault("error", "dstack", status=500, route="POST */runs/get", after=6, times=1)
        """
        try:
            fault = Fault(kind, cloud, route, status, code, seconds, image, times, after, body, headers)
        except ValueError as e:
            raise SandboxError(str(e)) from None
        if cloud == DSTACK and not self._has_front:
            why = "inv and dstack speak to the dstack server directly here, so its answers can't fail"
            raise SandboxError(f"{why}; start the sandbox with `python -m sandbox up --front`")
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
