"""EC2's status checks of one host."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class StatusChecks:
    """What the checks found. True: the check failed.

    While a host boots, EC2 calls it `initializing`, and no check fails.
    """

    system: bool = False  # power and hardware below it
    instance: bool = False  # whether it answers on its network
    disk: bool = False  # whether its disk can be used
    initializing: bool = False
