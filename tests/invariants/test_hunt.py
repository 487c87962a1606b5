"""What `inv` promises holds in every order of events that is tried: HUNT_EXAMPLES of them, from HUNT_SEED on."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.invariants.machine import Hunt
from tests.invariants.person import Project

EXAMPLES = int(os.environ.get("HUNT_EXAMPLES", "20"))
STEPS = int(os.environ.get("HUNT_STEPS", "8"))
SEED = int(os.environ.get("HUNT_SEED", "1"))
IGNORED = frozenset(filter(None, os.environ.get("HUNT_IGNORE", "").split(",")))
SHRINKS = os.environ.get("HUNT_SHRINK", "yes") == "yes"


def test_what_is_promised_holds_in_every_order_of_events(hunted: Project) -> None:
    Hunt.project, Hunt.ignored = hunted, IGNORED
    phases = [Phase.generate, *([Phase.shrink] if SHRINKS else [])]
    chosen = settings(
        max_examples=EXAMPLES,
        stateful_step_count=STEPS,
        database=None,
        derandomize=False,
        phases=phases,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(seed(SEED)(Hunt), settings=chosen)
    finally:
        for found in sorted(Hunt.known):
            print("known:", found)
