"""The record's tasks when Route 53 stumbles, refuses or is asked with the wrong credentials: the command as typed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.behind import Behind
from tests.end_to_end.project import refused

pytestmark = pytest.mark.gateway
ATTEMPTS = 9  # the first, and the retries of deploy/route53.py
NO_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "",
    "AWS_SECRET_ACCESS_KEY": "",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}


@pytest.fixture(scope="module")
def gateway(project: Path, vpc: Sandbox) -> Behind:
    """An environment whose gateway runs."""
    environment = Behind(project, vpc, "named")
    environment.settle()
    done = environment.inv("gateway.deploy")
    assert done.returncode == 0, done.stderr
    return environment


@pytest.fixture
def named(gateway: Behind) -> Iterator[Behind]:
    """The same without records; AWS is well again afterwards, and the environment's file as it was."""
    settings = dict(gateway.settings)
    yield gateway
    gateway.sandbox.faults.clear()
    gateway.write(**settings)
    done = gateway.inv("dns.delete", "--yes")
    assert done.returncode == 0, done.stderr


def records(named: Behind) -> dict[str, list[str]]:
    """Values by name and type of the record sets under the service's name."""
    sets: list[dict[str, Any]] = json.loads(named.sandbox.aws.snapshot_zone())
    return {f"{one['name']} {one['type']}": one["values"] for one in sets if one["name"].endswith(f"{named.host}.")}


def test_a_stumbling_route_53_is_asked_again(named: Behind) -> None:
    for action, status, times in (
        ("ListHostedZonesByName", 400, 2),  # Throttling
        ("ListHostedZonesByVPC", 500, 1),
        ("ListResourceRecordSets", 503, 1),
        ("ChangeResourceRecordSets", 400, 2),
        ("GetChange", 500, 1),
    ):
        named.sandbox.faults.add("error", "aws", status=status, route=f"route53:{action}", times=times)
    done = named.inv("dns.update")
    assert done.returncode == 0, done.stderr
    assert named.sandbox.faults.in_force() == []
    assert records(named)[f"{named.host}. A"] == sorted(named.addresses)


def test_a_change_whose_answer_was_lost_counts_as_done(named: Behind) -> None:
    named.sandbox.faults.add("lost", "aws", route="route53:ChangeResourceRecordSets", times=1)
    done = named.inv("dns.update")
    assert done.returncode == 0, done.stderr
    assert ": written" in done.stderr
    assert records(named)[f"{named.host}. A"] == sorted(named.addresses)
    named.sandbox.faults.add("lost", "aws", route="route53:ChangeResourceRecordSets", times=1)
    done = named.inv("dns.delete", "--yes")
    assert done.returncode == 0, done.stderr
    assert records(named) == {}


@pytest.mark.parametrize(
    ("status", "said"), [(400, "(Throttling)"), (503, "(ServiceUnavailable)")], ids=["throttled", "out of service"]
)
def test_a_lasting_refusal_ends_in_one_line_and_nothing_half_written(named: Behind, status: int, said: str) -> None:
    before, first = named.sandbox.aws.snapshot_zone(), len(named.sandbox.aws.calls())
    named.sandbox.faults.add("error", "aws", status=status, route="route53:ChangeResourceRecordSets")
    refused(named.inv("dns.update"), 38, said, f"changing {named.host}", "run it again")
    assert named.sandbox.aws.snapshot_zone() == before
    tried = Counter(call.action for call in named.sandbox.aws.calls()[first:])
    assert tried["ChangeResourceRecordSets"] == ATTEMPTS


def test_an_aws_that_is_not_there_ends_in_one_line(named: Behind) -> None:
    done = named.inv("dns.update", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    refused(done, 38, "Could not connect to the endpoint URL", "run it again")


@pytest.mark.parametrize(
    ("code", "variables"),
    [
        ("ExpiredToken", {}),
        ("AccessDenied", {}),
        ("InvalidClientTokenId", {"AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7NOTMINE"}),
        ("Unable to locate credentials", NO_CREDENTIALS),
        ("The config profile (nobody) could not be found", {"AWS_PROFILE": "nobody"}),
    ],
)
def test_wrong_credentials_are_reported_in_one_line(named: Behind, code: str, variables: dict[str, str]) -> None:
    if not variables:
        named.sandbox.faults.add("error", "aws", status=403, code=code, route="route53:*")
    refused(named.inv("dns.update", **variables), 38, code, "AWS credentials", "policies/dns.json")
    assert records(named) == {}


@pytest.mark.parametrize(
    ("changed", "said"),
    [({"domain": "nowhere.internal"}, "nowhere.internal in VPC vpc-"), ({"region": "us-east-1"}, "gateway.region")],
    ids=["no such zone", "another region"],
)
def test_a_zone_that_is_not_there(named: Behind, changed: dict[str, str], said: str) -> None:
    named.write(gateway=named.settings["gateway"] | changed)
    refused(named.inv("dns.update"), 38, "Route 53 has no private zone", said, "dns.vpc_id")
    assert records(named) == {}
