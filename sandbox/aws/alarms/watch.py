"""The thread that takes a sample of all hosts each minute, and evaluates all alarms."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from sandbox.aws.alarms.evaluation import MINUTE, Rule, State
from sandbox.aws.alarms.samples import Samples, Values

logger = logging.getLogger(__name__)


class Alarm(Protocol):
    """An alarm that is stored."""

    @property
    def rule(self) -> Rule:
        """When it goes off."""

    @property
    def state(self) -> State:
        """Its state now."""

    def change(self, state: State, reason: str) -> None:
        """Give it another state, and let it act."""


class AlarmWatch:
    """Watches until stop(). `speed`: how many minutes of the alarms pass in a real one."""

    def __init__(self, speed: float, sample: Callable[[], Values], alarms: Callable[[], Iterable[Alarm]]) -> None:
        self._seconds = MINUTE / speed
        self._sample = sample
        self._alarms = alarms
        self._samples = Samples()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="alarms", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End, and let no alarm act from now on."""
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(self._seconds):
            try:
                self.pass_minute()
            except Exception:  # one bad answer must not be the end of all alarms
                logger.exception("the alarms were not evaluated")

    def pass_minute(self) -> None:
        """Take a sample, and evaluate each alarm."""
        self._samples.add(self._sample())
        for alarm in self._alarms():
            rule, now = alarm.rule, alarm.state
            values = self._samples.last(rule.minutes, rule.instance, rule.metric)
            if (state := rule.state(values, now)) != now:
                alarm.change(state, _reason(rule, values))


def _reason(rule: Rule, values: Iterable[float | None]) -> str:
    read = " ".join("-" if value is None else f"{value:g}" for value in values)
    often = f"{rule.breaching} of {rule.periods} x {rule.period} s"
    return (
        f"{rule.metric} of {rule.instance}, one value a minute: {read}; {rule.comparison} {rule.threshold:g}, {often}"
    )
