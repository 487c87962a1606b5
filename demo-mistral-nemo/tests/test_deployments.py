"""The metadata of the last deployments rides along in a run's path: written, read back, continued."""

from __future__ import annotations

from dataclasses import replace

import pytest

from deploy.deployments import KEPT, LONGEST, Deployment, Now, following, read, restored, write

MARKED = "dstack/service.dstack.yml#nemo/prod"
ONE = Deployment(
    commit="a" * 40, subject='A "subject" with ${{ secrets.x }}, ü and #', by="Ada", at="2026-11-01T00:00:00"
)
TWO = replace(ONE, commit="b" * 40, at="2026-11-02T00:00:00")


def now(path: str, deployment: int = 0, *, ready: bool = True, active: bool = True, run: str = "run-1") -> Now:
    return Now(path, run, deployment, ready, active)


def test_what_is_written_is_read_back() -> None:
    path = write(MARKED, [TWO, ONE])
    assert read(path) == [TWO, ONE]
    assert path.startswith(f"{MARKED} commit={'b' * 40} ")
    assert path.isascii()


@pytest.mark.parametrize(
    "path",
    [None, "", MARKED, f"{MARKED} deployments=", f"{MARKED} deployments={{", f"{MARKED} deployments=7", f"{MARKED} x"],
)
def test_a_path_that_has_no_deployments_is_no_mistake(path: str | None) -> None:
    assert read(path) == []


def test_an_unknown_key_or_a_value_of_another_type_is_left_out() -> None:
    path = f'{MARKED} deployments=[{{"number":3,"by":7,"dirty":"no","later":1,"at":"x"}},5]'
    assert read(path) == [Deployment(number=3, at="x")]


def test_a_long_history_keeps_the_newest_and_long_texts_are_cut() -> None:
    many = [replace(ONE, number=number, subject="s" * 500, by="b" * 500) for number in range(50, 0, -1)]
    found = read(write(MARKED, many))
    assert [one.number for one in found] == list(range(50, 50 - KEPT, -1))
    assert {len(one.subject) for one in found} == {len(one.by) for one in found} == {LONGEST}
    assert len(write(MARKED, many)) < 20_000


def test_the_next_deployment_knows_what_became_of_the_one_before() -> None:
    first = following(None, ONE)
    assert first == [replace(ONE, number=1, deployment=0)]
    second = following(now(write(MARKED, first)), TWO)
    assert second == [replace(TWO, number=2, deployment=1), replace(first[0], run="run-1", ready=True)]
    third = following(now(write(MARKED, second), 1, ready=False, active=False), replace(ONE, at="later"))
    assert [(one.number, one.deployment, one.ready, one.failed) for one in third] == [
        (3, 0, False, False),
        (2, 1, False, True),
        (1, 0, True, False),
    ]


def test_a_deploy_that_submits_twice_is_one_deployment() -> None:
    first = following(None, ONE)
    again = following(now(write(MARKED, first)), ONE)
    assert [one.number for one in again] == [1]
    assert again[0].deployment == 1


def test_an_automatic_rollback_names_the_commit_that_serves_again() -> None:
    good = following(None, ONE)
    bad = following(now(write(MARKED, good)), TWO)
    after = restored(now(write(MARKED, bad), 1), write(MARKED, good), "2026-11-03T00:00:00")
    assert [(one.number, one.commit[0], one.automatic, one.back_to) for one in after] == [
        (3, "a", True, 1),
        (2, "b", False, 0),
        (1, "a", False, 0),
    ]
    assert (after[0].deployment, after[1].failed, after[1].ready, after[2].ready) == (2, True, False, True)


def test_an_automatic_rollback_to_something_unmarked_claims_no_commit() -> None:
    bad = following(now(MARKED), TWO)
    after = restored(now(write(MARKED, bad), 1), MARKED, "2026-11-03T00:00:00")
    assert [one.commit for one in after] == ["", "b" * 40]
