"""Two people at one service, and everything that can go wrong, in every order: rules that hypothesis draws from."""

from __future__ import annotations

import json
import re
from functools import partial
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.invariants.person import Done, Person, Project, server
from tests.invariants.promises import PROMISES, BrokenPromiseError, Story, Watch, leftovers, shows_what_is_rented
from tests.invariants.stand_in.market import OFFERS
from tests.invariants.stand_in.state import Conditions
from tests.invariants.transport import Transport, Trouble

WHO = st.sampled_from([0, 1])
CALLS = st.integers(1, 40)
BODIES = ("null", "{}", "[]", '"yes"', "<html>Sign in</html>", "")
STATUSES = (429, 500, 502, 503, 408, 520)
FAULTS = st.one_of(
    st.builds(Trouble, st.just("error"), CALLS, st.sampled_from([1, 1, 2, 8]), st.sampled_from(STATUSES)),
    st.builds(Trouble, st.sampled_from(["lost", "dropped"]), CALLS, st.sampled_from([1, 1, 2, 8])),
    st.builds(Trouble, st.just("answer"), CALLS, st.sampled_from([1, 1, 30]), st.just(200), st.sampled_from(BODIES)),
    st.builds(
        Trouble,
        st.just("answer"),
        CALLS,
        st.just(1),
        st.sampled_from([204, 301, 307]),
        location=st.just("https://x.y/"),
    ),
    st.builds(Trouble, st.just("slow"), CALLS, seconds=st.sampled_from([20.0, 130.0])),
    st.builds(Trouble, st.sampled_from(["interrupt", "terminate", "kill"]), CALLS),
)
TROUBLE = st.one_of(st.none(), FAULTS)
VALUE = "service.env.ROLLOUT"  # what every deploy is known by
FIELDS: dict[str, list[Any]] = {  # of the environment file: the values that a person writes there
    "service.replicas": [1, 2, 3, 0],
    "service.stop_duration": ["5m", "4m"],
    "max_price_per_hour": [None, 1.0, 0.42, 0.3],
    "gateway": [None, {}],
    "fleet.max_price": [None, 1.0],
}
WRITES = st.one_of(
    st.just((VALUE, None)),
    *(st.tuples(st.just(key), st.sampled_from(values)) for key, values in sorted(FIELDS.items())),
)
WEATHER = st.sampled_from(  # capacity, how many of the cheapest offers are gone, and what new containers do
    [(True, 0, "")] * 3 + [(False, 0, ""), (True, 2, ""), (True, 4, ""), (True, 0, "crash"), (True, 0, "hang")]
)


