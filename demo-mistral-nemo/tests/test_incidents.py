"""Why nothing serves, since when, and what to type: from dstack's answers alone."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from conftest import SCALED, job, run

from deploy.dstack.answers import Run
from deploy.dstack.observations import Event
from deploy.observing import READY
from operate.incidents import Incident, ending, incident, remedy_after
from operate.times import span

NO_CAPACITY = "failed_to_start_due_to_no_capacity"
CRASH = "container_exited_with_error"
START = datetime(2026, 11, 1, tzinfo=UTC)


def lived(*attempts: tuple[str, str, int, int], placed: bool = True) -> dict[str, Any]:
    """A replica with attempts that have ended: status, reason, and the minutes of start and end."""
    found = job(ended=tuple(reason for _, reason, _, _ in attempts), status="none", placed=placed)
    for one, (status, _, began, ended) in zip(found["job_submissions"], attempts, strict=True):
        one |= {"status": status, "submitted_at": str(START + timedelta(minutes=began))}
        one |= {"finished_at": str(START + timedelta(minutes=ended))}
    return found


def look(found: Run, *ready: int, env: str = "dev", minutes: int = 60) -> Incident | None:
    """The incident of a run so many minutes after the start, with replicas that became ready in these minutes."""
    events = [Event(id=str(at), recorded_at=START + timedelta(minutes=at), message=READY, targets=[]) for at in ready]
    return incident(found, events, env, START + timedelta(minutes=minutes))


def test_a_service_that_serves_or_sleeps_has_none() -> None:
    assert look(run(job()), env="dev") is None
    assert look(run(job(), job(replica=1, streak=0)), env="dev") is None
    assert look(run(SCALED, status="pending"), env="dev") is None
    assert look(run(job(streak=0), status="terminated"), env="dev") is None


def test_no_capacity_is_quoted_in_dstacks_words() -> None:
    lost = lived(("failed", NO_CAPACITY, 60, 61), placed=False)
    lost["job_submissions"][0]["termination_reason_message"] = "tried 17 of 17 offers, all failed.\nErrors: A40: 400"
    found = look(run(lost, status="pending"), env="prod")
    assert found
    assert "tried 17 of 17 offers, all failed. Errors: A40: 400" in found.happened  # in one line
    assert "`inv offers --env prod`" in found.remedy
    assert found.since == START  # nothing has ever served


def test_the_outage_began_when_the_last_container_that_served_ended() -> None:
    served, crashes = (
        ("terminated", "instance_unreachable", 0, 600),
        [("failed", CRASH, 610 + n, 611 + n) for n in (0, 5)],
    )
    found = look(run(lived(served, *crashes), status="pending"), env="dev")
    assert found
    assert found.since == START + timedelta(minutes=600)
    replaced = ("terminated", "scaled_down", 0, 5)
    found = look(run(lived(replaced), lived(*crashes), status="pending"), env="dev")
    assert found
    assert found.since == START + timedelta(minutes=5)


def test_a_short_life_counts_when_the_replica_was_ready() -> None:
    short = lived(("terminated", "instance_unreachable", 0, 5), ("failed", CRASH, 6, 7))
    never, once = look(run(short, status="pending")), look(run(short, status="pending"), 3)
    assert never
    assert never.since == START + timedelta(minutes=5)
    assert once
    assert once.since == START + timedelta(minutes=5)
    crashed_later = lived(("terminated", "instance_unreachable", 0, 2), ("failed", CRASH, 3, 9))
    found = look(run(crashed_later, status="pending"), 6)
    assert found
    assert found.since == START + timedelta(minutes=9)


def test_a_replica_that_served_and_fails_its_probes_now_is_no_new_one() -> None:
    failing = run(job(streak=0))
    for found in (look(failing, 5), look(failing, minutes=3 * 24 * 60)):  # dstack forgets its event
        assert found
        assert "replica 0 served before" in found.happened
        assert found.since is None
        assert "`inv logs --env dev`" in found.remedy
        assert "serves now: replica 0" in str(found.failure("x", START))
    new = look(failing)
    assert new
    assert new.since == START


@pytest.mark.parametrize(
    ("replica", "said", "typed"),
    [
        (job(status="provisioning"), "replica 0 is provisioning", "inv status --env dev"),
        (job(streak=0), "replica 0 is running, and its probes do not pass", "inv logs --follow --env dev"),
        (job(status="none", ended=(CRASH,)), "container exited with error", "inv logs --env dev"),
        (job(status="none", ended=("instance_unreachable",)), "instance unreachable", "inv events --env dev"),
        (job(streak=0, ended=(CRASH,)), "; before that: container exited", "inv logs --follow --env dev"),
        (job(status="provisioning", ended=(CRASH,)), "; before that: container exited", "inv logs --env dev"),
    ],
)
def test_what_is_seen_and_what_is_to_be_typed(replica: dict[str, Any], said: str, typed: str) -> None:
    found = look(run(replica), env="dev")
    assert found
    assert found.since
    assert said in found.happened
    assert f"`{typed}`" in found.remedy


def test_how_a_run_ended() -> None:
    now = START + timedelta(minutes=70)
    failed = run(lived(("failed", NO_CAPACITY, 0, 60)), status="failed")
    assert ending(failed, now) == "its last run failed 10 min ago: failed to start due to no capacity"
    assert "inv offers --env dev" in remedy_after(failed, "dev")
    stopped = run(lived(("terminated", "terminated_by_user", 0, 60)), status="terminated")
    assert ending(stopped, now) == "its last run was stopped 10 min ago"
    assert remedy_after(stopped, "dev") == "run `inv deploy --env dev`"
    assert ending(run(status="failed", error="no fleet"), now) == "its last run failed: no fleet"
    assert ending(None, now) == ending(run(job()), now) == ""


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(-5, "0 s"), (0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "119 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_a_span_is_shown_in_its_largest_unit(seconds: float, said: str) -> None:
    assert span(seconds) == said
