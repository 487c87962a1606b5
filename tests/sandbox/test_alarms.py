"""CloudWatch's alarms in the sandbox: which state they have, what they do then, which ones are refused.

Alarms of real hosts are in tests/end_to_end/test_alarms.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from sandbox import Sandbox, SandboxError
from sandbox.aws.alarms.actions import AlarmActions, read
from sandbox.aws.alarms.evaluation import MISSING, Rule, State
from sandbox.aws.alarms.samples import METRICS, Values, values
from sandbox.aws.alarms.watch import AlarmWatch
from sandbox.aws.vpc.status_checks import StatusChecks
from tests.end_to_end.account import REGION, client

RECOVER, REBOOT = (f"arn:aws:automate:{REGION}:ec2:{action}" for action in ("recover", "reboot"))
GOOD: dict[str, Any] = {
    "AlarmName": "chat/gateway/i-1/system",
    "Namespace": "AWS/EC2",
    "MetricName": "StatusCheckFailed_System",
    "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}],
    "ComparisonOperator": "GreaterThanOrEqualToThreshold",
    "Threshold": 1,
    "Statistic": "Maximum",
    "Period": 60,
    "EvaluationPeriods": 2,
    "AlarmActions": [RECOVER],
}

# ---- Which state an alarm has ----

# The two tables of "Configuring how CloudWatch alarms treat missing data" in the CloudWatch user guide. Columns: the
# last five periods, and the state for `missing`, `ignore`, `breaching`, `notBreaching`; "-" keeps the state.
THREE_OF_THREE = """
0 - X - X   OK                 OK     OK     OK
0 - - - -   OK                 OK     OK     OK
- - - - -   INSUFFICIENT_DATA  -      ALARM  OK
0 X X - X   ALARM              ALARM  ALARM  ALARM
- - - - X   INSUFFICIENT_DATA  -      ALARM  OK
X - - - -   ALARM              -      ALARM  OK
"""
TWO_OF_THREE = """
0 - X - X   ALARM              ALARM  ALARM  ALARM
0 0 X 0 X   ALARM              ALARM  ALARM  ALARM
0 - X - -   OK                 OK     ALARM  OK
- - - - 0   OK                 OK     ALARM  OK
- - - - X   INSUFFICIENT_DATA  -      ALARM  OK
"""
VALUES = {"0": 0.0, "X": 1.0, "-": None}


def rows(table: str, breaching: int) -> Iterator[Any]:
    for line in table.strip().splitlines():
        periods, *states = re.split(r"\s{2,}", line)
        for missing, state in zip(MISSING, states, strict=True):
            yield pytest.param(breaching, periods, missing, state, id=f"{breaching} of 3, {periods}, {missing}")


@pytest.mark.parametrize(
    ("breaching", "periods", "missing", "state"), [*rows(THREE_OF_THREE, 3), *rows(TWO_OF_THREE, 2)]
)
@pytest.mark.parametrize("now", ["OK", "ALARM"])
def test_missing_values_are_treated_as_the_guide_of_aws_says(
    breaching: int, periods: str, missing: Any, state: str, now: State
) -> None:
    rule = Rule("i-1", METRICS[0], periods=3, breaching=breaching, missing=missing)
    assert rule.state([VALUES[each] for each in periods.split()], now) == (now if state == "-" else state)


@pytest.mark.parametrize(
    ("comparison", "value", "state"),
    [
        ("GreaterThanOrEqualToThreshold", 10.0, "ALARM"),
        ("GreaterThanThreshold", 10.0, "OK"),
        ("LessThanThreshold", 10.0, "OK"),
        ("LessThanThreshold", 9.0, "ALARM"),
        ("LessThanOrEqualToThreshold", 10.0, "ALARM"),
    ],
)
def test_a_value_is_compared_as_the_alarm_says(comparison: str, value: float, state: State) -> None:
    assert Rule("i-1", METRICS[0], comparison=comparison, threshold=10).state([value], "OK") == state


@pytest.mark.parametrize(("statistic", "state"), [("Maximum", "ALARM"), ("Minimum", "OK"), ("Average", "OK")])
def test_a_period_of_five_minutes_has_one_value(statistic: str, state: State) -> None:
    rule = Rule("i-1", METRICS[0], period=300, statistic=statistic)
    assert rule.state([0, 0, 0, 1, 0], "OK") == state
    assert rule.state([0, 0, 0, 1, 0, 0, 0, 0, 0, 0], "OK") == "OK"  # the bad minute is in the period before


# ---- The watch ----


class Stored:
    """An alarm, and the states that it has had."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.states: list[State] = ["INSUFFICIENT_DATA"]
        self.reason = ""

    @property
    def state(self) -> State:
        return self.states[-1]

    def change(self, state: State, reason: str) -> None:
        self.states.append(state)
        self.reason = reason


