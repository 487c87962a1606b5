from dataclasses import replace
from typing import Any

import pytest
from conftest import job, run_json
from planned import fleet_plan, run_plan

from console.errors import ExitCode, Failure
from deploy import guards, planning
from deploy.api import Api
from deploy.changes import Change, Difference, Part
from deploy.environments import Environment
from deploy.existing import Resource
from deploy.plans import Plan


def planned(environment: Environment, service: Change, *, offers: int = 1, fleet: Change = Change.UNCHANGED) -> Plan:
    asked = run_plan(None if service == Change.CREATE else run_json(job()), {}, offers=offers)
    difference = (Difference("replicas.min" if service == Change.IN_PLACE else "retry", None, True),)
    parts = {"fleet": Part(fleet, ()), "service": Part(service, difference)}
    return Plan(environment, parts, asked.offers, 0.0, fleet_plan("0..2"), asked)


def refusal(plan: Plan, *, allow_restart: bool = False) -> Failure | None:
    try:
        guards.refuse(plan, allow_restart=allow_restart)
    except Failure as failure:
        return failure
    return None


def test_a_protected_service_is_not_restarted_unless_allowed(environment: Environment) -> None:
    assert environment.protected
    refused = refusal(planned(environment, Change.RESTART))
    assert refused is not None
    assert refused.code == ExitCode.RESTART_REFUSED
    assert "retry" in str(refused)
    assert refusal(planned(environment, Change.RESTART), allow_restart=True) is None
    assert refusal(planned(environment, Change.ROLLING)) is None


@pytest.mark.parametrize("change", [Change.CREATE, Change.ROLLING])
def test_nothing_is_touched_when_there_is_no_offer(environment: Environment, change: Change) -> None:
    refused = refusal(planned(environment, change, offers=0))
    assert refused is not None
    assert refused.code == ExitCode.NO_CAPACITY
    assert ("the service keeps running" in str(refused)) == (change == Change.ROLLING)


def test_a_deploy_that_only_the_limit_keeps_from_its_offers_names_the_cheapest(environment: Environment) -> None:
    limited = replace(environment, max_price_per_hour=0.39)
    refused = refusal(replace(planned(limited, Change.CREATE, offers=0), cheapest_over_limit=0.4))
    assert refused is not None
    assert refused.code == ExitCode.NO_CAPACITY
    assert "the cheapest offer is $0.40 an hour, max_price_per_hour is 0.39" in str(refused)
    assert refusal(replace(planned(limited, Change.IN_PLACE, offers=0), cheapest_over_limit=0.4)) is None


def test_what_narrows_the_offers_is_named_where_there_is_none(environment: Environment) -> None:
    narrow = replace(environment, service=environment.service | {"regions": ["eu-1"], "instance_types": ["x"]})
    refused = refusal(planned(narrow, Change.CREATE, offers=0))
    assert refused is not None
    assert "service.resources with service.regions, service.instance_types" in str(refused)


REMOVED = Resource("gateway", "x", "running, 1 of 1 replicas running, 10.0.0.5")


def test_a_protected_environment_loses_nothing_unless_allowed(environment: Environment) -> None:
    plan = replace(planned(environment, Change.UNCHANGED), removals=(REMOVED,))
    refused = refusal(plan)
    assert refused is not None
    assert refused.code == ExitCode.REMOVAL_REFUSED
    assert "gateway x" in str(refused)
    guards.refuse(plan, allow_restart=False, allow_removal=True)
    guards.refuse(replace(plan, environment=replace(environment, protected=False)), allow_restart=False)
    assert (plan.changes, plan.exit_code) == (True, ExitCode.INTERRUPTING_CHANGES)


@pytest.mark.parametrize(
    ("replicas", "running", "rented"),
    [(0, 0, 0), ("0..2", 0, 0), ("0..2", 1, 1), (0, 1, 0), ("1..2", 0, 1)],
)
def test_a_sleeping_service_rents_nothing(environment: Environment, replicas: Any, running: int, rented: int) -> None:
    asleep = replace(environment, service=environment.service | {"replicas": replicas})
    asked = run_plan(run_json(*(job(replica=number) for number in range(running))), {}, offers=0)
    parts = {"fleet": Part(Change.UNCHANGED), "service": Part(Change.ROLLING)}
    plan = Plan(asleep, parts, [], 0.0, fleet_plan("0..2"), asked)
    assert (plan.new_replicas, plan.needs_machine) == (rented, rented > 0)


@pytest.mark.parametrize("change", [Change.UNCHANGED, Change.IN_PLACE])
def test_what_needs_no_machine_needs_no_offer(environment: Environment, change: Change) -> None:
    assert refusal(planned(environment, change, offers=0)) is None


def test_one_replica_more_takes_a_machine_although_none_is_replaced(environment: Environment) -> None:
    two = replace(environment, service=environment.service | {"replicas": 2})
    refused = refusal(planned(two, Change.IN_PLACE, offers=0))
    assert refused is not None
    assert refused.code == ExitCode.NO_CAPACITY
    assert planned(two, Change.IN_PLACE).price_change == 0.4
    assert not planned(two, Change.UNCHANGED).needs_machine  # dstack itself replaces what was lost
    registered = planned(two, Change.IN_PLACE, offers=0)
    registered.parts["service"] = Part(Change.IN_PLACE, (Difference("gateway", "x", "main/x"),))
    assert not registered.needs_machine


