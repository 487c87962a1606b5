"""A stage for two people: the stand-in, their clones, and every command held against every promise."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from tests.invariants.person import Done, Person, Project, server
from tests.invariants.promises import PROMISES, BrokenPromiseError, Story, Watch, leftovers, shows_what_is_rented
from tests.invariants.stand_in.market import OFFERS
from tests.invariants.stand_in.server import Call, Server
from tests.invariants.stand_in.state import Conditions
from tests.invariants.transport import Transport, Trouble

VALUE = "service.env.ROLLOUT"  # what every deploy is known by


@dataclass
class Stage:
    """`ignored` names promises that may be broken: those are noted in `known`, by their first line."""

    project: Project
    server: Server = field(default_factory=server)
    ignored: frozenset[str] = frozenset()
    known: dict[str, str] = field(default_factory=dict)
    story: list[str] = field(default_factory=list)  # the commands so far, for people
    writings: int = 1

    def __post_init__(self) -> None:
        self.transport = Transport(self.server)
        self.people = [Person(self.project, self.transport, name) for name in self.server.keys]
        for person in self.people:
            person.file["fleet"] = {"nodes": "0..6"}

    def write(self, who: int, key: str, value: Any = None) -> None:
        """Write into somebody's file; None takes a line away, and VALUE is one that nobody has written before."""
        *outer, name = key.split(".")
        document = self.people[who].file
        for part in outer:
            document = document.setdefault(part, {})
        if key == VALUE:
            self.writings += 1
            document[name] = self.writings
        elif value is None:
            document.pop(name, None)
        else:
            document[name] = value

    def do(self, who: int, *words: str, trouble: Trouble | None = None) -> Done:
        """Run a command, and raise BrokenPromiseError for a promise that it does not keep."""
        person, state = self.people[who], self.server.state
        watch = Watch(self.server, self.project.run_name)
        watch.look()
        served, registered, before = watch.fewest, self._gateway(), len(self.server.calls)
        self.transport.observer = watch.look
        done = person.inv(*words, troubles=[trouble] if trouble else [])
        self.transport.observer = lambda: None
        self.note(done)
        written = _written(self.server.calls[before:])
        floor = min(served, self._floor(person, done, trouble)) if registered == self._gateway() else 0
        visited = trouble is not None and trouble.kind == "visit"
        story = Story(person, done, written, floor, watch, visited, state)
        for promise in PROMISES:
            try:
                promise(story)
            except BrokenPromiseError as broken:
                self.break_promise(*str(broken).split(": ", 1))
        try:
            shows_what_is_rented(person, state)
        except BrokenPromiseError as broken:
            self.break_promise(*str(broken).split(": ", 1))
        return done

    def agree_late(self, who: int, *words: str) -> Done:
        """Deploy without --yes; the other person's command comes between what was shown and the yes.

        Where that changed run or fleet, the deploy has to end with 31 and change nothing.
        """
        person, other, calls = self.people[who], self.people[1 - who], self.server.calls
        theirs: list[str] = []
        agreed = len(calls)

        def meanwhile() -> None:
            nonlocal agreed
            before = len(calls)
            self.note(other.inv(*words))
            theirs.extend(_written(calls[before:]))
            agreed = len(calls)

        done = person.inv("deploy", asked=meanwhile)
        self.note(done)
        ours = _written(calls[agreed:])
        if any(path.startswith(("runs/", "fleets/")) for path in theirs) and (done.code != 31 or ours):
            why = f"after {theirs} of somebody else it ended with {done.code} and called {ours}"
            self.break_promise("outdated", f"{why}\n{done.said}")
        return done

    def heal(self) -> None:
        """Clouds and containers are well from now on, and a model that never finished to load does."""
        self.server.state.conditions = Conditions()
        for run in self.server.state.runs.values():
            for attempt in run.attempts:
                attempt.ill = "" if attempt.ill == "unready" else attempt.ill

    def settle(self, who: int) -> None:
        """Without faults a second deploy ends with 0 at the latest, and a third changes nothing."""
        self.heal()
        limits = [self.people[who].file.get("max_price_per_hour"), self.people[who].file["fleet"].get("max_price")]
        if any(limit is not None and limit < OFFERS[0].price for limit in limits):
            return
        for number in (1, 2, 3):
            before = len(self.server.calls)
            done = self.do(who, "deploy", "--yes")
            if number == 2 and done.code != 0:
                self.break_promise("convergence", f"the second deploy ended with {done.code}: {done.errors}")
            writes = [call.path for call in self.server.calls[before:] if call.write]
            if number == 3 and (done.code != 0 or writes):
                why = f"the third deploy ended with {done.code}, called {writes}: {done.errors}"
                self.break_promise("convergence", why)

    def clear_away(self) -> None:
        """Without faults destroy ends with 0, at the fourth try at the latest, and leaves nothing."""
        self.heal()
        codes = []
        for person in self.people + self.people:
            codes.append(person.inv("destroy", "--yes").code)
            if codes[-1] == 0:
                break
        if codes[-1] != 0 or leftovers(self.server.state):
            self.break_promise("leftover", f"destroy ended with {codes}, and left {leftovers(self.server.state)}")

    def note(self, done: Done) -> None:
        self.story.append(f"{' '.join(done.words)} -> {done.code}, {done.calls} calls")

    def break_promise(self, name: str, why: str) -> None:
        if name not in self.ignored:
            raise BrokenPromiseError(f"{name}: {why}\n--- commands\n" + "\n".join(self.story))
        self.known.setdefault(f"{name}: {why}".splitlines()[0], why)

    def _floor(self, person: Person, done: Done, trouble: Trouble | None) -> int:
        """How many replicas have to serve while a command runs, by the plan that it showed."""
        words, run = done.words, self.server.state.runs.get(self.project.run_name)
        if words[0] != "deploy":
            return 0 if words[0] == "destroy" else 1_000
        if trouble is not None and trouble.kind == "visit":
            return 0
        if re.search(r"^(service|fleet) \S+: (restart|create)", done.output, re.MULTILINE) or run is None:
            return 0
        return min(run.desired, int(person.file["service"].get("replicas", 1)))

    def _gateway(self) -> str | None:
        """The gateway that knows the service: where that changes, dstack lets requests fail for a moment."""
        run = self.server.state.runs.get(self.project.run_name)
        return run.gateway if run else None


def _written(calls: list[Call]) -> list[str]:
    """The calls that changed something and were carried out."""
    return [call.path for call in calls if call.write and call.status == 200]
