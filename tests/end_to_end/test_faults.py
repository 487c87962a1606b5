"""What is measured about faults, and the table that says so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.faults.faults import FAULTS
from tests.faults.measuring import Loss, Service, measure
from tests.faults.table import PAGE, not_measured, read, row, with_rows

HANG_SECONDS = 15  # the default is 120
PAGE_OF_ONE = """# Faults

Before.

| fault | requests lost | seconds from the first to the last | what heals it |
|---|---|---|---|

After.
"""


def test_the_page_has_every_fault_with_its_figures_or_says_that_it_was_not_measured() -> None:
    page = PAGE.read_text("utf-8")
    rows, left = read(page), not_measured(page)
    names = [fault.name for fault in FAULTS.values()]
    assert [name for name in names if name in rows] == list(rows), "`inv benchmark --faults` writes the table"
    assert [name for name in names if name not in rows] == left
    healed = {fault.name: fault.healed_by for fault in FAULTS.values()}
    assert all(text.endswith(f"| {healed[name]} |\n") for name, text in rows.items())


def test_rows_are_replaced_in_the_order_of_the_faults() -> None:
    first, second = list(FAULTS)[:2]
    once = with_rows(PAGE_OF_ONE, {second: Loss(900, 3, 1.5)})
    twice = with_rows(with_rows(once, {first: Loss(1200, 0, 0.0)}), {second: Loss(900, 4, 2.0)})
    assert list(read(twice)) == [FAULTS[first].name, FAULTS[second].name]
    assert row(FAULTS[second], Loss(900, 4, 2.0)) in twice
    assert "| 0 of 1,200 | 0 |" in twice
    assert twice.startswith("# Faults\n\nBefore.\n\n| fault")
    assert not_measured(twice) == [fault.name for fault in list(FAULTS.values())[2:]]
    whole = with_rows(twice, dict.fromkeys(FAULTS, Loss(1, 0, 0.0)))
    assert not_measured(whole) == []
    assert whole.endswith("|\n\nAfter.\n")


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


@pytest.fixture(scope="module")
def service(project: Path, vpc: Sandbox) -> Service:
    """Two replicas behind a gateway, whose monitor does not wait for long."""
    made = Service(project, vpc, "faults")
    made.usual = {**made.usual, "HANG_SECONDS": HANG_SECONDS}
    made.put()
    made.deploy()
    made.await_whole()
    return made


@pytest.mark.gateway
def test_one_of_two_engines_that_hangs_is_replaced_alone(
    service: Service, record_property: Callable[[str, object], None]
) -> None:
    hung, healthy = service.machines()
    before = service.status()["deployment"]
    loss = measure(service, FAULTS["engine_hangs"].make)
    record_property("an engine hangs", str(loss))
    assert service.machines()[0] == healthy
    assert hung not in service.machines()
    assert service.status()["deployment"] == before
    assert 0 < loss.lost < loss.requests / 2  # those that the hung replica got
    assert loss.seconds < 90


@pytest.mark.gateway
def test_callers_lose_what_a_crash_takes_and_no_more(
    service: Service, record_property: Callable[[str, object], None]
) -> None:
    healthy = service.machines()[1]
    loss = measure(service, FAULTS["container_crashes"].make)
    record_property("an engine crashes", str(loss))
    assert service.machines()[0] == healthy
    assert loss.requests > 100
    assert loss.lost < loss.requests / 10
