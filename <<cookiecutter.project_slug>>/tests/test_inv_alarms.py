"""`inv alarms.…`, and the alarms in `inv plan`, `inv deploy`, `inv destroy` and `inv setup.aws`."""

from __future__ import annotations

from typing import Any

import pytest
from person import Person

from console.errors import ExitCode

PROD = ("--env", "prod")
KINDS = ["credits", "disk", "gone", "instance", "system"]


@pytest.fixture
def watched(person: Person) -> Person:
    """A person whose `prod` is deployed with alarms; its gateway has one instance, i-1."""
    person.write("prod", alarms={})
    person.records.instances = {f"{name(person)}-0": "i-1", f"{name(person)}-dev-0": "i-9"}
    done = person.inv("deploy", "--yes", *PROD)
    assert done.code == 0, done.errors
    person.records.made.clear()
    return person


def name(person: Person) -> str:
    return person.environment("prod").run_name


def of(person: Person, instance: str) -> list[str]:
    return [f"{name(person)}/gateway/{instance}/{kind}" for kind in KINDS]


def foreign(person: Person, kind: str, instance: str = "i-1") -> str:
    """An alarm that somebody made by hand, under a name as the service's alarms have it."""
    written = f"{name(person)}/gateway/{instance}/{kind}"
    person.records._put_metric_alarm({"AlarmName": written, "AlarmActions": [], "ActionsEnabled": True, "Tags": []})
    return written


def plan(person: Person) -> Any:
    done = person.inv("plan", "--json", *PROD)
    assert done.code == 0, done.errors
    return done.json


def test_a_deploy_makes_the_alarms_and_a_second_one_changes_nothing(watched: Person) -> None:
    assert sorted(watched.records.alarms) == of(watched, "i-1")
    assert plan(watched)["alarms"] == {"change": "unchanged", "differences": []}
    assert watched.inv("deploy", *PROD).code == 0
    assert watched.records.made == []


def test_before_the_first_deploy_they_are_planned_as_new(person: Person) -> None:
    person.write("prod", alarms={})
    assert plan(person)["alarms"]["change"] == "create"
    assert not person.records.alarms


def test_another_instance_is_drift_and_the_next_deploy_follows(watched: Person) -> None:
    watched.records.instances[f"{name(watched)}-0"] = "i-2"
    drift = watched.inv("plan", "--detailed-exitcode", *PROD)
    assert drift.code == ExitCode.CHANGES
    assert f"alarms {name(watched)}: in place" in drift.output
    assert watched.inv("alarms.apply", "--dry-run", *PROD).code == 0
    assert watched.records.made == []
    assert watched.inv("deploy", "--yes", *PROD).code == 0
    assert sorted(watched.records.alarms) == of(watched, "i-2")


def test_a_lost_instance_keeps_its_alarms(watched: Person) -> None:
    watched.records.instances.clear()
    assert watched.inv("alarms.apply", *PROD).code == 0
    assert sorted(watched.records.alarms) == of(watched, "i-1")


def test_a_topic_is_written_into_every_alarm(watched: Person) -> None:
    topic = f"arn:aws:sns:{watched.environment('prod').gateway['region']}:123456789012:pages"  # type: ignore[index]
    watched.write("prod", alarms={"topic": topic})
    assert watched.inv("alarms.apply", *PROD).code == 0
    assert all(topic in alarm["AlarmActions"] for alarm in watched.records.alarms.values())


def test_alarms_are_shown_with_their_states(watched: Person) -> None:
    watched.records.alarms[of(watched, "i-1")[-1]]["StateValue"] = "ALARM"
    shown = watched.inv("alarms.show", "--json", *PROD).json
    assert {one["name"].rsplit("/", 1)[-1]: one["state"] for one in shown}["system"] == "ALARM"
    assert [one["name"] for one in shown] == of(watched, "i-1")
    assert "system: ALARM since 2026-11-01" in watched.inv("alarms.show", *PROD).output.replace("\n", " ")


def test_the_status_shows_an_alarm_that_has_gone_off_and_what_to_do(watched: Person) -> None:
    assert watched.inv("status", "--json", *PROD).json["alarms"] == []
    watched.records.alarms[of(watched, "i-1")[KINDS.index("gone")]]["StateValue"] = "ALARM"
    other = foreign(watched, "mine")
    watched.records.alarms[other]["StateValue"] = "ALARM"
    [alarm] = watched.inv("status", "--json", *PROD).json["alarms"]
    assert alarm["name"] == f"{name(watched)}/gateway/i-1/gone"
    shown = " ".join(watched.inv("status", *PROD).output.split())
    assert "gateway instance i-1: it is stopped, terminated or failed since 2026-11-01" in shown
    assert "docs/production.md says how to replace it" in shown
    assert "system" not in shown
    assert other not in shown


def test_without_an_answer_of_aws_the_status_says_once_that_the_alarms_are_not_known(watched: Person) -> None:
    watched.records.refusing = {"DescribeAlarms": "AccessDenied"}
    done = watched.inv("status", "--json", *PROD)
    assert (done.code, done.json["alarms"]) == (0, None)
    assert done.errors.count("are not verified") == 1
    assert "policies/alarms.json" in done.errors
    watched.write("prod", alarms=None)
    done = watched.inv("status", "--json", *PROD)
    assert (done.json["alarms"], "not verified" in done.errors) == ([], False)


