"""Imports the modules of a package when they are first used, so that `inv --list` and shell completion stay fast."""

from collections.abc import Callable
from importlib import import_module
from types import ModuleType


def modules_of(package: str) -> Callable[[str], ModuleType]:
    """Return a `__getattr__` for a package that imports its module of that name."""

    def module(name: str) -> ModuleType:
        if name.startswith("__"):
            raise AttributeError(name)
        return import_module(f"{package}.{name}")

    return module