def test_an_alarm_follows_its_instance_and_tells_a_change_once() -> None:
    bad, minute = StatusChecks(instance=True), dict[str, dict[str, float]]()
    alarms = [Stored(Rule("i-1", "StatusCheckFailed_Instance", periods=2, breaching=2, missing="missing"))]
    alarms += [Stored(Rule("i-1", "StatusCheckFailed", periods=3, breaching=2, missing="breaching"))]
    alarms += [Stored(Rule("i-1", "StatusCheckFailed_System"))]
    watch = AlarmWatch(1, lambda: cast(Values, dict(minute)), lambda: alarms)
    for found in [StatusChecks(), bad, bad, bad, StatusChecks()]:
        minute["i-1"] = values(found, None)
        watch.pass_minute()
    hangs, failed, system = alarms
    assert hangs.states == ["INSUFFICIENT_DATA", "OK", "ALARM", "OK"]
    assert "StatusCheckFailed_Instance of i-1" in hangs.reason
    assert failed.states[:2] == ["INSUFFICIENT_DATA", "ALARM"]  # two periods before the first value count as bad
    assert system.states == ["INSUFFICIENT_DATA", "OK"]


def test_an_instance_that_is_gone_has_no_values() -> None:
    """The oldest period that is looked at is the fifth, so its last good values count for some minutes more."""
    gone, hangs = (Stored(Rule("i-1", METRICS[0], 60, 3, 2, missing=each)) for each in ("breaching", "missing"))
    minute: dict[str, dict[str, float]] = {"i-1": values(StatusChecks(), 400)}
    watch = AlarmWatch(1, lambda: cast(Values, dict(minute)), lambda: [gone, hangs])
    for _ in range(5):
        watch.pass_minute()
    minute.clear()
    seen = []
    for _ in range(5):
        watch.pass_minute()
        seen.append((gone.state, hangs.state))
    assert seen == [("OK", "OK")] * 3 + [("ALARM", "OK"), ("ALARM", "INSUFFICIENT_DATA")]


@pytest.mark.parametrize(
    ("checks", "failed"),
    [
        (StatusChecks(), set()),
        (StatusChecks(initializing=True), set()),
        (StatusChecks(system=True, instance=True), {METRICS[0], METRICS[1], METRICS[2]}),
        (StatusChecks(disk=True), {METRICS[0], METRICS[3]}),
    ],
)
def test_each_check_has_a_metric(checks: StatusChecks, failed: set[str]) -> None:
    assert {name for name, value in values(checks, None).items() if value} == failed
    assert values(checks, 3.5)["CPUCreditBalance"] == 3.5


# ---- What an alarm does ----


def test_actions_are_logged_with_what_became_of_them(tmp_path: Path) -> None:
    file, done = tmp_path / "notifications.jsonl", list[str]()

    def fail(instance: str) -> None:
        raise SandboxError(f"no host {instance}")

    topic = f"arn:aws:sns:{REGION}:123456789012:pages"
    actions = AlarmActions(file, {"recover": done.append, "reboot": fail}, lambda arn: arn == topic)
    assert read(file) == []
    for action in (RECOVER, REBOOT, topic, f"{topic}-not"):
        actions.perform(action, "chat/system", "i-1", "ALARM", "OK", "it failed")
    with file.open("a") as stream:
        stream.write('{"time": 1')  # a line that is being written
    found = read(file)
    assert done == ["i-1"]
    assert [one.outcome for one in found] == ["done", "no host i-1", "done", f"there is no topic {topic}-not"]
    assert {(one.alarm, one.state, one.before, one.reason) for one in found} == {
        ("chat/system", "ALARM", "OK", "it failed")
    }


# ---- What is refused, and what moto keeps ----


