"""What is measured about faults, and the table that says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.faults.faults import FAULTS
from tests.faults.measuring import Loss, Service, measure
from tests.faults.table import PAGE, read, row, with_rows

PAGE_OF_ONE = """# Faults

Before.

| fault | requests lost | seconds from the first to the last | what heals it |
|---|---|---|---|

After.
"""


def test_every_fault_has_been_measured() -> None:
    rows = read(PAGE.read_text("utf-8"))
    assert list(rows) == [fault.name for fault in FAULTS.values()], "`inv benchmark --faults` writes the table"
    assert all(rows[fault.name].endswith(f"| {fault.healed_by} |\n") for fault in FAULTS.values())


def test_rows_are_replaced_in_the_order_of_the_faults() -> None:
    first, second = list(FAULTS)[:2]
    once = with_rows(PAGE_OF_ONE, {second: Loss(900, 3, 1.5)})
    twice = with_rows(with_rows(once, {first: Loss(1200, 0, 0.0)}), {second: Loss(900, 4, 2.0)})
    assert list(read(twice)) == [FAULTS[first].name, FAULTS[second].name]
    assert row(FAULTS[second], Loss(900, 4, 2.0)) in twice
    assert "| 0 of 1,200 | 0 |" in twice
    assert twice.startswith("# Faults\n\nBefore.\n\n| fault")
    assert twice.endswith("|\n\nAfter.\n")


@pytest.mark.parametrize(
    ("answers", "loss"),
    [
        ([], Loss(0, 0, 0.0)),
        ([(1.0, True), (2.0, True)], Loss(2, 0, 0.0)),
        ([(1.0, True), (2.0, False), (3.0, True), (4.5, False)], Loss(4, 2, 2.5)),
    ],
)
def test_a_loss_counts_from_the_first_request_that_was_lost_to_the_last(
    answers: list[tuple[float, bool]], loss: Loss
) -> None:
    assert Loss.of_answers(answers) == loss


@pytest.mark.gateway
def test_callers_lose_what_a_hard_crash_takes_and_no_more(
    project: Path, vpc: Sandbox, record_property: Callable[[str, object], None]
) -> None:
    """Two faults of the table: a good one, and one without any answer meanwhile."""
    service = Service(project, vpc, "faults")
    service.put()
    service.deploy()
    service.await_whole()
    crashed = measure(service, FAULTS["container_crashes"].make)
    record_property("engine crashes", str(crashed))
    assert crashed.requests > 100
    assert crashed.lost < crashed.requests / 10
    dark = measure(service, FAULTS["gateway_power_loss"].make)
    record_property("power loss", str(dark))
    assert dark.lost > 20  # five requests a second, and the host boots for more than ten
    assert dark.seconds < 120
