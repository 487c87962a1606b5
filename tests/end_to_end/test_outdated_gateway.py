"""A colleague changes gateway or records after a plan was shown and before it is confirmed: nothing is applied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.account import client
from tests.end_to_end.behind import Behind, alive
from tests.end_to_end.project import refused

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # boto3 leaves connections to the collector
]


@pytest.fixture(scope="module")
def running(project: Path, vpc: Sandbox) -> Iterator[Behind]:
    """An environment whose gateway runs and has its records. Its service was never deployed."""
    environment = Behind(project, vpc, "shown")
    environment.settle()
    up_to_date(environment)
    yield environment
    environment.inv("destroy", "--yes")


@pytest.fixture
def shown(running: Behind) -> Behind:
    """The same, with gateway and records as its file says."""
    running.settle()
    up_to_date(running)
    return running


def up_to_date(environment: Behind) -> None:
    for task in ("gateway.deploy", "dns.update"):
        done = environment.inv(task)
        assert done.returncode == 0, done.stderr


def records(environment: Behind) -> dict[str, list[str]]:
    """Values by name and type of the record sets under the service's name."""
    sets: list[dict[str, Any]] = json.loads(environment.sandbox.aws.snapshot_zone())
    return {
        f"{one['name']} {one['type']}": one["values"] for one in sets if one["name"].endswith(f"{environment.host}.")
    }


def nothing_was_applied(environment: Behind) -> bool:
    """No service and no fleet was created."""
    fleet = environment.ask_dstack("fleets/get", name=environment.run_name)
    return (fleet, environment.ask_dstack("runs/get", run_name=environment.run_name)) == (None, None)


@pytest.mark.parametrize("replicas", [2, 1], ids=["changed here too", "not changed here"])
def test_a_gateway_that_a_colleague_changed_is_left_to_them(shown: Behind, replicas: int) -> None:
    """The colleague makes it the project's default, which dstack counts to its configuration."""

    def colleague() -> None:
        shown.ask_dstack("gateways/set_default", name=shown.run_name)

    shown.settle(gateway={"replicas": replicas})
    done = shown.inv_asked("deploy", meanwhile=colleague)
    refused(done, 31, f"somebody changed the gateway of {shown.run_name} after it was planned", "inv plan")
    gateway = shown.ask_dstack("gateways/get", name=shown.run_name)["configuration"]
    assert (gateway["default"], gateway["replicas"] or 1) == (True, 1)
    assert len(alive(shown.sandbox)) == 1
    assert nothing_was_applied(shown)


def test_a_record_that_a_colleague_changed_is_left_to_them(shown: Behind) -> None:
    route53 = client("route53", shown.sandbox.aws.environ)
    theirs = {"Name": shown.host, "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "10.9.9.9"}]}
    batch = {"Changes": [{"Action": "UPSERT", "ResourceRecordSet": theirs}]}
    [zone] = [one["Id"] for one in route53.list_hosted_zones_by_name()["HostedZones"] if one["Config"]["PrivateZone"]]

    def colleague() -> None:
        route53.change_resource_record_sets(HostedZoneId=zone, ChangeBatch=batch)

    done = shown.inv_asked("deploy", meanwhile=colleague)
    refused(done, 31, f"somebody changed the records of {shown.run_name} after it was planned", "inv plan")
    assert records(shown)[f"{shown.host}. A"] == ["10.9.9.9"]
    assert nothing_was_applied(shown)


def test_records_that_a_colleague_created_are_left_to_them(shown: Behind) -> None:
    assert shown.inv("dns.delete", "--yes").returncode == 0

    def colleague() -> None:
        assert shown.inv("dns.update").returncode == 0

    done = shown.inv_asked("deploy", meanwhile=colleague)
    assert f"records {shown.run_name}: create" in done.stdout
    refused(done, 31, f"somebody changed the records of {shown.run_name} after it was planned")
    assert records(shown)[f"{shown.host}. A"] == sorted(shown.addresses)
    assert nothing_was_applied(shown)


def test_a_gateway_that_a_colleague_deleted_is_not_created_again(shown: Behind) -> None:
    def colleague() -> None:
        assert shown.inv("gateway.destroy", "--yes").returncode == 0

    refused(shown.inv_asked("deploy", meanwhile=colleague), 31, "the gateway and the records of")
    assert alive(shown.sandbox) == []
    assert records(shown) == {}
    assert nothing_was_applied(shown)
