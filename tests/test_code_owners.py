"""CODEOWNERS of a generated repository: there when `owner` is a handle on GitHub, absent otherwise."""

from __future__ import annotations

import pytest

from template_text import github_owner
from tests.rendered import Bake, files, typed

HANDLES = ["@alice", "@a", "@acme/platform", "@Acme-Corp/ml_ops", "@alice_acme", "@" + "a" * 39, "@a-b-c/1"]
OTHERS = [
    *("the platform team", "alice", "@", "@@alice", "@-alice", "@alice-", "@al--ice", "@" + "a" * 40, "@alice "),
    *(
        "@acme/",
        "@acme/platform/ops",
        "@acme/Platform",
        "@acme/-ops",
        "@alice @bob",
        "@alice, ops",
        "alice@example.com",
    ),
    *("@alice\n* @mallory", "@älice", "@acme/plät", "@alice # all", "@alice*", "/@alice", ""),
]


@pytest.mark.parametrize("owner", HANDLES)
def test_a_handle_is_one(owner: str) -> None:
    assert github_owner(owner)


@pytest.mark.parametrize("owner", OTHERS)
def test_anything_else_is_none(owner: str) -> None:
    assert not github_owner(owner)


@pytest.mark.parametrize("owner", ["@alice", "@acme/platform"])
def test_a_handle_owns_every_file(baked: Bake, owner: str) -> None:
    lines = files(baked(owner=owner))[".github/CODEOWNERS"].splitlines()
    assert [line for line in lines if not line.startswith("#")] == [f"* {owner}"]


@pytest.mark.parametrize("owner", ["the platform team", "@alice @bob", "<< 7 >> @x"])
def test_without_a_handle_there_is_no_file(baked: Bake, owner: str) -> None:
    assert [name for name in files(baked(owner=typed(owner))) if "CODEOWNERS" in name] == []
