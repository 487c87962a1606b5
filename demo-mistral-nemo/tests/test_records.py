from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from console.errors import ExitCode, Failure
from deploy.changes import Change, Difference, Part
from deploy.records import (
    RecordChange,
    RecordPlan,
    RecordSet,
    changes_between,
    chosen_zone,
    records_for,
    refuse_foreign,
)
from deploy.route53 import Zone, apply

HOST = "chat.ai.internal"
US = "main/chat"
ZONE = Zone(None, "Z1", HOST, US)
NONE: frozenset[RecordSet] = frozenset()
OURS = records_for(HOST, ["10.0.0.7"], owner=US)
THEIRS = records_for(HOST, ["10.0.0.1"], owner="research/chat")
NOBODYS = frozenset({RecordSet(f"{HOST}.", "A", ("10.0.0.1",))})


def actions(batch: tuple[RecordChange, ...]) -> list[tuple[str, str]]:
    return [(change.action, change.record.values[0]) for change in batch]


def test_a_second_update_writes_nothing() -> None:
    assert changes_between(OURS, OURS) == ()


def test_a_first_update_creates_the_record_and_its_owner() -> None:
    assert actions(changes_between(NONE, OURS)) == [("CREATE", f'"{US}"'), ("CREATE", "10.0.0.7")]


def test_a_new_address_replaces_exactly_what_was_read() -> None:
    moved = records_for(HOST, ["10.0.0.9"], owner=US)
    assert actions(changes_between(OURS, moved)) == [("DELETE", "10.0.0.7"), ("CREATE", "10.0.0.9")]


def test_a_load_balancer_in_place_of_an_address_changes_the_type() -> None:
    moved = records_for(HOST, ["lb.elb.amazonaws.com"], owner=US)
    batch = changes_between(OURS, moved)
    assert [(change.action, change.record.type) for change in batch] == [("DELETE", "A"), ("CREATE", "CNAME")]


@pytest.mark.parametrize("current", [THEIRS, NOBODYS], ids=["another project's", "nobody's"])
def test_what_is_not_ours_is_not_touched(current: frozenset[RecordSet]) -> None:
    with pytest.raises(Failure, match="belongs to") as refused:
        refuse_foreign(current, HOST, US)
    assert refused.value.code == ExitCode.DNS_REFUSED


def test_our_records_stay_ours_whatever_their_ttl() -> None:
    slower = frozenset(replace(one, ttl=300) for one in OURS)
    refuse_foreign(slower, HOST, US)
    batch = changes_between(slower, OURS)
    assert [(change.action, change.record.ttl) for change in batch] == [("DELETE", 300)] * 2 + [("CREATE", 30)] * 2


@pytest.mark.parametrize(
    "routed",
    [
        {"Type": "A", "AliasTarget": {"HostedZoneId": "Z", "DNSName": "lb.", "EvaluateTargetHealth": False}},
        {"Type": "A", "SetIdentifier": "b", "Weight": 1, "TTL": 60, "ResourceRecords": [{"Value": "10.0.0.1"}]},
    ],
    ids=["alias", "weighted"],
)
def test_a_routed_record_is_adopted_as_aws_has_it(routed: dict[str, Any]) -> None:
    found = {"Name": f"{HOST}.", **routed}
    batch = changes_between(frozenset({RecordSet.of_aws(found)}), OURS)
    assert batch[0].to_aws() == {"Action": "DELETE", "ResourceRecordSet": found}


def test_what_another_owner_has_is_replaced_whole() -> None:
    batch = changes_between(THEIRS, OURS)
    assert ("DELETE", '"research/chat"') in actions(batch)
    assert ("CREATE", f'"{US}"') in actions(batch)


def test_deleting_removes_both_record_sets_and_deleting_again_does_nothing() -> None:
    assert [change.action for change in changes_between(OURS, NONE)] == ["DELETE", "DELETE"]
    assert changes_between(NONE, NONE) == ()
    refuse_foreign(NONE, HOST, US)


def test_publishing_nothing_is_refused() -> None:
    with pytest.raises(Failure, match="no address to publish"):
        records_for(HOST, [], owner=US)


def test_a_plan_shows_which_value_becomes_which() -> None:
    moved = RecordPlan(ZONE, OURS, records_for(HOST, ["10.0.0.9"], owner=US))
    shown = Difference(f"{HOST}. A", "10.0.0.7 (TTL 30)", "10.0.0.9 (TTL 30)")
    assert moved.part == Part(Change.IN_PLACE, (shown,))
    assert RecordPlan(ZONE, OURS, OURS).part == Part(Change.UNCHANGED)
    assert RecordPlan(ZONE, NONE, OURS).part.change == Change.CREATE


