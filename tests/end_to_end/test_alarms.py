"""The alarms of a gateway's instance, with a real host: it is recovered, rebooted, or somebody is told that it is gone.

A minute of the alarms takes SPEED-th of a minute here; the hosts are as slow as ever.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sandbox import Notification, Sandbox
from tests.end_to_end.account import client
from tests.end_to_end.behind import Behind, alive, need_hosts
from tests.sandbox.deployment import wait_for

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # boto3 leaves connections to the collector
]
SPEED = 30
KINDS = {"system", "instance", "disk", "gone", "credits"}
EC2 = "arn:aws:automate:eu-central-1:ec2:"
Measure = Callable[[str, object], None]


@pytest.fixture(scope="module")
def vpc() -> Iterator[Sandbox]:
    with Sandbox(aws=True, load_seconds=1, alarm_speed=SPEED) as running:
        need_hosts(running)
        yield running


@pytest.fixture(scope="module")
def topic(vpc: Sandbox) -> str:
    sns = client("sns", vpc.aws.environ)
    return str(sns.create_topic(Name="pages")["TopicArn"])


@pytest.fixture(scope="module")
def watched(project: Path, vpc: Sandbox, topic: str) -> Behind:
    """A service behind a gateway with alarms; all of them have seen that its instance is well."""
    environment = Behind(project, vpc, "watched")
    environment.settle()
    environment.write(alarms={"topic": topic})
    environment.deploy()
    [instance] = environment.gateways
    wait_for(lambda: set(states(environment, instance).values()) == {"OK", "INSUFFICIENT_DATA"}, 60)
    return environment


def states(environment: Behind, instance: str) -> dict[str, str]:
    """The state of each alarm of the instance, by its kind, as `inv alarms.show` prints it."""
    shown = environment.inv("alarms.show", "--json")
    assert shown.returncode == 0, shown.stderr
    prefix = f"{environment.run_name}/gateway/{instance}/"
    return {one["name"].removeprefix(prefix): one["state"] for one in json.loads(shown.stdout)}


def acted(done: list[Notification]) -> list[tuple[str, str]]:
    """The kind of the alarm and the action of each thing that EC2 did."""
    return [(one.alarm.rsplit("/", 1)[-1], one.action.removeprefix(EC2)) for one in done if one.action.startswith(EC2)]


def told(done: list[Notification], topic: str) -> set[str]:
    """The kinds of the alarms that the topic was told of."""
    return {one.alarm.rsplit("/", 1)[-1] for one in done if (one.action, one.outcome) == (topic, "done")}


def healed(environment: Behind, measure: Measure) -> list[Notification]:
    """Wait until the service answers by name again; return what the alarms have done by then."""
    began, before = time.time(), len(environment.sandbox.aws.notifications())
    assert "stand-in" not in environment.ask_by_name()
    wait_for(lambda: "stand-in" in environment.ask_by_name(), 180)
    done = environment.sandbox.aws.notifications()[before:]
    measure("seconds without answers", round(time.time() - began, 1))
    for one in done:
        measure(f"seconds until {one.alarm.rsplit('/', 1)[-1]} acts", round(one.time - began, 1))
    return done


@pytest.fixture
def measure(record_property: Measure) -> Measure:
    """Record a number of seconds, and print it."""

    def keep(name: str, value: object) -> None:
        record_property(name, value)
        print(f"{name}: {value} (a minute of the alarms is {60 / SPEED:g} s)")

    return keep


def test_a_deploy_makes_alarms_that_see_a_healthy_instance(watched: Behind) -> None:
    [instance] = watched.gateways
    assert states(watched, instance) == dict.fromkeys(KINDS - {"credits"}, "OK") | {"credits": "INSUFFICIENT_DATA"}
    assert watched.sandbox.aws.notifications() == []
    assert watched.inv("plan", "--detailed-exitcode").returncode == 0


def test_a_host_without_power_is_recovered_at_its_address(watched: Behind, topic: str, measure: Measure) -> None:
    before = watched.gateways
    [instance] = before
    watched.sandbox.aws.power_loss(instance, lasting=True)
    done = healed(watched, measure)
    assert acted(done) == [("system", "recover")]
    assert {"system", "gone"} >= told(done, topic) >= {"system"}
    assert watched.gateways == before
    assert watched.inv("plan", "--detailed-exitcode").returncode == 0


def test_a_host_that_hangs_is_rebooted(watched: Behind, topic: str, measure: Measure) -> None:
    before = watched.gateways
    [instance] = before
    watched.sandbox.aws.hang(instance)
    done = healed(watched, measure)
    assert acted(done) == [("instance", "reboot")]
    assert {"instance", "gone"} >= told(done, topic) >= {"instance"}
    assert watched.gateways == before


def test_a_terminated_instance_is_told_and_shown_until_it_is_replaced(
    watched: Behind, topic: str, measure: Measure
) -> None:
    [instance] = watched.gateways
    wait_for(lambda: states(watched, instance)["gone"] == "OK", 60)
    before = len(watched.sandbox.aws.notifications())
    watched.sandbox.aws.terminate(instance)
    began = time.time()
    wait_for(lambda: watched.sandbox.aws.notifications()[before:], 60)
    [gone] = watched.sandbox.aws.notifications()[before:]
    measure("seconds until gone acts", round(gone.time - began, 1))
    assert (acted([gone]), told([gone], topic)) == ([], {"gone"})
    wait_for(lambda: states(watched, instance)["system"] == "INSUFFICIENT_DATA", 60)
    assert states(watched, instance)["gone"] == "ALARM"
    assert [one["name"].rsplit("/", 1)[-1] for one in watched.status()["alarms"]] == ["gone"]
    assert alive(watched.sandbox) == []