def test_somebody_elses_alarm_is_neither_shown_nor_deleted(watched: Person) -> None:
    other = foreign(watched, "mine")
    assert other not in [one["name"] for one in watched.inv("alarms.show", "--json", *PROD).json]
    assert plan(watched)["alarms"]["change"] == "unchanged"
    assert watched.inv("destroy", "--yes", "--allow-outage", *PROD).code == 0
    assert list(watched.records.alarms) == [other]


def test_somebody_elses_alarm_is_never_replaced(person: Person) -> None:
    person.write("prod", alarms={})
    person.records.instances = {f"{name(person)}-0": "i-1"}
    other = foreign(person, "system")
    done = person.inv("deploy", "--yes", *PROD)
    assert done.code == ExitCode.ACCOUNT_REFUSED
    assert f"the alarm {other} exists" in done.errors
    assert list(person.records.alarms) == [other]


def test_alarms_that_another_command_of_the_service_writes_meanwhile_are_no_obstacle(
    watched: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.cloudwatch.AlarmStore.read", lambda store: frozenset())  # it read before they existed
    done = watched.inv("alarms.apply", *PROD)
    assert done.code == 0, done.errors
    assert sorted(watched.records.alarms) == of(watched, "i-1")


def test_alarms_that_the_file_no_longer_has_are_removed_without_an_outage(watched: Person) -> None:
    watched.write("prod", alarms=None)
    found = plan(watched)
    assert ([one["kind"] for one in found["removals"]], found["interrupts"]) == (["alarms"], False)
    assert watched.inv("deploy", "--yes", *PROD).code == ExitCode.REMOVAL_REFUSED
    assert watched.inv("deploy", "--yes", "--allow-removal", *PROD).code == 0
    assert not watched.records.alarms


def test_they_are_deleted_alone_or_with_the_gateway(watched: Person) -> None:
    assert watched.inv("alarms.delete", *PROD, typed="n\n").code == ExitCode.DECLINED
    assert watched.inv("alarms.delete", "--yes", *PROD).code == 0
    assert not watched.records.alarms
    assert watched.inv("alarms.delete", "--yes", *PROD).code == 0
    assert watched.inv("alarms.apply", *PROD).code == 0
    assert watched.inv("gateway.destroy", "--yes", "--allow-outage", *PROD).code == 0
    assert not watched.records.alarms


def test_without_a_gateway_there_is_nothing_to_watch(person: Person) -> None:
    person.write("prod", alarms={})
    done = person.inv("alarms.apply", *PROD)
    assert done.code == ExitCode.GATEWAY_FAILED
    assert "gateway.status" in done.errors
    for task in ("apply", "show"):
        done = person.inv(f"alarms.{task}")
        assert done.code == (0 if task == "apply" else ExitCode.SETTINGS_INVALID)
        assert "Traceback" not in done.errors


@pytest.mark.parametrize("operation", ["DescribeAlarms", "ListTagsForResource", "DescribeInstances"])
@pytest.mark.parametrize("code", ["AccessDenied", "Throttling"])
def test_a_refusal_of_aws_is_one_line(watched: Person, operation: str, code: str) -> None:
    watched.records.refusing = {operation: code}
    for task in ("plan", "alarms.apply"):
        done = watched.inv(task, *PROD)
        assert done.code == ExitCode.ACCOUNT_REFUSED
        assert f"({code})" in done.errors
        assert "Traceback" not in done.errors
        assert ("policies/alarms.json" in done.errors) is (code == "AccessDenied")


def test_a_refusal_in_the_middle_is_continued(watched: Person) -> None:
    watched.records.instances[f"{name(watched)}-0"] = "i-2"
    watched.records.refusing = {"DeleteAlarms": "Throttling"}
    assert watched.inv("alarms.apply", *PROD).code == ExitCode.ACCOUNT_REFUSED
    watched.records.refusing = {}
    assert watched.inv("alarms.apply", *PROD).code == 0
    assert sorted(watched.records.alarms) == of(watched, "i-2")


def test_who_may_not_read_alarms_that_no_file_asks_for_deploys_all_the_same(person: Person) -> None:
    person.records.refusing = {"DescribeAlarms": "AccessDenied"}
    done = person.inv("deploy", "--yes", *PROD)
    assert done.code == 0, done.errors
    assert "were not looked for" in done.errors


def test_destroy_says_what_it_could_not_look_for(watched: Person) -> None:
    watched.records.refusing = {"DescribeAlarms": "AccessDenied"}
    done = watched.inv("destroy", "--yes", "--allow-outage", *PROD)
    assert done.code == ExitCode.ACCOUNT_REFUSED
    assert "not known whether they exist" in done.output
    assert not watched.dstack.gateways


def test_setup_gives_the_deploying_role_the_alarms_policy(person: Person) -> None:
    person.write("prod", alarms={})
    setup = ("setup.aws", "--repository", "acme@1/nemo@2", "--yes", *PROD)
    assert person.inv(*setup).code == 0
    policies = person.records.policies[f"{name(person)}-dns"]
    assert set(policies) == {"dns", "recover", "alarms"}
    assert "TOPIC_ARN" not in str(policies)
    assert f":alarm:{name(person)}/gateway/*" in str(policies["alarms"])
    person.records.made.clear()
    assert person.inv("doctor", *PROD).code == 0
    del policies["alarms"]
    lacking = person.inv("doctor", *PROD)
    assert lacking.code == ExitCode.ACCOUNT_INCOMPLETE
    assert "policies/alarms.json" in lacking.output + lacking.errors
    assert person.inv(*setup).code == 0
    assert person.records.made == ["PutRolePolicy"]
