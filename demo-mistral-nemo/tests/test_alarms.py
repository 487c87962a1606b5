"""Which alarms the gateway's instances need, and which changes lead there."""

from __future__ import annotations

import json
from typing import Any

import pytest

from console.errors import ExitCode, Failure
from deploy.alarms import REMEDIES, Alarm, AlarmPlan, Instance, alarms_for, instances_of
from deploy.changes import Change
from deploy.documents.checks import first_problem
from deploy.environments import Environment
from deploy.settings import Alarms

PREFIX, REGION = "chat/gateway/", "eu-central-1"
TOPIC = f"arn:aws:sns:{REGION}:123456789012:pages"
ONE, TWO = Instance("i-1", "t3.medium"), Instance("i-2", "t3.medium")
NONE: frozenset[Alarm] = frozenset()


def alarms(*instances: Instance, topic: str | None = None, read: frozenset[Alarm] = NONE, replicas: int = 1) -> Any:
    return alarms_for(instances, PREFIX, REGION, topic, read, replicas)


def planned(read: frozenset[Alarm], wanted: frozenset[Alarm] | None) -> AlarmPlan:
    return AlarmPlan(None, None, read, wanted)  # type: ignore[arg-type]


def kinds(found: Any) -> set[str]:
    return {alarm.name.removeprefix(PREFIX) for alarm in found}


def actions(found: Any) -> dict[str, list[str]]:
    return {alarm.name.rsplit("/", 1)[-1]: alarm.to_aws()["AlarmActions"] for alarm in found}


def test_ec2_heals_two_failures_by_itself_and_the_topic_is_told_of_all() -> None:
    recover, reboot = (f"arn:aws:automate:{REGION}:ec2:{verb}" for verb in ("recover", "reboot"))
    alone = {"system": [recover], "instance": [reboot], "disk": [], "gone": [], "credits": []}
    assert actions(alarms(ONE)) == alone
    assert actions(alarms(ONE, topic=TOPIC)) == {kind: [*acts, TOPIC] for kind, acts in alone.items()}


def test_each_kind_of_alarm_has_a_remedy() -> None:
    assert kinds(alarms(ONE)) == {f"i-1/{kind}" for kind in REMEDIES}


def test_an_instance_without_values_is_gone_and_nothing_else() -> None:
    missing = {one.name.rsplit("/", 1)[-1]: one.to_aws()["TreatMissingData"] for one in alarms(ONE)}
    assert missing.pop("gone") == "breaching"
    assert set(missing.values()) == {"missing"}


def test_the_recovery_comes_before_the_reboot() -> None:
    waits = {one.name.rsplit("/", 1)[-1]: one.to_aws() for one in alarms(ONE)}
    seconds = {kind: one["Period"] * one["EvaluationPeriods"] for kind, one in waits.items()}
    assert seconds["system"] < seconds["instance"]


@pytest.mark.parametrize(("type", "burstable"), [("t3.medium", True), ("t4g.small", True), ("m7i.large", False)])
def test_only_burstable_types_have_credits(type: str, burstable: bool) -> None:
    assert ("i-1/credits" in kinds(alarms(Instance("i-1", type)))) is burstable


def test_what_cloudwatch_adds_to_an_alarm_is_no_difference() -> None:
    described = [one.to_aws() | {"StateValue": "OK", "OKActions": [], "AlarmArn": "arn"} for one in alarms(ONE)]
    assert frozenset(Alarm.of(one) for one in described) == alarms(ONE)


@pytest.mark.parametrize(
    "changed", [{"ActionsEnabled": False}, {"Threshold": 5.0}, {"AlarmActions": []}, {"MetricName": None}]
)
def test_an_alarm_that_somebody_changed_is_written_again(changed: dict[str, Any]) -> None:
    wanted = alarms(ONE)
    [system] = [one for one in wanted if one.name.endswith("/system")]
    plan = planned(wanted - {system} | {Alarm.of(system.to_aws() | changed)}, wanted)
    assert list(plan.stale_or_new) == [system]
    assert (plan.unwanted, plan.part.change) == ((), Change.IN_PLACE)


