from typing import Any

import pytest

from deploy.dns import RecordSet, changes, the_one, wanted
from deploy.errors import ExitCode, Failure

HOST = "chat.ai.internal"
OURS = wanted(HOST, ["10.0.0.7"], owner="chat")
THEIRS = wanted(HOST, ["10.0.0.1"], owner="search")
NOBODYS = frozenset({RecordSet(f"{HOST}.", "A", ("10.0.0.1",))})


def actions(batch: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(c["Action"], c["ResourceRecordSet"]["ResourceRecords"][0]["Value"]) for c in batch]


def test_a_second_update_writes_nothing() -> None:
    assert changes(OURS, OURS, HOST, "chat") == []


def test_a_first_update_creates_the_record_and_its_owner() -> None:
    assert actions(changes((), OURS, HOST, "chat")) == [("CREATE", '"chat"'), ("CREATE", "10.0.0.7")]


def test_a_new_address_replaces_exactly_what_was_read() -> None:
    moved = wanted(HOST, ["10.0.0.9"], owner="chat")
    assert actions(changes(OURS, moved, HOST, "chat")) == [("DELETE", "10.0.0.7"), ("CREATE", "10.0.0.9")]


def test_a_load_balancer_in_place_of_an_address_changes_the_type() -> None:
    moved = wanted(HOST, ["lb.elb.amazonaws.com"], owner="chat")
    batch = changes(OURS, moved, HOST, "chat")
    assert [(c["Action"], c["ResourceRecordSet"]["Type"]) for c in batch] == [("DELETE", "A"), ("CREATE", "CNAME")]


@pytest.mark.parametrize("current", [THEIRS, NOBODYS], ids=["another service's", "nobody's"])
@pytest.mark.parametrize("want", [OURS, frozenset()], ids=["update", "delete"])
def test_what_is_not_ours_is_not_touched(current: frozenset[RecordSet], want: frozenset[RecordSet]) -> None:
    with pytest.raises(Failure, match="belongs to") as refused:
        changes(current, want, HOST, "chat")
    assert refused.value.code == ExitCode.DNS_REFUSED


def test_what_is_not_ours_is_adopted_when_told_to() -> None:
    batch = changes(THEIRS, OURS, HOST, "chat", adopt=True)
    assert ("DELETE", '"search"') in actions(batch)
    assert ("CREATE", '"chat"') in actions(batch)


def test_deleting_removes_both_record_sets_and_deleting_again_does_nothing() -> None:
    assert [change["Action"] for change in changes(OURS, (), HOST, "chat")] == ["DELETE", "DELETE"]
    assert changes((), (), HOST, "chat") == []


def test_publishing_nothing_is_refused() -> None:
    with pytest.raises(Failure, match="no address to publish"):
        wanted(HOST, [], owner="chat")


def zone(id: str, private: bool) -> dict[str, Any]:
    return {"Id": f"/hostedzone/{id}", "Config": {"PrivateZone": private}}


def test_the_zone_of_the_vpc_is_chosen_among_zones_of_one_name() -> None:
    named = [zone("PUBLIC", False), zone("OTHERS", True), zone("OURS", True)]
    assert the_one(named, [{"HostedZoneId": "OURS"}], "ai.internal.", "vpc-1") == "OURS"
    assert the_one(named, [], "ai.internal.", None) == "PUBLIC"


@pytest.mark.parametrize("of_vpc", [[], ["A", "B"]], ids=["none", "two"])
def test_no_zone_or_several_are_refused(of_vpc: list[str]) -> None:
    named = [zone("A", True), zone("B", True)]
    with pytest.raises(Failure, match=f"there are {len(of_vpc)} of the private zone"):
        the_one(named, [{"HostedZoneId": id} for id in of_vpc], "ai.internal.", "vpc-1")
