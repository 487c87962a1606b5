"""Reads the YAML files of dstack/ and environments/ into documents."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeAlias

import yaml

from console.errors import ExitCode, Failure

Document: TypeAlias = dict[str, Any]  # as it goes to a server, and comes from it
LARGEST = 100_000  # values of a file, its aliases written out


def read(path: Path) -> Document:
    """Return the keys and values of a file. Fails with SETTINGS_INVALID, naming file and line."""
    try:
        document = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506  # it is a SafeLoader
    except (OSError, UnicodeDecodeError) as error:
        raise invalid(path, f"can't be read: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f"line {mark.line + 1}: " if mark else ""
        problem = " ".join(str(getattr(error, "problem", error)).split())
        raise invalid(path, f"{line}not YAML: {problem}") from None
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:  # of a tag such as !!int
        raise invalid(path, f"not YAML: a value is not what its tag or its form says ({error})") from None
    if not isinstance(document, dict):
        raise invalid(path, f"must hold keys and values, holds {type(document).__name__}")
    if _count(document, {}) > LARGEST:
        raise invalid(path, f"its aliases make more than {LARGEST:,} values, or refer to themselves; write them out")
    return document


def invalid(path: Path, problem: str) -> Failure:
    """Return the Failure that names a file."""
    return Failure(ExitCode.SETTINGS_INVALID, f"{path.parent.name}/{path.name}: {problem}")


class _Loader(yaml.SafeLoader):
    """Keeps dates and times as the text that was written, and refuses a key that stands twice in a mapping.

    YAML would make an object of a date and count the seconds of a time, and would forget the first of the keys.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  # yaml declares it without a type
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if twice := next((key for key, _ in reversed(node.value) if keys.count(key.value) > 1), None):
            raise yaml.constructor.ConstructorError(None, None, f"{twice.value} stands here twice", twice.start_mark)
        return super().construct_mapping(node, deep)


def _number(loader: _Loader, node: Any) -> Any:
    """Return a number, and the text where YAML takes one for a time: 12:30, and 8000:22 of ports too."""
    if ":" in node.value:
        return node.value
    whole = node.tag.endswith(":int")
    return loader.construct_yaml_int(node) if whole else loader.construct_yaml_float(node)


yaml.add_constructor("tag:yaml.org,2002:timestamp", _Loader.construct_yaml_str, _Loader)
yaml.add_constructor("tag:yaml.org,2002:int", _number, _Loader)
yaml.add_constructor("tag:yaml.org,2002:float", _number, _Loader)


def _count(value: Any, counted: dict[int, int]) -> int:
    """Return how many values a document holds when its aliases are written out; more than LARGEST when that never ends.

    `counted` has those of what was seen already, by its id.
    """
    if not isinstance(value, dict | list):
        return 1
    if id(value) not in counted:
        counted[id(value)] = LARGEST + 1  # until it is known: an alias inside of what it refers to never ends
        below = value.values() if isinstance(value, dict) else value
        counted[id(value)] = 1 + sum(_count(one, counted) for one in below)
    return counted[id(value)]
