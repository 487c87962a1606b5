"""Tests that are stories: one test, with a function for each step, whose failure says which step it was."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def step(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a step: a failure in it shows the first line of the step's docstring."""
    title = (function.__doc__ or function.__name__).strip().splitlines()[0]

    @wraps(function)
    def taken(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return function(*args, **kwargs)
        except BaseException as failure:  # pytest's own too: pytest.fail(), a timeout
            failure.add_note(f"The step that failed: {title}")
            raise

    return taken
