"""dns.vpc_id is written into the file as a person would: nothing else changes."""

from __future__ import annotations

import pytest

from account.files import with_vpc
from console.errors import ExitCode, Failure

FILE = "environments/prod.yml"


@pytest.mark.parametrize(
    "text",
    [
        "# the VPC\ndns:\n  vpc_id: vpc-REPLACE  # of the callers\nprotected: true\n",
        "dns: {vpc_id: vpc-REPLACE}\n",
        "dns:\r\n  vpc_id: vpc-REPLACE\r\n",
        "# vpc_id: vpc-REPLACE\ndns:\n  vpc_id: vpc-REPLACE",
        "service: {env: {vpc_id: vpc-REPLACE}}\ndns:\n  vpc_id: vpc-REPLACE\n",
        'dns:\n  vpc_id: "vpc-REPLACE"\n',
    ],
)
def test_only_the_value_changes(text: str) -> None:
    changed = with_vpc(text, "vpc-1", FILE)
    before, after = text.rsplit("vpc-REPLACE", 1)
    assert changed in (f"{before}vpc-1{after}", f"{before.rstrip(chr(34))}vpc-1{after.lstrip(chr(34))}")


@pytest.mark.parametrize("text", ["dns: {}\n", "protected: true\n", "dns: &d {vpc_id: vpc-2}\nservice: {env: *d}\n"])
def test_a_file_that_can_not_be_edited_safely_is_left_to_a_person(text: str) -> None:
    with pytest.raises(Failure, match="write `vpc_id: vpc-1` below `dns:` yourself") as refused:
        with_vpc(text, "vpc-1", FILE)
    assert refused.value.code == ExitCode.SETTINGS_INVALID
