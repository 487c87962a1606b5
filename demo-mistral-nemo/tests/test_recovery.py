"""The verdict on a gateway, and the steps that recover it: each from what was seen, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy.dstack.gateway import Gateway
from deploy.dstack.observations import Event
from deploy.instances import Instance, State, of_gateway, states
from deploy.reaching import Verdict
from operate.health import Seen, diagnose
from operate.recovery import Do, Scene, Step, next_step, recovered_lately

ONE, TWO = "10.0.0.1", "10.0.0.2"
ENCRYPTED = {"type": "lets-encrypt"}
NOW = datetime(2026, 11, 2, tzinfo=UTC)
WELL = Seen(
    "prod",
    "chat",
    status="running",
    states={ONE: State.RUNNING, TWO: State.RUNNING},
    reached={ONE: Verdict.ANSWERS, TWO: Verdict.ANSWERS},
    named=Verdict.ANSWERS,
    resolves=True,
    recorded=frozenset({ONE, TWO}),
    run="running",
    ready=1,
)
NOWHERE: dict[str, Any] = {"reached": dict.fromkeys((ONE, TWO), Verdict.UNREACHABLE), "named": Verdict.UNREACHABLE}


def state(one: State, two: State = State.RUNNING) -> dict[str, State]:
    return {ONE: one, TWO: two}


def answers(one: Verdict, two: Verdict = Verdict.ANSWERS) -> dict[str, Verdict]:
    return {ONE: one, TWO: two}


@pytest.mark.parametrize(
    ("changed", "code", "words"),
    [
        ({}, 0, "answers"),
        ({"recorded": None}, 0, "answers"),
        ({"status": "", "states": {}, "reached": {}}, 48, "no gateway"),
        ({"states": state(State.ENDED)}, 47, f"instance of {ONE} has ended"),
        ({"states": state(State.ENDED, State.ENDED)}, 48, "has ended"),
        ({"states": state(State.IMPAIRED)}, 47, "status checks"),
        ({"states": state(State.IMPAIRED, State.STARTING)}, 48, "status checks"),
        ({"states": {}, "reached": {}, "status": "provisioning"}, 48, "no replica"),
        ({"recorded": frozenset({ONE})}, 47, f"differ: {TWO}"),
        ({"recorded": frozenset({"10.0.0.9"})}, 48, "differ"),
        ({"recorded": frozenset()}, 48, "differ"),
        ({"run": ""}, 49, "not deployed"),
        ({"run": "failed"}, 49, "failed"),
        ({"run": "pending", "ready": 0, "asleep": True, **{"reached": answers(*[Verdict.FAILING] * 2)}}, 0, "x"),
        (NOWHERE, 39, "from here"),
        (NOWHERE | {"states": state(State.UNKNOWN, State.UNKNOWN)}, 39, "from here"),
        ({"reached": answers(Verdict.WRONG_BODY)}, 47, f"{ONE} does not know"),
        ({"reached": answers(*[Verdict.WRONG_BODY] * 2), "named": Verdict.WRONG_BODY}, 48, "does not know"),
        ({"reached": answers(*[Verdict.WRONG_BODY] * 2), "named": Verdict.WRONG_BODY, "ready": 0}, 49, "behind it"),
        ({"reached": answers(*[Verdict.FAILING] * 2), "named": Verdict.FAILING, "ready": 0}, 49, "0 of its replicas"),
        ({"reached": answers(Verdict.DENIES)}, 0, "answers"),
        ({"reached": answers(Verdict.UNREACHABLE)}, 47, f"{ONE} can't be reached"),
        ({"reached": answers(*[Verdict.UNREACHABLE] * 2)}, 47, "can't be reached"),  # the name answers
        ({"reached": answers(*[Verdict.REFUSES] * 2), "named": Verdict.REFUSES}, 48, "refuses"),
        ({"named": Verdict.UNREACHABLE}, 47, "the name can't be reached"),
        ({"named": Verdict.UNREACHABLE, "resolves": False}, 39, "does not resolve here"),
        ({"named": Verdict.UNREACHABLE, "resolves": False, "recorded": None}, 47, "does not resolve here"),
        ({"reached": {}, "recorded": frozenset({"lb.example.com"})}, 0, "answers"),
    ],
    ids=str,
)
def test_each_row_of_the_verdict(changed: dict[str, Any], code: int, words: str) -> None:
    if words == "x":
        changed["named"], words = Verdict.FAILING, "asleep"
    found = diagnose(replace(WELL, **changed))
    assert (found.code, words in found.why) == (code, True), found
    assert bool(found.remedy) == bool(code)


def test_what_can_not_be_reached_is_never_dead() -> None:
    for known in State:
        if known in (State.RUNNING, State.UNKNOWN):
            assert diagnose(replace(WELL, **NOWHERE, states=state(known, known))).code == 39


def listed(name: str, word: str = "running", address: str = ONE) -> dict[str, Any]:
    tags = [{"Key": "dstack_name", "Value": name}]
    return {"InstanceId": f"i-{name}", "State": {"Name": word}, "PrivateIpAddress": address, "Tags": tags}


def test_instances_of_another_gateway_do_not_count() -> None:
    found = of_gateway([listed("chat-0"), listed("chat-b-0"), listed("chat-x"), {"State": {}}], {}, "chat")
    assert [one.name for one in found] == ["chat-0"]


@pytest.mark.parametrize(
    ("word", "checks", "said"),
    [
        ("running", {"ok"}, State.RUNNING),
        ("running", set(), State.RUNNING),
        ("running", {"ok", "initializing"}, State.STARTING),
        ("running", {"ok", "impaired"}, State.IMPAIRED),
        ("pending", set(), State.STARTING),
        ("stopping", set(), State.IMPAIRED),
        ("stopped", set(), State.ENDED),
        ("shutting-down", set(), State.ENDED),
    ],
)
def test_ec2s_words(word: str, checks: set[str], said: State) -> None:
    [found] = of_gateway([listed("chat-0", word)], {"i-chat-0": frozenset(checks)}, "chat")
    assert states([found], [ONE]) == {ONE: said}


def test_a_terminated_instance_has_no_address_and_an_empty_list_proves_nothing() -> None:
    ended = of_gateway([listed("chat-0", "terminated")], {}, "chat")
    assert states(ended, [ONE]) == {ONE: State.ENDED}
    assert states([], [ONE]) == {ONE: State.UNKNOWN}
    other = Instance("i", "chat-1", "running", frozenset({TWO}))
    assert states([other], [ONE, TWO]) == {ONE: State.ENDED, TWO: State.RUNNING}


def gateway(*ages: int, wanted: int = 0, status: str = "running", **configuration: Any) -> Gateway:
    """A gateway whose replica at 10.0.0.N was created at minute N."""
    replicas = [
        {"hostname": f"10.0.0.{age}", "status": "running", "created_at": f"2026-11-01T00:{age:02}:00Z"} for age in ages
    ]
    return Gateway(status=status, configuration=configuration | {"replicas": wanted or len(ages)}, replicas=replicas)


def scene(found: Gateway | None, ended: str = "", recorded: str | None = "1", wanted: int = 1, **more: Any) -> Scene:
    """What is seen when the instances at these addresses have ended. Digits stand for 10.0.0.N."""
    every = [str(one["hostname"]) for one in found.running] if found else []
    every += [str(one["hostname"]) for one in more["other"].running] if "other" in more else []
    said = {address: State.ENDED if address.rpartition(".")[2] in ended.split() else State.RUNNING for address in every}
    names = None if recorded is None else frozenset(f"10.0.0.{one}" for one in recorded.split())
    return Scene(found, said, names, wanted, **more)


def step(*seen: Any, **more: Any) -> Step | None:
    """Return the next step of a scene."""
    return next_step(scene(*seen, **more))


def test_a_healthy_gateway_is_never_touched() -> None:
    assert step(gateway(1)) is None
    assert step(gateway(1, 2), recorded="1 2", wanted=2) is None
    assert step(gateway(1), recorded=None) is None
    assert step(gateway(1), other=gateway(7)) is None  # a deploy that was interrupted left it
    assert next_step(Scene(gateway(1), {ONE: State.UNKNOWN}, frozenset({ONE}))) is None


@pytest.mark.parametrize(
    ("seen", "do", "detail"),
    [
        (scene(gateway(1), "1", "1", 1), Do.ADD, 2),
        (scene(gateway(1, wanted=2), "1", "1", 1), Do.WAIT, 0),
        (scene(gateway(1, 2), "1", "1", 1), Do.PUBLISH, "2"),
        (scene(gateway(1, 2), "1", "2", 1), Do.REMOVE, 1),
        (scene(gateway(1, 2, wanted=1), "1", "2", 1), Do.WAIT, 0),  # dstack drops it
        (scene(gateway(1, 2), "1", "1 2", 2), Do.PUBLISH, "2"),  # the dead address goes at once
        (scene(gateway(1, 2), "1", "2", 2), Do.ADD, 3),
        (scene(gateway(1, 2, 3), "1", "2", 2), Do.PUBLISH, "2 3"),
        (scene(gateway(1, 2, 3), "1", "2 3", 2), Do.REMOVE, 2),
        (scene(gateway(1, 2), "2", "1", 2), Do.ADD, 4),  # the younger one: both go
        (scene(gateway(1, 2, 3, 4), "2", "3 4", 2), Do.REMOVE, 2),
        (scene(gateway(1, 2), "1 2", "1 2", 2), Do.ADD, 4),
        (scene(gateway(1), "1", None, 1), Do.ADD, 2),
        (scene(gateway(2), "", "1", 1), Do.PUBLISH, "2"),
        (scene(gateway(2, 3, wanted=1), "", "2", 1), Do.WAIT, 0),
        # another gateway: more replicas than dstack takes
        (scene(gateway(1, certificate=ENCRYPTED), "1", "1", 1), Do.CREATE, 0),
        (scene(gateway(*range(1, 10)), "1", "2", 9), Do.CREATE, 0),
        (scene(gateway(*range(1, 10)), "1 2 3 4 5 6 7 8 9", "1", 9), Do.CREATE, 0),
        # another gateway: it is gone
        (scene(None, "", "1", 1), Do.CREATE, 0),
        (scene(None, "", None, 1), Do.CREATE, 0),
        (scene(None, "", "", 1), Do.STOP, 0),  # inv gateway.destroy deleted the record, too
        (scene(None, "", None, 1, unread=True), Do.ASK, 0),  # somebody may have taken it down
        (scene(None, "", None, 1, unread=True, other=gateway(7, status="provisioning")), Do.CREATE, 0),
        (scene(None, "", "1", 1, other=gateway(7, wanted=2)), Do.CREATE, 0),  # it is waited for
        (scene(None, "", "1", 1, other=gateway(7)), Do.REGISTER, 0),
        (scene(None, "", "1", 1, other=gateway(7), record_first=True), Do.PUBLISH, "7"),
        (scene(None, "", "7", 1, other=gateway(7), record_first=True), Do.REGISTER, 0),
        (scene(None, "", None, 1, other=gateway(7), record_first=True), Do.REGISTER, 0),
        # a deploy, or a recovery, has created another one already
        (scene(gateway(1), "1", "1", 1, other=gateway(7)), Do.REGISTER, 0),
        (scene(gateway(1), "1 7", "1", 1, other=gateway(7)), Do.ADD, 2),
        (scene(gateway(7), "1", "1", 1, other=gateway(1)), Do.PUBLISH, "7"),
        (scene(gateway(7), "1", "7", 1, other=gateway(1)), Do.DELETE, 0),
    ],
)
def test_each_step_follows_from_what_exists(seen: Scene, do: Do, detail: int | str) -> None:
    found = next_step(seen)
    assert found
    targets = tuple(f"10.0.0.{one}" for one in detail.split()) if isinstance(detail, str) else ()
    assert (found.do, found.targets, found.replicas) == (do, targets, 0 if targets else detail)


@pytest.mark.parametrize(
    ("seen", "begins"),
    [
        (scene(gateway(1), "1"), True),
        (scene(gateway(1, 2, 3), "1 2", "3", 2), False),  # a second one ended meanwhile
        (scene(None), True),
        (scene(None, other=gateway(7, status="provisioning")), False),
    ],
)
def test_only_the_start_of_a_recovery_counts_as_one(seen: Scene, begins: bool) -> None:
    found = next_step(seen)
    assert found
    assert (found.begins, found.do in (Do.ADD, Do.CREATE)) == (begins, True)


@pytest.mark.parametrize(
    ("seen", "late"),
    [
        (scene(gateway(1, 2, 3), "1", "2 3", 2), False),
        (scene(gateway(1, 2, 3, 4), "2", "3 4", 2), True),
        (scene(gateway(7), "1", "7", 1, other=gateway(1)), False),
        (scene(gateway(7), "1", "7", 1, other=gateway(1, 2)), True),
    ],
)
def test_replicas_that_still_serve_are_dropped_late_and_only_when_the_record_has_left_them(
    seen: Scene, late: bool
) -> None:
    found = next_step(seen)
    assert found
    assert (found.drops, found.needs_record) == (late, late)


@pytest.mark.parametrize("state", [State.IMPAIRED, State.STARTING])
def test_an_impaired_instance_heals_itself(state: State) -> None:
    found = next_step(Scene(gateway(1), {ONE: state}, frozenset({ONE})))
    assert found
    assert found.do == Do.WAIT


def test_behind_a_load_balancer_no_record_changes() -> None:
    found = gateway(1).model_copy(update={"hostname": "lb.example.com"})
    first = next_step(Scene(found, {ONE: State.ENDED}, frozenset({"lb.example.com"})))
    assert first
    assert first.do == Do.ADD


def event(message: str, minutes: int, name: str = "chat") -> Event:
    targets, at = [{"type": "gateway", "name": name}], NOW - timedelta(minutes=minutes)
    return Event.model_validate({"id": "", "message": message, "recorded_at": at, "targets": targets})


CHANGED, MADE, GONE = (
    "Gateway updated. Changed fields: replicas",
    "Gateway created. Status: SUBMITTED",
    "Gateway deleted",
)


@pytest.mark.parametrize(
    ("events", "lately"),
    [
        ([], False),
        ([event(CHANGED, 5)], False),  # one that was interrupted is continued
        ([event(CHANGED, 5), event(CHANGED, 9)], True),
        ([event(CHANGED, 5), event(CHANGED, 61)], False),
        ([event(CHANGED, 5), event(CHANGED, 9, "other")], False),
        ([event(CHANGED, 5, "chat-gw-b"), event(CHANGED, 9)], True),
        ([event(MADE, 5, "chat-gw-b"), event(MADE, 90)], True),
        ([event("Gateway updated. Changed fields: domain", 5)] * 2, False),
        ([event(MADE, 5)], False),  # the first deploy
        ([event(MADE, 5), event(GONE, 8)], True),
        ([event(MADE, 5), event(GONE, 2)], False),  # deleted after that: nothing was recovered yet
        ([event(MADE, 61), event(GONE, 62)], False),
    ],
)
def test_a_recovery_of_the_last_hour_is_found_in_dstacks_events(events: list[Event], lately: bool) -> None:
    assert recovered_lately(events, ("chat", "chat-gw-b"), NOW) == lately