class Hunt(RuleBasedStateMachine):
    """`project` is set by whoever runs it; promises whose name is in `ignored` are noted in `known` alone."""

    project: ClassVar[Project]
    ignored: ClassVar[frozenset[str]] = frozenset()
    known: ClassVar[dict[str, str]] = {}

    @initialize()
    def begin(self) -> None:
        self.server = server()
        self.transport = Transport(self.server)
        self.people = [Person(self.project, self.transport, name) for name in self.server.keys]
        self.writings = 1
        for person in self.people:
            person.file["fleet"] = {"nodes": "0..6"}

    @rule(who=WHO, writes=st.lists(WRITES, max_size=2), trouble=TROUBLE)
    def deploy(self, who: int, writes: list[tuple[str, Any]], trouble: Trouble | None) -> None:
        self._write(who, writes)
        self._do(who, "deploy", "--yes", trouble=trouble)

    @rule(who=WHO, trouble=TROUBLE)
    def destroy(self, who: int, trouble: Trouble | None) -> None:
        self._do(who, "destroy", "--yes", trouble=trouble)

    @rule(who=WHO, trouble=FAULTS)
    def plan(self, who: int, trouble: Trouble) -> None:
        self._do(who, "plan", trouble=trouble)

    @rule(who=WHO, at=CALLS, word=st.sampled_from(["deploy", "deploy", "destroy"]))
    def deploy_while_somebody_else_works(self, who: int, at: int, word: str) -> None:
        other = self.people[1 - who]
        for one in (who, 1 - who):
            self._write(one, [(VALUE, None)])
        visit = Trouble("visit", at, visitor=lambda: self._note(other.inv(word, "--yes")))
        self._do(who, "deploy", "--yes", trouble=visit)

    @rule(who=WHO)
    def take_the_file_of_the_other(self, who: int) -> None:
        self.people[who].file = json.loads(json.dumps(self.people[1 - who].file))

    @rule(weather=WEATHER)
    def clouds_and_containers_change(self, weather: tuple[bool, int, str]) -> None:
        conditions = self.server.state.conditions
        conditions.capacity, conditions.sold_out, containers = weather
        conditions.crashing, conditions.unready = containers == "crash", containers == "hang"

    @rule(seconds=st.sampled_from([3.0, 20.0, 120.0]))
    def time_passes(self, seconds: float) -> None:
        self.server.advance(seconds)

    def teardown(self) -> None:
        """Whatever happened: without faults deploys come to rest, and destroy ends with 0 and leaves nothing."""
        if not hasattr(self, "people"):
            return
        self._heal()
        self._settle(self.writings % 2)
        codes = []
        for person in self.people + self.people:
            codes.append(person.inv("destroy", "--yes").code)
            if codes[-1] == 0:
                break
        if codes[-1] != 0 or leftovers(self.server.state):
            self._break("leftover", f"destroy ended with {codes}, and left {leftovers(self.server.state)}")

    def _settle(self, who: int) -> None:
        """A second deploy ends with 0 at the latest, and a third changes nothing."""
        limits = [self.people[who].file.get("max_price_per_hour"), self.people[who].file["fleet"].get("max_price")]
        if any(limit is not None and limit < OFFERS[0].price for limit in limits):
            return
        for number in (1, 2, 3):
            before = len(self.server.calls)
            done = self._do(who, "deploy", "--yes", trouble=None)
            if number == 2 and done.code != 0:
                self._break("convergence", f"the second deploy ended with {done.code}: {done.errors}")
            writes = [call.path for call in self.server.calls[before:] if call.write]
            if number == 3 and (done.code != 0 or writes):
                self._break("convergence", f"the third deploy ended with {done.code}, called {writes}: {done.errors}")

    def _write(self, who: int, writes: list[tuple[str, Any]]) -> None:
        """Write into somebody's file; None takes a line away, and the value is one that nobody has written before."""
        for key, value in writes:
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

    def _heal(self) -> None:
        self.server.state.conditions = Conditions()

    def _do(self, who: int, *words: str, trouble: Trouble | None) -> Done:
        """Run a command and look whether it kept its promises."""
        person, state = self.people[who], self.server.state
        watch = Watch(self.server, self.project.run_name)
        watch.look()
        served, registered = watch.fewest, self._gateway()
        before = len(self.server.calls)
        self.transport.observer = watch.look
        done = person.inv(*words, troubles=[trouble] if trouble else [])
        self.transport.observer = lambda: None
        self._note(done)
        written = [call.path for call in self.server.calls[before:] if call.write and call.status == 200]
        visited = trouble is not None and trouble.kind == "visit"
        floor = min(served, self._floor(person, done, trouble)) if registered == self._gateway() else 0
        story = Story(person, done, written, floor, watch, visited, state)
        for promise in PROMISES:
            self._check(partial(promise, story))
        self._check(lambda: shows_what_is_rented(person, state))
        return done

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

    def _note(self, done: Done) -> None:
        print(f"    inv {' '.join(done.words)} -> {done.code}, {done.calls} calls")

    def _check(self, promise: Any) -> None:
        try:
            promise()
        except BrokenPromiseError as broken:
            self._break(*str(broken).split(": ", 1))

    def _break(self, name: str, why: str) -> None:
        if name not in self.ignored:
            raise BrokenPromiseError(f"{name}: {why}")
        self.known.setdefault(f"{name}: {why}".splitlines()[0], why)
