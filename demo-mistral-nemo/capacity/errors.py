"""The error for what can't be sized or read. A task turns it into a Failure, see operate/sizes.py."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import ValidationError

INDEX = "model.safetensors.index.json"


class SizingError(ValueError):
    """A model, a flag or a file that sizing does not understand: the problem with its place, and what to type."""

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(f"{problem}; {remedy}" if remedy else problem)
        self.problem, self.remedy = problem, remedy


@contextmanager
def errors_at(where: str) -> Iterator[None]:
    """Raise SizingError, with `where` in front, for wrong values that come from there."""
    remedy = ""
    try:
        yield
        return
    except SizingError as error:
        problem, remedy = error.problem, error.remedy
    except ValidationError as error:
        problem, remedy = _first_of(error)
    except OSError as error:  # requests' errors are OSErrors, too
        problem = f"can't be read ({type(error).__name__})"
        remedy = f"check it, or give a folder with config.json and {INDEX} as --config FOLDER"
    except ValueError as error:
        problem = str(error)
    except (AttributeError, LookupError, TypeError) as error:
        problem = f"has a form that sizing can't read ({type(error).__name__}: {error})"
        remedy = "correct it, or give another model with --config"
    raise SizingError(f"{where}: {problem}", remedy)


def _first_of(error: ValidationError) -> tuple[str, str]:
    """Return problem and remedy of the first wrong value."""
    first = error.errors(include_url=False)[0]
    if isinstance(raised := first.get("ctx", {}).get("error"), SizingError):
        return raised.problem, raised.remedy
    given = "" if first["type"] == "missing" else f" {first['input']!r:.60}"
    named = [str(part) for part in first["loc"] if re.fullmatch(r"[\w-]+", str(part))]  # and not pydantic's functions
    return f"{'.'.join(named) or 'its content'}{given}: {first['msg']}", ""