def test_a_gateway_that_is_not_there_yet_gives_the_records_their_address_later() -> None:
    first, next_one = RecordPlan(ZONE, NONE, None), RecordPlan(ZONE, OURS, None)
    assert (first.part, first.changes) == (Part(Change.CREATE), ())
    [difference] = next_one.part.differences
    assert (difference.key, difference.before) == (HOST, "10.0.0.7")
    assert actions(next_one.pointing_at(["10.0.0.9"]).changes) == [("DELETE", "10.0.0.7"), ("CREATE", "10.0.0.9")]
    assert next_one.pointing_at(["10.0.0.7"]).changes == ()


def test_an_address_that_was_not_shown_is_not_published() -> None:
    shown = RecordPlan(ZONE, NONE, OURS)
    assert shown.pointing_at(["10.0.0.7"]) == shown
    with pytest.raises(Failure, match=r"other addresses now, 10\.0\.0\.9") as refused:
        shown.pointing_at(["10.0.0.9"])
    assert refused.value.code == ExitCode.PLAN_OUTDATED


class Refusing:
    """A client of Route 53 that refuses every batch because of what is there: these records."""

    def __init__(self, found: frozenset[RecordSet]) -> None:
        self.found = found

    def list_resource_record_sets(self, StartRecordName: str, **_: Any) -> dict[str, Any]:  # noqa: N803
        return {"ResourceRecordSets": [one.to_aws() for one in self.found if one.name == StartRecordName]}

    def change_resource_record_sets(self, **_: Any) -> None:
        answer = {"Error": {"Code": "InvalidChangeBatch", "Message": "the values do not match the current values"}}
        raise ClientError(answer, "ChangeResourceRecordSets")


@pytest.mark.parametrize(
    ("now", "code"),
    [(THEIRS, ExitCode.PLAN_OUTDATED), (NONE, ExitCode.PLAN_OUTDATED), (OURS, ExitCode.DNS_REFUSED)],
    ids=["changed", "deleted", "as it was"],
)
def test_a_batch_that_aws_refuses_because_somebody_wrote_in_between_says_so(
    now: frozenset[RecordSet], code: ExitCode
) -> None:
    moved = RecordPlan(Zone(Refusing(now), "Z1", HOST, US), OURS, records_for(HOST, ["10.0.0.9"], owner=US))
    with pytest.raises(Failure) as refused:
        apply(moved, ["10.0.0.9"], print)
    assert refused.value.code == code


def test_a_batch_that_was_carried_out_although_its_answer_was_lost_is_done() -> None:
    wanted = records_for(HOST, ["10.0.0.9"], owner=US)
    apply(RecordPlan(Zone(Refusing(wanted), "Z1", HOST, US), OURS, wanted), ["10.0.0.9"], print)


def zone(id: str, private: bool) -> dict[str, Any]:
    return {"Id": f"/hostedzone/{id}", "Config": {"PrivateZone": private}}


def summary(id: str, **owner: str) -> dict[str, Any]:
    """A zone as AWS lists those of a VPC."""
    return {"HostedZoneId": id, "Name": "ai.internal.", "Owner": owner or {"OwningAccount": "123456789012"}}


def test_the_zone_of_the_vpc_is_chosen_among_zones_of_one_name() -> None:
    named = [zone("PUBLIC", False), zone("OTHERS", True), zone("OURS", True)]
    assert chosen_zone(named, [summary("OURS")], "ai.internal.", "vpc-1") == "OURS"
    assert chosen_zone(named, [], "ai.internal.", None) == "PUBLIC"


@pytest.mark.parametrize(
    ("of_vpc", "said"),
    [
        ([], "no private zone ai.internal in VPC vpc-1; create it"),
        (["A", "B"], "2 private zones ai.internal in VPC vpc-1"),
    ],
    ids=["none", "two"],
)
def test_no_zone_or_several_are_refused(of_vpc: list[str], said: str) -> None:
    named = [zone("A", True), zone("B", True)]
    with pytest.raises(Failure, match=f"Route 53 has {said}"):
        chosen_zone(named, [summary(id) for id in of_vpc], "ai.internal.", "vpc-1")


def test_a_zone_of_another_account_is_said_to_be_one() -> None:
    with pytest.raises(Failure, match=r"belongs to AWS account 210987654321; sign in as a role there"):
        chosen_zone([zone("A", True)], [summary("B", OwningAccount="210987654321")], "ai.internal.", "vpc-1")
