"""The values of EC2's metrics, one a minute for each instance that runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

from sandbox.aws.vpc.status_checks import StatusChecks

STATUS_METRICS = (
    *("StatusCheckFailed", "StatusCheckFailed_System", "StatusCheckFailed_Instance", "StatusCheckFailed_AttachedEBS"),
)
CREDITS = "CPUCreditBalance"
METRICS = (*STATUS_METRICS, CREDITS)  # of the namespace AWS/EC2; there are no others here
_KEPT_MINUTES = 3 * 24 * 60  # an alarm looks back at most a day and two periods

Values = Mapping[str, Mapping[str, float]]  # by instance and metric


def values(checks: StatusChecks, credits: float | None) -> dict[str, float]:
    """Return the metrics of one instance. `credits` are its CPU credits; None: nobody has said how many it has."""
    failed = (checks.system or checks.instance or checks.disk, checks.system, checks.instance, checks.disk)
    found = {name: float(each) for name, each in zip(STATUS_METRICS, failed, strict=True)}
    return found if credits is None else found | {CREDITS: credits}


class Samples:
    """The values of the last days."""

    def __init__(self) -> None:
        self._minutes: deque[Values] = deque(maxlen=_KEPT_MINUTES)

    def add(self, minute: Values) -> None:
        """Add the values of one minute. An instance that does not run has none."""
        self._minutes.append(minute)

    def last(self, minutes: int, instance: str, metric: str) -> Sequence[float | None]:
        """Return the values of the last minutes, the newest last."""
        recent = list(self._minutes)[-minutes:]
        return [minute.get(instance, {}).get(metric) for minute in recent]
