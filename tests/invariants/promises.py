"""What `inv` promises, whatever happens to it: each promise looks at one command that has ended, and at the server."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.invariants.person import KILLED, Done, Person
from tests.invariants.stand_in import endpoint
from tests.invariants.stand_in.server import Server
from tests.invariants.stand_in.state import JOB_FINISHED, State

NOT_SERVING = 46  # of `inv status`
NOTHING_CHANGED = {20, 22, 23, 24, 25, 34, 35, 37, 42}  # exit codes that say so
_FREE = re.compile(r"(nothing|no GPU)[^.;]* billed")
_COST = re.compile(rf"\$\d+(\.\d+)? an hour|{_FREE.pattern}|not known what runs")


class BrokenPromiseError(AssertionError):
    """A promise was not kept; the message begins with its name."""


@dataclass
class Watch:
    """What was seen of a service while a command ran."""

    server: Server
    run_name: str
    fewest: int = 1_000  # serving replicas
    seen: set[str] = field(default_factory=set)  # values that answered

    def look(self) -> None:
        answering = endpoint.values(self.server.state, self.run_name)
        self.fewest = min(self.fewest, len(answering))
        self.seen.update(answering)


@dataclass(frozen=True)
class Story:
    """One command with its surroundings: what was there before, what was asked of the server, what was seen."""

    person: Person
    done: Done
    written: list[str]  # calls that changed something and were carried out
    floor: int  # how many replicas must have served at any time
    watch: Watch
    visited: bool  # a command of another person ran in the middle
    state: State


def ends_with_a_line_and_a_known_code(story: Story) -> None:
    """No bug of `inv`, and an exit code that docs/reference.md explains."""
    done = story.done
    if done.code == KILLED:
        return
    fault = "a fault in this repository's tasks" in done.said or "Traceback" in done.said
    _hold("traceback", done.crash is None and not fault, done, str(done.crash))
    known = {0, KILLED, *story.person.project.exit_codes}
    _hold("exit code", done.code in known, done)


def changes_nothing_when_it_says_so(story: Story) -> None:
    """A refusal comes before the first change."""
    quiet = story.done.code in NOTHING_CHANGED or story.done.words[0] in ("plan", "status")
    _hold("refusal", story.visited or not quiet or not story.written, story.done, f"but it called {story.written}")


def keeps_serving(story: Story) -> None:
    """An update without an interruption never has fewer replicas serve than before, or than are wanted."""
    seen = f"{story.watch.fewest} replicas served at some time, {story.floor} had to"
    _hold("outage", story.watch.fewest >= story.floor, story.done, seen)


def brings_what_it_says(story: Story) -> None:
    """A deploy that ends with 0 has brought the file's value, and it answers or is said to be asleep."""
    done, value = story.done, story.person.value
    if done.words[0] != "deploy" or done.code != 0:
        return
    answering = endpoint.values(story.state, story.person.project.run_name)
    if story.visited:
        asleep = "asleep" in done.said
        return _hold("success", value in story.watch.seen or asleep, done, f"{value} never answered")
    right = "asleep" in done.said if not answering else set(answering) == {value}
    _hold("success", right, done, f"the file says {value}, these answer: {answering}")


def tells_what_runs(story: Story) -> None:
    """A deploy that fails after a change says what is billed; and nothing is, if it says so."""
    done = story.done
    if done.words[0] != "deploy" or done.code in (0, KILLED) or story.visited:
        return
    if any(call in ("runs/apply", "gateways/apply") for call in story.written):
        _hold("cost", bool(_COST.search(done.errors)), done, "without a word on what is billed")
    used = [one for run in story.state.runs.values() for one in run.attempts if one.active and one.machine is not None]
    _hold("bill", not _FREE.search(done.errors) or not used, done, f"{len(used)} machines are billed")
    serving = endpoint.values(story.state, story.person.project.run_name)
    _hold("serving", "keeps serving" not in done.errors or bool(serving), done, "nobody answers")


def destroys_all(story: Story) -> None:
    """A destroy that ends with 0 leaves nothing."""
    if story.done.words[0] != "destroy" or story.done.code != 0 or "--dry-run" in story.done.words or story.visited:
        return
    left = leftovers(story.state)
    _hold("leftover", not left, story.done, f"left: {', '.join(left)}")


PROMISES: tuple[Callable[[Story], None], ...] = (
    ends_with_a_line_and_a_known_code,
    changes_nothing_when_it_says_so,
    keeps_serving,
    brings_what_it_says,
    tells_what_runs,
    destroys_all,
)


def leftovers(state: State) -> list[str]:
    """What exists or is billed."""
    found = [f"run {run.name} ({run.status})" for run in state.runs.values() if not run.finished]
    found += [f"fleet {name}" for name in state.fleets] + [f"gateway {name}" for name in state.gateways]
    return found + [f"machine at {one.price} ({one.status})" for one in state.machines.values()]


def shows_what_is_rented(person: Person, state: State) -> None:
    """`inv destroy --dry-run` names all that exists, and `inv status` what the run's machines cost."""
    named = person.inv("destroy", "--dry-run")
    _hold("traceback", named.crash is None, named, str(named.crash))
    wanted = [f"run {run.name}" for run in state.runs.values() if not run.finished]
    wanted += [f"fleet {name}" for name in state.fleets] + [f"gateway {name}" for name in state.gateways]
    missing = [one for one in wanted if one not in named.output]
    _hold("inventory", named.code == 0 and not missing, named, f"without {', '.join(missing)}")
    for run in state.runs.values():
        using = [attempt.machine for attempt in run.attempts if attempt.status not in {*JOB_FINISHED, "terminating"}]
        price = sum(machine.price for machine in using if machine is not None)
        if run.finished or not price:
            continue
        shown = person.inv("status", "--json")
        _hold("inventory", shown.code in (0, NOT_SERVING), shown, f"while machines cost {price:.2f} an hour")
        _hold("inventory", _price(shown) >= price - 0.001, shown, f"while machines cost {price:.2f} an hour")


def _price(shown: Done) -> float:
    document: dict[str, Any] = json.loads(shown.output)
    return float(document["price_per_hour"])


def _hold(name: str, kept: bool, done: Done, why: str = "") -> None:
    if not kept:
        command = f"inv {' '.join(done.words)} ended with {done.code}"
        raise BrokenPromiseError(f"{name}: {command}: {why}\n--- output\n{done.output}\n--- errors\n{done.errors}")
