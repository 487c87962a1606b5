"""Reads what the containers wrote: of all replicas, merged by time, and as it comes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from heapq import merge

from console.errors import ExitCode, Failure
from deploy import observing
from deploy.api import Api
from deploy.dstack.answers import JOB_OVER, Run, Submission
from deploy.dstack.observations import Written
from deploy.dstack.polling import POLL_SECONDS
from deploy.environments import Environment

MONITOR = '{"monitor":'  # how the lines of engine/monitor.py begin
PAGES = 20  # of 1,000 pieces: how far back lines are looked for
Attempt = tuple[int, Submission]  # the number of the replica, and one attempt at running it


@dataclass(frozen=True)
class Line:
    """A line of a replica's container."""

    at: datetime
    replica: int
    text: str

    @property
    def of_monitor(self) -> bool:
        return self.text.startswith(MONITOR)


@dataclass(frozen=True)
class Source:
    """An attempt that wrote something, and its last lines."""

    replica: int
    attempt: Submission
    lines: list[Line]


class Lines:
    """Puts the pieces of one container's output together to lines."""

    def __init__(self, replica: int) -> None:
        self._replica, self._rest, self._at = replica, b"", None  # type: int, bytes, datetime | None

    def feed(self, pieces: Iterable[Written], *, last: bool = False) -> list[Line]:
        """Return the lines that these pieces complete. `last`: nothing comes after them."""
        found = []
        for piece in pieces:
            self._at = self._at or piece.timestamp
            *whole, self._rest = (self._rest + piece.content).split(b"\n")
            for text in whole:
                found.append(self._line(text, self._at or piece.timestamp))
                self._at = piece.timestamp
            self._at = self._at if self._rest else None
        if last and self._rest and self._at:
            found.append(self._line(self._rest, self._at))
            self._rest, self._at = b"", None
        return found

    def _line(self, text: bytes, at: datetime) -> Line:
        """Return a line. Of a progress bar, which returns to the start of its line, only the last state is kept."""
        return Line(at, self._replica, text.decode(errors="replace").rstrip().rpartition("\r")[2])


def attempts(environment: Environment, run: Run | None, replica: int | None = None) -> list[Attempt]:
    """Return the numbers of the replicas with their attempts, the newest attempt first, including those that ended.

    Fails with NOT_DEPLOYED.
    """
    jobs = [job for job in run.jobs if replica in (None, job.number)] if run else []
    if not jobs:
        subject = environment.run_name if replica is None else f"replica {replica} of {environment.run_name}"
        remedy = f"see `inv status --env {environment.name}`"
        raise Failure(ExitCode.NOT_DEPLOYED, f"{subject} never ran", remedy)
    found = [(job.number, submission) for job in jobs for submission in job.submissions]
    return sorted(found, key=lambda attempt: attempt[1].submitted_at, reverse=True)


def tail(
    api: Api,
    run_name: str,
    attempt: Attempt,
    lines: int,
    after: datetime | None,
    keep: Callable[[Line], bool] = lambda line: not line.of_monitor,
) -> list[Line]:
    """Return the last lines of one attempt that are to be kept, at most so many, the oldest first."""
    replica, submission = attempt
    pieces: list[Written] = []
    found: list[Line] = []
    token: str | None = None
    for _ in range(PAGES):
        page = observing.log_page(api, run_name, submission.id, after=after, token=token)
        pieces = [*reversed(page.logs), *pieces]
        found = [line for line in Lines(replica).feed(pieces, last=True) if keep(line)]
        token = page.next_token
        if token is None or len(found) > lines:  # one more: the first line may lack its beginning
            break
    return found[-lines:]


def read(
    api: Api, environment: Environment, run: Run | None, replica: int | None, lines: int, after: datetime | None
) -> list[Source]:
    """Return the newest attempt that wrote something of each replica that serves or starts, and the newest of all.

    So the last words of a container that crashed are there, whatever serves beside it. Fails with NOT_DEPLOYED.
    """
    known = attempts(environment, run, replica)
    present = {job.number for job in run.replicas} if run else set()
    found: dict[int, Source] = {}
    for number, attempt in known:
        if number in found or (found and number not in present):
            continue
        if after and attempt.finished_at and attempt.finished_at < after:
            continue
        if written := tail(api, environment.run_name, (number, attempt), lines, after):
            found[number] = Source(number, attempt, written)
    return [found[number] for number in sorted(found)]


def merged(of_each: Iterable[list[Line]]) -> list[Line]:
    """Return the lines of several containers in the order of time."""
    return list(merge(*of_each, key=lambda line: line.at))


def follow(
    api: Api, environment: Environment, run: Run, replica: int | None, shown: Iterable[Source]
) -> Iterator[list[Line]]:
    """Yield new lines as they come, also those of new replicas, until the run is over."""
    after = {source.attempt.id: source.lines[-1].at for source in shown}
    over = {one.id for _, one in attempts(environment, run, replica) if one.status in JOB_OVER}
    unfinished: dict[str, Lines] = {}
    while True:
        of_each = []
        for number, attempt in attempts(environment, run, replica):
            if attempt.id in over:
                continue
            ended = attempt.status in JOB_OVER
            pieces = _newer(api, environment.run_name, attempt.id, after.get(attempt.id))
            after |= {attempt.id: pieces[-1].timestamp} if pieces else {}
            written = unfinished.setdefault(attempt.id, Lines(number)).feed(pieces, last=ended)
            of_each.append([line for line in written if not line.of_monitor])
            over |= {attempt.id} if ended else set()
        yield merged(of_each)
        if not run.active:
            return
        time.sleep(POLL_SECONDS)
        run = api.run(environment.run_name) or run


def _newer(api: Api, run_name: str, submission_id: str, after: datetime | None) -> list[Written]:
    """Return all that was written after that time, the oldest first."""
    pieces: list[Written] = []
    token: str | None = None
    while True:
        page = observing.log_page(api, run_name, submission_id, after=after, token=token, newest_first=False)
        pieces += page.logs
        token = page.next_token
        if token is None or not page.logs:
            return pieces
