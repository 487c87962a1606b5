"""Which state an alarm has, from the values of its metric.

Source: "Configuring how CloudWatch alarms treat missing data" in the CloudWatch user guide. AWS does not say how many
periods more than EvaluationPeriods it reads. In the guide's examples there are two more, and so there are here.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal, get_args

State = Literal["OK", "ALARM", "INSUFFICIENT_DATA"]
Missing = Literal["missing", "ignore", "breaching", "notBreaching"]
MISSING: tuple[Missing, ...] = get_args(Missing)
MINUTE = 60  # seconds; EC2's metrics have one value a minute
EXTRA_PERIODS = 2
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanOrEqualToThreshold": operator.le,
    "LessThanThreshold": operator.lt,
}
STATISTICS: dict[str, Callable[[Sequence[float]], float]] = {
    "Average": fmean,
    "Maximum": max,
    "Minimum": min,
    "SampleCount": len,
    "Sum": sum,
}


@dataclass(frozen=True)
class Rule:
    """When an alarm goes off: in `periods` periods of `period` seconds, `breaching` values are over the threshold."""

    instance: str
    metric: str
    period: int = MINUTE
    periods: int = 1
    breaching: int = 1
    statistic: str = "Maximum"
    comparison: str = "GreaterThanOrEqualToThreshold"
    threshold: float = 1.0
    missing: Missing = "missing"

    @property
    def minutes(self) -> int:
        """How many minutes are looked at."""
        return (self.periods + EXTRA_PERIODS) * (self.period // MINUTE)

    def state(self, minutes: Sequence[float | None], now: State) -> State:
        """Return the state that follows `now`. `minutes`: a value a minute, the newest last; None where none came."""
        return self._decide([None if value is None else self._breaches(value) for value in self._values(minutes)], now)

    def _values(self, minutes: Sequence[float | None]) -> list[float | None]:
        """Return a value for each period that is looked at, the newest last."""
        length = self.period // MINUTE
        found = [*[None] * self.minutes, *minutes][-self.minutes :]
        parts = (found[start : start + length] for start in range(0, len(found), length))
        known = [[value for value in part if value is not None] for part in parts]
        return [STATISTICS[self.statistic](part) if part else None for part in known]

    def _breaches(self, value: float) -> bool:
        return COMPARISONS[self.comparison](value, self.threshold)

    def _decide(self, periods: Sequence[bool | None], now: State) -> State:
        """Return the state, from whether each period breaches the threshold. None: there is no value."""
        known = [breaches for breaches in periods if breaches is not None]
        found, lacking = sum(known[-self.periods :]), self.periods - len(known)
        if lacking > 0 and self.missing == "breaching":
            found += lacking
        elif lacking > 0 and self.missing != "notBreaching" and all(known):
            return self._without_good_values(periods, found, now)
        return "ALARM" if found >= self.breaching else "OK"

    def _without_good_values(self, periods: Sequence[bool | None], found: int, now: State) -> State:
        """Return the state when too few periods have a value, and no value is good."""
        if self.missing == "ignore":
            return "ALARM" if found >= self.breaching else now
        oldest = len(periods) - periods.index(True) if found else 0  # in periods: how long ago
        return "ALARM" if oldest >= self.breaching else "INSUFFICIENT_DATA"
