"""`Sandbox.faults`: what a user lets fail. The kinds of faults and their fields are described in faults.py."""

from __future__ import annotations

from urllib.parse import urlencode

from sandbox.aws.aws_account import AwsAccount
from sandbox.errors import SandboxError
from sandbox.world.client import ask_world
from sandbox.world.faults import AWS, DSTACK, Fault, Kind
from sandbox.world.world_state import WorldState


class FaultInjection:
    """The faults of a running sandbox. The GPU clouds' are kept by the world, AWS's by AWS's own process."""

    def __init__(self, state: WorldState) -> None:
        self._state = state

    def add(
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
        """Let the clouds, or the dstack server's answers, fail from now on; faults.py has kinds and fields.

        `cloud` None is all but AWS and the dstack server.

        >>> sandbox.faults.add("error", "runpod", status=429, route="POST /v2/pods", times=3)
        >>> sandbox.faults.add("error", "aws", status=400, code="Throttling", route="route53:*", times=3)
        >>> sandbox.faults.add("error", "dstack", status=500, route="POST */runs/get", after=6, times=1)
        """
        try:
            fault = Fault(kind, cloud, route, status, code, seconds, image, times, after, body, headers)
        except ValueError as e:
            raise SandboxError(str(e)) from None
        if cloud == DSTACK and self._state.url == self._state.server_url:
            why = "inv and dstack speak to the dstack server directly here, so its answers can't fail"
            raise SandboxError(f"{why}; start the sandbox with `python -m sandbox up --front`")
        if cloud == AWS:
            AwsAccount(self._state.aws).ask("add-fault", **fault.to_json())
        else:
            ask_world(self._state, "POST", "faults", fault.to_json())

    def clear(self, kind: str | None = None, cloud: str | None = None) -> int:
        """End the faults of `kind` and on `cloud`, None is any; returns how many. Pods that are ill stay ill."""
        query = {name: value for name, value in (("kind", kind), ("cloud", cloud)) if value is not None}
        ended: int = ask_world(self._state, "DELETE", f"faults?{urlencode(query)}")
        if self._state.aws:
            ended += AwsAccount(self._state.aws).ask("clear-faults", kind=kind, cloud=cloud)
        return ended

    def in_force(self) -> list[Fault]:
        """Return the faults that are not cleared or used up, oldest first; AWS's last."""
        of_clouds = ask_world(self._state, "GET", "faults")
        of_aws = AwsAccount(self._state.aws).ask("faults") if self._state.aws else []
        return [Fault(**fault) for fault in [*of_clouds, *of_aws]]

    def set_capacity(self, cloud: str, available: bool) -> None:
        """Empty the shelves of `cloud`, runpod or vastai, or fill them again. Machines that are rented stay."""
        self.clear("capacity", cloud)
        if not available:
            self.add("capacity", cloud)
