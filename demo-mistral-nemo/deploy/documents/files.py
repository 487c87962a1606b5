"""Reads the YAML files of dstack/ and environments/ into documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import yaml

from console.errors import ExitCode, Failure

Document: TypeAlias = dict[str, Any]  # in the form in which a server takes and returns it
MAXIMUM_VALUES = 100_000  # in one file, with its aliases written out


def read(path: Path) -> Document:
    """Return the keys and values of a file. Fails with SETTINGS_INVALID and names the file and the line."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  # it is a SafeLoader
    except UnicodeDecodeError as error:
        raise invalid(path, f"is not UTF-8 text ({error.reason})", "save it as UTF-8") from None
    except OSError as error:
        raise invalid(path, f"can't be read ({error.strerror or error})") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise invalid(path, f"{line}not YAML: {problem}") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:  # from a tag such as !!int
        raise invalid(path, f"not YAML: a value does not have the form of its tag or its type ({error})") from None
    if not isinstance(document, dict):
        found = "is empty" if document is None else f"holds a {type(document).__name__}"
        raise invalid(path, found, "write keys and values")
    if _count(document, {}) > MAXIMUM_VALUES:
        problem = f"its aliases make more than {MAXIMUM_VALUES:,} values, or refer to themselves"
        raise invalid(path, problem, "write the values out")
    return document


def invalid(path: Path, problem: str, remedy: str = "") -> Failure:
    """Return the Failure that names a file by its folder and its name."""
    return Failure(ExitCode.SETTINGS_INVALID, f"{path.parent.name}/{path.name}: {problem}", remedy)


class _Loader(yaml.SafeLoader):
    """Keeps dates and times as the text that was written. Refuses a key that a mapping has twice.

    YAML itself makes an object of a date, counts the seconds of a time, and drops the first of two equal keys.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # yaml declares it without a type
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key, _ in reversed(node.value) if keys.count(key.value) > 1), None):
            problem = f"the key {twice.value} is written twice"
            raise yaml.constructor.ConstructorError(None, None, problem, twice.start_mark)
        return super().construct_mapping(node, deep)


def _number(loader: _Loader, node: Any) -> Any:
    """Return a number, or the text where YAML reads a time: 12:30, and also 8000:22, which is a pair of ports."""
    if ":" in node.value:
        return node.value
    whole = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)


yaml.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str, _Loader)
yaml.add_constructor("tag:yaml.org,2002:int", _number, _Loader)
yaml.add_constructor("tag:yaml.org,2002:float", _number, _Loader)


def _count(value: Any, counted: dict[int, int]) -> int:
    """Return how many values a document has when its aliases are written out.

    The result is more than MAXIMUM_VALUES when an alias refers to itself. `counted` has the number of each mapping and
    list that was counted already, by its id.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in counted:
        counted[id(value)] = MAXIMUM_VALUES + 1  # until it is known: an alias inside its own value never ends
        below = value.values() if isinstance(value, dict) else value
        counted[id(value)] = 1 + sum(_count(one, counted) for one in below)
    return counted[id(value)]