@pytest.fixture(scope="module")
def account() -> Iterator[Sandbox]:
    with Sandbox(server=False, aws=True, alarm_speed=600) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def cloudwatch(account: Sandbox) -> Iterator[Any]:
    made = client("cloudwatch", account.aws.environ)
    yield made
    made.close()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"Namespace": "AWS/ECS"}, "only metrics of AWS/EC2"),
        ({"MetricName": "CPUUtilization"}, "no metric CPUUtilization"),
        ({"Dimensions": []}, "one InstanceId"),
        ({"Dimensions": [{"Name": "ImageId", "Value": "ami-1"}]}, "one InstanceId"),
        ({"ComparisonOperator": "GreaterThanUpperThreshold"}, "does not compare"),
        ({"TreatMissingData": "good"}, "TreatMissingData"),
        ({"Period": 10}, "Period 10"),
        ({"Period": 3600, "EvaluationPeriods": 25}, "more than a day"),
        ({"DatapointsToAlarm": 3}, "more than EvaluationPeriods"),
        ({"AlarmActions": ["recover"]}, "Invalid arn syntax"),
        ({"AlarmActions": ["arn:aws:automate:us-east-1:ec2:recover"]}, "Invalid region us-east-1"),
        ({"AlarmActions": ["arn:aws:sns:us-east-1:123456789012:pages"]}, "Invalid region us-east-1"),
        ({"AlarmActions": [f"arn:aws:automate:{REGION}:ec2:terminate"]}, "does not emulate"),
        ({"OKActions": ["nonsense"]}, "Invalid arn syntax"),
        ({"MetricName": "StatusCheckFailed_Instance"}, "recover action is allowed for StatusCheckFailed_System only"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_an_alarm_that_could_not_work_is_refused(cloudwatch: Any, changed: dict[str, Any], reason: str) -> None:
    with pytest.raises(ClientError, match=reason) as refused:
        cloudwatch.put_metric_alarm(**GOOD | {"AlarmName": "refused"} | changed)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
    assert cloudwatch.describe_alarms(AlarmNames=["refused"])["MetricAlarms"] == []


def test_a_new_alarm_has_no_state_and_an_updated_one_keeps_its_own_with_its_tags(cloudwatch: Any) -> None:
    def stored() -> Any:
        [found] = cloudwatch.describe_alarms(AlarmNames=["kept"])["MetricAlarms"]
        tags = cloudwatch.list_tags_for_resource(ResourceARN=found["AlarmArn"])["Tags"]
        return found["StateValue"], found["EvaluationPeriods"], [tag["Value"] for tag in tags]

    alarm = GOOD | {"AlarmName": "kept", "TreatMissingData": "ignore", "AlarmActions": []}
    cloudwatch.put_metric_alarm(**alarm, Tags=[{"Key": "owner", "Value": "first"}])
    assert stored() == ("INSUFFICIENT_DATA", 2, ["first"])
    cloudwatch.set_alarm_state(AlarmName="kept", StateValue="OK", StateReason="a test")
    cloudwatch.put_metric_alarm(**alarm | {"EvaluationPeriods": 3}, Tags=[{"Key": "owner", "Value": "second"}])
    assert stored() == ("OK", 3, ["first"])
    cloudwatch.delete_alarms(AlarmNames=["kept"])


def test_alarms_are_found_by_name_and_state(cloudwatch: Any) -> None:
    for name, state in (("one/a", "ALARM"), ("one/b", "OK"), ("two/a", "ALARM")):
        cloudwatch.put_metric_alarm(**GOOD | {"AlarmName": name, "TreatMissingData": "ignore", "AlarmActions": []})
        cloudwatch.set_alarm_state(AlarmName=name, StateValue=state, StateReason="a test")
    found = cloudwatch.describe_alarms(AlarmNamePrefix="one/", StateValue="ALARM")["MetricAlarms"]
    assert [one["AlarmName"] for one in found] == ["one/a"]
    cloudwatch.delete_alarms(AlarmNames=["one/a", "one/b", "two/a"])


def test_an_alarm_acts_when_somebody_sets_its_state(account: Sandbox, cloudwatch: Any) -> None:
    sns = client("sns", account.aws.environ)
    topic = sns.create_topic(Name="pages")["TopicArn"]
    sns.close()
    for enabled in (False, True):
        tested = GOOD | {
            "AlarmName": f"tested-{enabled}",
            "TreatMissingData": "ignore",
            "AlarmActions": [RECOVER, topic],
        }
        cloudwatch.put_metric_alarm(**tested, ActionsEnabled=enabled)
        for _ in range(2):  # the second time nothing changes
            cloudwatch.set_alarm_state(AlarmName=tested["AlarmName"], StateValue="ALARM", StateReason="a test")
        cloudwatch.delete_alarms(AlarmNames=[tested["AlarmName"]])
    recovered, told = account.aws.notifications()
    assert (told.alarm, told.before, told.state) == ("tested-True", "INSUFFICIENT_DATA", "ALARM")
    assert (told.action, told.outcome, recovered.action) == (topic, "done", RECOVER)
    assert recovered.outcome != "done"  # there is no such instance


def test_a_speed_that_stands_still_is_refused() -> None:
    with pytest.raises(SandboxError, match="speed"):
        Sandbox(aws=True, alarm_speed=0)
