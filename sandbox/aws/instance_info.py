"""What the sandbox tells about an EC2 instance."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InstanceInfo:
    """An EC2 instance, as `Sandbox.aws.instances()` lists it."""

    id: str
    state: str  # as EC2 says it: pending, running, stopping, stopped, terminated
    address: str  # the private one
    tags: dict[str, str]  # dstack sets Name, owner, dstack_project and dstack_name
    host_running: bool  # whether its machine is on; EC2 doesn't notice when it isn't
