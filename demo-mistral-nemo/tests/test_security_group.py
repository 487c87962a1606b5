"""Who may connect to the gateways, and which rules are missing or too many."""

from __future__ import annotations

from typing import Any

from account.aws.security_group import Group, group_name, lacking, missing_rules, surplus_rules


def rule(first: int, last: int, *cidrs: str, protocol: str = "tcp", **more: Any) -> dict[str, Any]:
    ranges = [{"CidrIp": cidr} for cidr in cidrs]
    return {"IpProtocol": protocol, "FromPort": first, "ToPort": last, "IpRanges": ranges, **more}


def group(*rules: dict[str, Any]) -> Group:
    return Group("sg-1", "vpc-1", rules, ())


def test_a_rule_counts_for_the_ports_that_it_covers() -> None:
    everything = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": "sg-2"}]}
    found = group(rule(20, 30, "10.0.0.0/16"), rule(80, 80, "10.1.0.0/16", protocol="udp"), everything)
    assert found.sources(22) == {"10.0.0.0/16", "sg-2"}
    assert found.sources(80) == {"sg-2"}
    assert lacking(group(rule(22, 22, "10.0.0.0/16"), rule(80, 80)), (22, 80)) == [80]


def test_missing_and_surplus_rules_lead_to_what_is_wanted() -> None:
    found = group(rule(22, 22, "10.0.0.0/16", "10.9.0.0/16"), rule(8080, 8080, "0.0.0.0/0"))
    wanted = {22: ["10.0.0.0/16"], 80: ["10.0.0.0/16"]}
    assert missing_rules(found, wanted) == [rule(80, 80, "10.0.0.0/16")]
    assert surplus_rules(found, wanted) == [rule(22, 22, "10.9.0.0/16")]
    assert missing_rules(None, wanted) == [rule(22, 22, "10.0.0.0/16"), rule(80, 80, "10.0.0.0/16")]
    assert missing_rules(group(rule(22, 22, *wanted[22]), rule(80, 80, *wanted[80])), wanted) == []


def test_the_name_is_a_projects() -> None:
    assert group_name("My-Team") == "dstack_gw_sg_my_team"
