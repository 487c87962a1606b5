"""What a change does to running replicas, read from dstack's plan of it."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import job, run_json
from planned import fleet_plan, run_plan

from deploy import changes
from deploy.changes import Change, Difference, Part, classify_groups, replica_groups
from deploy.dstack.answers import ResourcePlan


@pytest.mark.parametrize(
    ("status", "action", "after", "expected"),
    [
        ("running", "update", {}, Change.UNCHANGED),
        ("running", "update", {"replicas": 2}, Change.IN_PLACE),
        ("running", "update", {"env": {"A": "2"}}, Change.ROLLING),
        ("running", "update", {"env": {"A": "2"}, "replicas": 2}, Change.ROLLING),
        ("running", "create", {"retry": {"duration": 1}}, Change.RESTART),
        ("pending", "create", {"retry": {"duration": 1}}, Change.RESTART),
        ("terminating", "create", {}, Change.CREATE),
        ("failed", "create", {}, Change.CREATE),
        ("terminated", "create", {"env": {"A": "2"}}, Change.CREATE),
    ],
)
def test_a_change_of_the_service_is_classified(
    status: str, action: str, after: dict[str, Any], expected: Change
) -> None:
    assert changes.classify_service(run_plan(run_json(job(), status=status), after, action)).change == expected


def test_a_service_that_never_ran_is_created() -> None:
    assert changes.classify_service(run_plan(None, {}, "create")) == Part(Change.CREATE, ())


def test_differences_are_named_as_in_the_file() -> None:
    part = changes.classify_service(run_plan(run_json(job()), {"env": {"A": "2", "B": "3"}}))
    assert part.differences == (Difference("env.A", "1", "2"), Difference("env.B", None, "3"))


@pytest.mark.parametrize(
    ("plan", "serving", "expected"),
    [
        (fleet_plan("0..2"), True, Change.UNCHANGED),
        (fleet_plan("0..3"), True, Change.IN_PLACE),
        (fleet_plan("0..3", "create"), True, Change.RESTART),
        (fleet_plan("0..3", "create"), False, Change.CREATE),
        (fleet_plan("0..2", "create", None), False, Change.CREATE),
        (fleet_plan("0..2", "create", "terminating"), False, Change.CREATE),
    ],
)
def test_a_change_of_the_fleet_is_classified(plan: ResourcePlan, serving: bool, expected: Change) -> None:
    assert changes.classify_fleet(plan, serving=serving).change == expected


COMMAND = "vllm serve acme/chat"


def group(name: str, replicas: Any = 1, **contents: Any) -> dict[str, Any]:
    """A group as dstack answers it: all keys are there."""
    counted = replicas if isinstance(replicas, dict) else {"min": replicas, "max": replicas}
    unset = {"image": None, "scaling": None, "spot_policy": None}
    return {"name": name, "replicas": counted, "commands": [COMMAND], "resources": {"gpu": "48GB"}} | unset | contents


def service(*groups: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A service of these groups."""
    unset: dict[str, Any] = {"commands": [], "resources": {"gpu": None}, "replicas": None, "scaling": None}
    return unset | {"image": "vllm", "env": {"A": "1"}, "groups": list(groups) or None} | values


def plain(replicas: Any = 1) -> dict[str, Any]:
    """A service without groups."""
    counted = {"min": replicas, "max": replicas} if isinstance(replicas, int) else replicas
    return service(replicas=counted, commands=[COMMAND], resources={"gpu": "48GB"})


SMALL, BIG = group("small"), group("big", resources={"gpu": "80GB"})
SCALED = {"min": 1, "max": 3}
MAY_SLEEP = {"min": 0, "max": 2}


@pytest.mark.parametrize(
    ("before", "after", "running", "expected"),
    [
        (service(SMALL, BIG), service(SMALL, BIG), {}, Change.IN_PLACE),
        (service(SMALL), service(group("small", 3)), {}, Change.IN_PLACE),
        (service(group("small", 3)), service(SMALL), {"small": 3}, Change.IN_PLACE),
        (service(SMALL), service(group("small", SCALED, scaling={"metric": "rps"})), {}, Change.IN_PLACE),
        (service(SMALL), service(SMALL, BIG), {}, Change.IN_PLACE),
        (service(SMALL, BIG), service(SMALL), {}, Change.IN_PLACE),
        (service(SMALL, BIG), service(BIG, SMALL), {}, Change.IN_PLACE),
        (service(SMALL), service(group("small", commands=["other"])), {}, Change.ROLLING),
        (service(SMALL), service(group("small", image="other")), {}, Change.ROLLING),
        (service(SMALL), service(SMALL, env={"A": "2"}), {}, Change.ROLLING),
        (service(SMALL, BIG), service(SMALL, group("big")), {}, Change.ROLLING),
        (service(SMALL), service(group("little")), {}, Change.RESTART),
        (service(SMALL), service(group("little"), env={"A": "2"}), {}, Change.RESTART),
        (service(SMALL), service(BIG), {}, Change.RESTART),
        (service(SMALL, BIG), service(SMALL, group("large")), {}, Change.RESTART),
        (service(SMALL, BIG), service(group("small", 2)), {}, Change.RESTART),
        (service(group("small", SCALED)), service(group("little", SCALED)), {"small": 3}, Change.RESTART),
        (service(group("a", SCALED), BIG), service(group("a", SCALED)), {"a": 3, "big": 1}, Change.IN_PLACE),
        (service(group("small", MAY_SLEEP)), service(group("little", MAY_SLEEP)), {"small": 1}, Change.RESTART),
        (service(group("small", MAY_SLEEP)), service(group("little", MAY_SLEEP)), {}, Change.IN_PLACE),
        (service(SMALL), service(group("little", 0)), {"small": 1}, Change.IN_PLACE),
        (plain(), service(group("0")), {}, Change.IN_PLACE),
        (plain(), service(group("0", image="vllm"), image=None), {}, Change.IN_PLACE),
        (plain(), service(group("0"), BIG), {}, Change.IN_PLACE),
        (plain(), service(group("0", image="other"), image=None), {}, Change.ROLLING),
        (plain(), service(SMALL), {}, Change.RESTART),
        (service(group("0"), BIG), plain(), {}, Change.IN_PLACE),
        (service(SMALL), plain(), {}, Change.RESTART),
        (plain(None), plain(2), {}, Change.IN_PLACE),
        (plain(1), plain(0), {"0": 1}, Change.IN_PLACE),
    ],
)
def test_groups_are_known_by_their_names(
    before: dict[str, Any], after: dict[str, Any], running: dict[str, int], expected: Change
) -> None:
    assert classify_groups(replica_groups(before), replica_groups(after), running) == expected


def test_a_renamed_group_is_a_restart_and_named_group_by_group() -> None:
    current = run_json(job())
    asked = run_plan(current, {"groups": [group("little")]})
    assert asked.current_resource is not None
    spec = asked.current_resource["run_spec"]
    before = spec | {"configuration": spec["configuration"] | {"groups": [group("small")]}}
    asked.current_resource["run_spec"] = before
    part = changes.classify_service(asked)
    assert (part.change, part.keys) == (Change.RESTART, "groups.little, groups.small")
    assert part.fields == {"groups"}
