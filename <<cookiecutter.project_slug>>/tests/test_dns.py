from dataclasses import replace
from typing import Any

import pytest

from console.errors import ExitCode, Failure
from deploy.dns import RecordSet, changes, the_one, wanted

HOST = "chat.ai.internal"
US = "main/chat"
OURS = wanted(HOST, ["10.0.0.7"], owner=US)
THEIRS = wanted(HOST, ["10.0.0.1"], owner="research/chat")
NOBODYS = frozenset({RecordSet(f"{HOST}.", "A", ("10.0.0.1",))})


def actions(batch: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(c["Action"], c["ResourceRecordSet"]["ResourceRecords"][0]["Value"]) for c in batch]


def test_a_second_update_writes_nothing() -> None:
    assert changes(OURS, OURS, HOST, US) == []


def test_a_first_update_creates_the_record_and_its_owner() -> None:
    assert actions(changes((), OURS, HOST, US)) == [("CREATE", f'"{US}"'), ("CREATE", "10.0.0.7")]


def test_a_new_address_replaces_exactly_what_was_read() -> None:
    moved = wanted(HOST, ["10.0.0.9"], owner=US)
    assert actions(changes(OURS, moved, HOST, US)) == [("DELETE", "10.0.0.7"), ("CREATE", "10.0.0.9")]


def test_a_load_balancer_in_place_of_an_address_changes_the_type() -> None:
    moved = wanted(HOST, ["lb.elb.amazonaws.com"], owner=US)
    batch = changes(OURS, moved, HOST, US)
    assert [(c["Action"], c["ResourceRecordSet"]["Type"]) for c in batch] == [("DELETE", "A"), ("CREATE", "CNAME")]


@pytest.mark.parametrize("current", [THEIRS, NOBODYS], ids=["another project's", "nobody's"])
@pytest.mark.parametrize("want", [OURS, frozenset()], ids=["update", "delete"])
def test_what_is_not_ours_is_not_touched(current: frozenset[RecordSet], want: frozenset[RecordSet]) -> None:
    with pytest.raises(Failure, match="belongs to") as refused:
        changes(current, want, HOST, US)
    assert refused.value.code == ExitCode.DNS_REFUSED


def test_our_records_stay_ours_whatever_their_ttl() -> None:
    slower = frozenset(replace(one, ttl=300) for one in OURS)
    batch = changes(slower, OURS, HOST, US)
    assert [(c["Action"], c["ResourceRecordSet"]["TTL"]) for c in batch] == [("DELETE", 300)] * 2 + [("CREATE", 30)] * 2


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
    batch = changes([RecordSet.of_aws(found)], OURS, HOST, US, adopt=True)
    assert batch[0] == {"Action": "DELETE", "ResourceRecordSet": found}


def test_what_is_not_ours_is_adopted_when_told_to() -> None:
    batch = changes(THEIRS, OURS, HOST, US, adopt=True)
    assert ("DELETE", '"research/chat"') in actions(batch)
    assert ("CREATE", f'"{US}"') in actions(batch)


def test_deleting_removes_both_record_sets_and_deleting_again_does_nothing() -> None:
    assert [change["Action"] for change in changes(OURS, (), HOST, US)] == ["DELETE", "DELETE"]
    assert changes((), (), HOST, US) == []


def test_publishing_nothing_is_refused() -> None:
    with pytest.raises(Failure, match="no address to publish"):
        wanted(HOST, [], owner=US)


def zone(id: str, private: bool) -> dict[str, Any]:
    return {"Id": f"/hostedzone/{id}", "Config": {"PrivateZone": private}}


def summary(id: str, **owner: str) -> dict[str, Any]:
    """A zone as AWS lists those of a VPC."""
    return {"HostedZoneId": id, "Name": "ai.internal.", "Owner": owner or {"OwningAccount": "123456789012"}}


def test_the_zone_of_the_vpc_is_chosen_among_zones_of_one_name() -> None:
    named = [zone("PUBLIC", False), zone("OTHERS", True), zone("OURS", True)]
    assert the_one(named, [summary("OURS")], "ai.internal.", "vpc-1") == "OURS"
    assert the_one(named, [], "ai.internal.", None) == "PUBLIC"


@pytest.mark.parametrize("of_vpc", [[], ["A", "B"]], ids=["none", "two"])
def test_no_zone_or_several_are_refused(of_vpc: list[str]) -> None:
    named = [zone("A", True), zone("B", True)]
    with pytest.raises(Failure, match=f"there are {len(of_vpc)} of the private zone"):
        the_one(named, [summary(id) for id in of_vpc], "ai.internal.", "vpc-1")


def test_a_zone_of_another_account_is_said_to_be_one() -> None:
    with pytest.raises(Failure, match=r"belongs to AWS account 210987654321; sign in as a role there"):
        the_one([zone("A", True)], [summary("B", OwningAccount="210987654321")], "ai.internal.", "vpc-1")
