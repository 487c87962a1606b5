"""People at work: each has a clone with an environment file of their own, and types `inv` commands, in this process."""

from __future__ import annotations

import copy
import importlib
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from invoke.program import Program

from tests.invariants.stand_in.server import URL, Server
from tests.invariants.stand_in.state import PROJECT
from tests.invariants.transport import Killed, Transport, Trouble
from tests.rendered import ROOMS

ENVIRONMENT = "hunt"
KILLED = -9  # the code of a command that was killed
_PACKAGES = (*ROOMS, "tasks")
_TIMEOUTS = {"capacity": 60, "gateway": 120, "ready": 90, "stop": 120}


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code, what it wrote, and how often it asked the server."""

    words: tuple[str, ...]
    code: int
    output: str
    errors: str
    calls: int
    crash: str | None  # the exception that Python would print as a traceback

    @property
    def said(self) -> str:
        return self.output + self.errors


class Project:
    """A rendered project whose tasks are run in this process, beside others that are imported elsewhere."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._modules: dict[str, ModuleType] = {}
        with self._imported():
            sys.path.insert(0, str(folder))
            try:
                self.tasks = importlib.import_module("tasks")
                for room in ROOMS:
                    for path in sorted((folder / room).rglob("[!_]*.py")):
                        importlib.import_module(".".join(path.relative_to(folder).with_suffix("").parts))
            finally:
                sys.path.remove(str(folder))
        self.run_name = (
            f"{yaml.safe_load((folder / 'dstack/service.dstack.yml').read_text('utf-8'))['name']}-{ENVIRONMENT}"
        )
        self.exit_codes = {int(code) for code in self._modules["console.errors"].ExitCode}

    @contextmanager
    def _imported(self) -> Iterator[None]:
        """Let `import deploy` mean this project's, and afterwards again what it meant before."""
        others = {name: module for name, module in sys.modules.items() if name.split(".")[0] in _PACKAGES}
        for name in others:
            del sys.modules[name]
        sys.modules.update(self._modules)
        try:
            yield
        finally:
            own = [name for name in sys.modules if name.split(".")[0] in _PACKAGES]
            self._modules = {name: sys.modules.pop(name) for name in own}
            sys.modules.update(others)

    @contextmanager
    def at(self, clock: Any) -> Iterator[None]:
        """Import it, and let its code see the time of `clock`."""
        with self._imported(), pytest.MonkeyPatch.context() as patch:
            for module in self._modules.values():
                for name, value in list(vars(module).items()):
                    if value is time:
                        patch.setattr(module, name, clock)
                    elif value in (time.sleep, time.monotonic, time.time, time.perf_counter):
                        patch.setattr(module, name, getattr(clock, value.__name__))
            yield


@dataclass
class Person:
    """Somebody with a clone: `file` is what their environments/hunt.yml says."""

    project: Project
    transport: Transport
    token: str
    file: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.file = self.file or copy.deepcopy(DEFAULT)

    @property
    def value(self) -> str:
        """The value that a deploy of this file brings."""
        return str(self.file["service"]["env"]["ROLLOUT"])

    def inv(self, *words: str, troubles: list[Trouble] | None = None, asked: Callable[[], None] | None = None) -> Done:
        """Run `inv …` to its end. `troubles` happen at calls of this very command.

        `asked` happens when the command asks whether to continue; then the answer is yes. Without it, nobody answers.
        """
        path = self.project.folder / "environments" / f"{ENVIRONMENT}.yml"
        before = path.read_bytes() if path.exists() else b""
        path.write_text(yaml.safe_dump(self.file), "utf-8")
        output, errors = StringIO(), StringIO()
        handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
        transport, crash, code = self.transport, None, 0
        try:
            with (
                transport.command(troubles or []),
                transport.installed(),
                self.project.at(transport.clock()),
                _environ(self.token),
                redirect_stdout(output),
                redirect_stderr(errors),
                _terminal(asked),
            ):
                try:
                    code = _run(self.project.tasks.namespace, [*words, "--env", ENVIRONMENT])
                except Killed:
                    pass
                except AssertionError:
                    raise
                except Exception as error:  # Python would print it and end with 1
                    code, crash = 1, repr(error)
                calls = transport.calls
                if transport.killed:  # what the code under test made of that never happened
                    code, crash = KILLED, None
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)
            path.write_bytes(before)
        return Done(words, code, output.getvalue(), errors.getvalue(), calls, crash)


DEFAULT: dict[str, Any] = {
    "server": {"url": URL, "project": PROJECT},
    "timeouts": _TIMEOUTS,
    "service": {"env": {"HF_TOKEN": None, "ROLLOUT": 1}},
}


def server() -> Server:
    """A server on which two people have accounts."""
    return Server(keys={name: f"ssh-ed25519 AAAA{name} {name}" for name in ("anna", "ben")})


def _run(namespace: Any, words: list[str]) -> int:
    try:
        Program(namespace=namespace, name="inv", binary="inv").run(["inv", *words])
    except SystemExit as end:
        return int(end.code) if isinstance(end.code, int) else 0 if end.code is None else 1
    return 0


@contextmanager
def _environ(token: str) -> Iterator[None]:
    """What a person's shell has set, and nothing of this one's."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(("DSTACK_", "AWS_", "GITHUB_")) or name.lower().endswith("_proxy"):
                patch.delenv(name)
        patch.setenv("DSTACK_TOKEN", token)
        patch.setattr(sys, "stdin", StringIO(""))
        patch.setattr(sys, "argv", ["inv", "--debug"])  # a fault shows its traceback
        patch.setattr(
            socket, "getaddrinfo", lambda *_, **__: []
        )  # every name resolves: the transport knows who is there
        yield


@contextmanager
def _terminal(asked: Callable[[], None] | None) -> Iterator[None]:
    """Let a question be answered with yes, after `asked` has happened."""
    with pytest.MonkeyPatch.context() as patch:
        if asked is not None:
            patch.setattr(sys, "stdin", _Yes(asked))
        yield


@dataclass
class _Yes:
    """A terminal at which somebody types yes after a while."""

    asked: Callable[[], None]

    def isatty(self) -> bool:
        return True

    def readline(self) -> str:
        self.asked()
        return "yes\n"
