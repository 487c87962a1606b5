"""Policies are compared by what they say."""

from __future__ import annotations

import pytest

from account.aws.roles import REPOSITORY, Role, Wanted, flaws, repository_in, same


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"Action": "a"}, {"Action": ["a"]}, True),
        ({"Action": ["a", "b"]}, {"Action": ["b", "a"]}, True),
        ({"Action": ["a", "b"]}, {"Action": ["a"]}, False),
        ({"Effect": "Allow"}, {"Effect": "Deny"}, False),
        ({"Action": "a", "Condition": {}}, {"Action": "a"}, False),
    ],
)
def test_order_and_single_values_do_not_count(one: object, other: object, equal: bool) -> None:
    assert same({"Statement": [one]}, {"Statement": other}) is equal


def trust(subject: str) -> dict[str, object]:
    condition = {"StringEquals": {"token.actions.githubusercontent.com:sub": subject}}
    return {"Statement": [{"Effect": "Allow", "Condition": condition}]}


def test_what_differs_is_named() -> None:
    policies = {"dns": {"Statement": [{"Effect": "Allow"}]}}
    wanted = Wanted("nemo-dns", "dns", trust("repo:a@1/b@2:environment:prod"), policies)
    role = Role("nemo-dns", wanted.trust, {"any name": wanted.policies["dns"]}, ())
    assert flaws(role, wanted) == []
    other = Role("nemo-dns", trust("repo:x/y:environment:prod"), {"dns": {"Statement": []}}, ())
    first, second = flaws(other, wanted)
    assert first == "trusts repo:x/y:environment:prod, not repo:a@1/b@2:environment:prod"
    assert "policies/dns.json" in second


def test_the_repository_is_read_from_the_trust_unless_it_is_a_placeholder() -> None:
    assert repository_in(trust("repo:a@1/b@2:environment:prod-plan")) == "a@1/b@2"
    assert repository_in(trust("repo:ORG@ORG_ID/REPO@REPO_ID:environment:prod")) == ""
    assert repository_in(trust("another")) == ""


@pytest.mark.parametrize("name", ["a", "a/b/c", "a/b:ref:x", "a@x/b", "*/*", ""])
def test_what_is_no_repository_is_refused(name: str) -> None:
    assert not REPOSITORY.fullmatch(name)
    assert REPOSITORY.fullmatch("acme@1/my.repo-2@3")
