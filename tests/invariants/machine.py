"""Two people at one service, and everything that can go wrong, in every order: rules that hypothesis draws from."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.invariants.person import Project
from tests.invariants.stage import VALUE, Stage
from tests.invariants.transport import Trouble

WHO = st.sampled_from([0, 1])
CALLS = st.integers(1, 40)
BODIES = ("null", "{}", "[]", '"yes"', "<html>Sign in</html>", "")
STATUSES = (429, 500, 502, 503, 408, 520)
TIMES = st.sampled_from([1, 1, 2, 8])
REDIRECTS = st.sampled_from([204, 301, 307])
FAULTS = st.one_of(
    st.builds(Trouble, st.just("error"), CALLS, TIMES, st.sampled_from(STATUSES)),
    st.builds(Trouble, st.sampled_from(["lost", "dropped"]), CALLS, TIMES),
    st.builds(Trouble, st.just("answer"), CALLS, st.sampled_from([1, 1, 30]), st.just(200), st.sampled_from(BODIES)),
    st.builds(Trouble, st.just("answer"), CALLS, st.just(1), REDIRECTS, location=st.just("https://dstack.example/")),
    st.builds(Trouble, st.just("slow"), CALLS, seconds=st.sampled_from([20.0, 130.0])),
    st.builds(Trouble, st.sampled_from(["interrupt", "terminate", "kill"]), CALLS),
)
TROUBLE = st.one_of(st.none(), FAULTS)
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
    """Whoever runs it sets `project`; promises whose name is in `ignored` are noted in `known`."""

    project: ClassVar[Project]
    ignored: ClassVar[frozenset[str]] = frozenset()
    known: ClassVar[dict[str, str]] = {}
    stage: Stage | None = None

    @initialize()
    def begin(self) -> None:
        self.stage = Stage(self.project, ignored=self.ignored, known=self.known)

    @rule(who=WHO, writes=st.lists(WRITES, max_size=2), trouble=TROUBLE)
    def deploy(self, who: int, writes: list[tuple[str, Any]], trouble: Trouble | None) -> None:
        for key, value in writes:
            self._on.write(who, key, value)
        self._on.do(who, "deploy", "--yes", trouble=trouble)

    @rule(who=WHO, trouble=TROUBLE)
    def destroy(self, who: int, trouble: Trouble | None) -> None:
        self._on.do(who, "destroy", "--yes", trouble=trouble)

    @rule(who=WHO, trouble=FAULTS)
    def plan(self, who: int, trouble: Trouble) -> None:
        self._on.do(who, "plan", trouble=trouble)

    @rule(who=WHO, at=CALLS, word=st.sampled_from(["deploy", "deploy", "destroy"]))
    def deploy_while_somebody_else_works(self, who: int, at: int, word: str) -> None:
        stage, other = self._on, self._on.people[1 - who]
        for one in (who, 1 - who):
            stage.write(one, VALUE)
        visit = Trouble("visit", at, visitor=lambda: stage.note(other.inv(word, "--yes")))
        stage.do(who, "deploy", "--yes", trouble=visit)

    @rule(who=WHO, word=st.sampled_from(["deploy", "destroy"]))
    def agree_to_what_somebody_else_has_changed_since(self, who: int, word: str) -> None:
        for one in (who, 1 - who):
            self._on.write(one, VALUE)
        self._on.agree_late(who, word, "--yes")

    @rule(who=WHO)
    def take_the_file_of_the_other(self, who: int) -> None:
        people = self._on.people
        people[who].file = json.loads(json.dumps(people[1 - who].file))

    @rule(weather=WEATHER)
    def clouds_and_containers_change(self, weather: tuple[bool, int, str]) -> None:
        conditions = self._on.server.state.conditions
        conditions.capacity, conditions.sold_out, containers = weather
        conditions.crashing, conditions.unready = containers == "crash", containers == "hang"

    @rule(seconds=st.sampled_from([3.0, 20.0, 120.0]))
    def time_passes(self, seconds: float) -> None:
        self._on.server.advance(seconds)

    def teardown(self) -> None:
        """Whatever happened: without faults deploys come to rest, and destroy ends with 0 and leaves nothing."""
        if self.stage is not None:
            self.stage.settle(self.stage.writings % 2)
            self.stage.clear_away()

    @property
    def _on(self) -> Stage:
        assert self.stage is not None
        return self.stage