def test_another_instance_gets_alarms_and_the_old_one_loses_them() -> None:
    plan = planned(alarms(ONE), alarms(TWO, read=alarms(ONE)))
    assert kinds(plan.stale_or_new) == {f"i-2/{kind}" for kind in ("system", "instance", "disk", "gone", "credits")}
    assert len(plan.unwanted) == 5
    assert all(name.startswith(f"{PREFIX}i-1/") for name in plan.unwanted)
    assert planned(alarms(TWO), alarms(TWO)).part.change == Change.UNCHANGED


def test_the_alarm_of_a_lost_instance_stays_until_it_is_replaced() -> None:
    both = alarms(ONE, TWO)
    assert alarms(ONE, read=both, replicas=2) == both
    assert alarms(read=alarms(ONE), replicas=1) == alarms(ONE)
    assert kinds(alarms(ONE, read=both, replicas=1)) == kinds(alarms(ONE))


def test_before_the_gateway_runs_nothing_is_known() -> None:
    assert planned(NONE, None).part.change == Change.CREATE
    later = planned(alarms(ONE), None)
    assert (later.part.change, later.unwanted, later.stale_or_new) == (Change.IN_PLACE, (), NONE)
    assert kinds(later.watching(alarms(TWO)).stale_or_new) == kinds(alarms(TWO))


def test_alarms_that_were_not_shown_are_not_written() -> None:
    class Store:
        run_name = "chat"

    shown = AlarmPlan(Store(), None, NONE, alarms(ONE))  # type: ignore[arg-type]
    assert shown.watching(alarms(ONE)) == shown
    with pytest.raises(Failure, match="other instances now") as refused:
        shown.watching(alarms(TWO))
    assert refused.value.code == ExitCode.PLAN_OUTDATED


def test_instances_of_a_gateway_with_a_longer_name_are_not_ours() -> None:
    def instance(id: str, *tags: tuple[str, str]) -> dict[str, Any]:
        return {"InstanceId": id, "InstanceType": "t3.medium", "Tags": [{"Key": k, "Value": v} for k, v in tags]}

    found = [
        instance("i-2", ("dstack_name", "chat-10")),
        instance("i-1", ("dstack_name", "chat-0")),
        instance("i-3", ("dstack_name", "chat-dev-0")),
        instance("i-4", ("Name", "chat-0")),
        {"InstanceId": "i-5", "InstanceType": "t3.medium"},
    ]
    assert [one.id for one in instances_of(found, "chat")] == ["i-1", "i-2"]


@pytest.mark.parametrize(
    ("topic", "gateway", "key"),
    [
        (None, None, "alarms"),
        (None, {"backend": "gcp", "public_ip": True}, "alarms"),
        ("pages", {}, "alarms.topic"),
        ("", {}, "alarms.topic"),
        (TOPIC.replace(REGION, "us-west-2"), {}, "alarms.topic"),
        (TOPIC.replace(":sns:", ":sqs:"), {}, "alarms.topic"),
    ],
)
def test_alarms_that_could_not_work_are_refused(
    environment: Environment, topic: str | None, gateway: dict[str, Any] | None, key: str
) -> None:
    found = None if gateway is None else (environment.gateway or {}) | {"region": REGION} | gateway
    service, dns = dict(environment.service), environment.dns
    if gateway is None:
        service, dns = {**service, "replicas": 1, "gateway": None, "rate_limits": None, "https": "auto"}, None
    problem = first_problem(service, environment.fleet, found, dns, Alarms(topic=topic))
    assert problem is not None
    assert problem.key == key
    assert problem.remedy


def test_a_topic_of_the_gateways_region_is_taken(environment: Environment) -> None:
    gateway = (environment.gateway or {}) | {"region": REGION}
    assert first_problem(environment.service, environment.fleet, gateway, environment.dns, Alarms(topic=TOPIC)) is None


def test_an_alarm_is_one_line_for_people() -> None:
    text = {one.name.rsplit("/", 1)[-1]: str(one) for one in alarms(ONE, topic=TOPIC)}
    assert text["system"] == "StatusCheckFailed_System, 2 of 2 x 60 s: recover pages"
    off = Alarm("x", json.dumps(next(iter(alarms(ONE))).to_aws() | {"ActionsEnabled": False, "AlarmActions": None}))
    assert str(off).endswith("no action, actions switched off")
