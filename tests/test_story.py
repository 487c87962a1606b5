"""A step of a story says that it failed."""

from __future__ import annotations

import pytest

from tests.story import step


@step
def add(first: int, second: int) -> int:
    """Add two numbers.

    What else there is to say stays out of a failure.
    """
    assert first > 0
    if second < 0:
        pytest.fail("negative")
    return first + second


def test_a_step_returns_what_its_function_returns() -> None:
    assert add(1, second=2) == 3


@pytest.mark.parametrize(("first", "second", "kind"), [(0, 1, AssertionError), (1, -1, pytest.fail.Exception)])
def test_a_failure_names_the_step(first: int, second: int, kind: type[BaseException]) -> None:
    with pytest.raises(kind) as failed:
        add(first, second)
    assert failed.value.__notes__ == ["The step that failed: Add two numbers."]