def test_offers_that_dstack_would_not_try_are_no_offers() -> None:
    asked = run_plan(None, {})
    asked.listed[0].availability = "no_quota"
    assert asked.offers == []


@pytest.mark.parametrize(
    ("fleet", "service", "code"),
    [
        (Change.UNCHANGED, Change.UNCHANGED, 0),
        (Change.IN_PLACE, Change.UNCHANGED, ExitCode.CHANGES),
        (Change.UNCHANGED, Change.ROLLING, ExitCode.CHANGES),
        (Change.UNCHANGED, Change.RESTART, ExitCode.INTERRUPTING_CHANGES),
        (Change.RESTART, Change.RESTART, ExitCode.INTERRUPTING_CHANGES),
    ],
)
def test_the_plan_says_by_exit_code_what_it_found(
    environment: Environment, fleet: Change, service: Change, code: int
) -> None:
    assert planned(environment, service, fleet=fleet).exit_code == code


def priced(environment: Environment, change: Change, replicas: Any, running: int, offers: int = 1) -> float | None:
    """The change of price when `running` replicas at 0.40 have offers at 0.40 or, for a new card, 0.90."""
    environment.service["replicas"] = replicas
    current = run_json(*(job(replica=number) for number in range(running)))
    asked = run_plan(current if running else None, {}, offers=offers)
    for one in asked.listed:
        one.price = 0.9 if change == Change.ROLLING else 0.4
    parts = {"fleet": Part(Change.UNCHANGED), "service": Part(change, (Difference("replicas.min", None, replicas),))}
    return Plan(environment, parts, asked.offers, 0.4 * running, fleet_plan("0..2"), asked).price_change


@pytest.mark.parametrize(
    ("change", "replicas", "running", "expected"),
    [
        (Change.UNCHANGED, 2, 1, 0.0),  # one is being replaced
        (Change.CREATE, "2..4", 0, 0.8),
        (Change.IN_PLACE, 3, 1, 0.8),
        (Change.IN_PLACE, 1, 3, -0.8),
        (Change.IN_PLACE, "1..4", 3, 0.0),
        (Change.ROLLING, "1..4", 3, 1.5),
        (Change.RESTART, 1, 1, 0.0),
    ],
)
def test_the_plan_says_what_a_deploy_adds_to_the_price(
    environment: Environment, change: Change, replicas: Any, running: int, expected: float
) -> None:
    assert priced(environment, change, replicas, running) == pytest.approx(expected)


def test_nobody_knows_the_price_of_a_replica_without_an_offer(environment: Environment) -> None:
    assert priced(environment, Change.ROLLING, 1, 1, offers=0) is None
    assert priced(environment, Change.IN_PLACE, 1, 2, offers=0) == pytest.approx(-0.4)


def test_a_protected_service_is_destroyed_only_when_that_is_allowed(environment: Environment) -> None:
    with pytest.raises(Failure, match="--allow-outage") as refused:
        guards.refuse_outage(environment, allowed=False)
    assert refused.value.code == ExitCode.RESTART_REFUSED
    guards.refuse_outage(environment, allowed=True)
    guards.refuse_outage(replace(environment, protected=False), allowed=False)


@pytest.mark.parametrize(
    ("machines", "releasing"),
    [
        (["busy"], False),
        (["busy", "terminated"], False),
        (["busy", "terminating"], True),
        (["busy", "busy"], True),  # of a replica that crashed: dstack still takes it for busy
        ([], False),
    ],
)
def test_a_machine_that_no_replica_keeps_is_being_released(
    environment: Environment, machines: list[str], releasing: bool
) -> None:
    plan = planned(environment, Change.ROLLING)
    assert plan.fleet_plan.current_resource is not None
    plan.fleet_plan.current_resource["instances"] = [{"status": status} for status in machines]
    assert plan.releasing == releasing


@pytest.mark.parametrize("released", [True, False])
def test_a_plan_waits_for_the_place_of_a_machine_that_is_being_released(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, released: bool
) -> None:
    """A full fleet has no offers, and a plan without offers would be refused."""
    full = planned(environment, Change.ROLLING, offers=0)
    assert full.fleet_plan.current_resource is not None
    full.fleet_plan.current_resource["instances"] = [{"status": "busy"}, {"status": "busy"}]
    answers = [full, full, planned(environment, Change.ROLLING, offers=1 if released else 0)]
    monkeypatch.setattr(planning, "_ask", lambda *_, **__: answers.pop(0))
    monkeypatch.setattr("time.sleep", lambda _: None)
    said: list[str] = []
    plan = planning.make(Api(environment), environment, said.append, gateway=False)
    assert said == ["waiting for a machine that is being released"] * 2
    assert answers == []
    assert (refusal(plan) is None) == released
