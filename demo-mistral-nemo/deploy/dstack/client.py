"""Sends requests to one dstack server, and returns an answer of the expected shape or raises a Failure.

One bad answer decides nothing. With `patience`, a question whose answer is bad or lost is asked again for that many
seconds. A write whose answer is bad or lost is never repeated blindly: the client first looks whether it was carried
out.
"""

import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import count
from typing import Any, TypeAlias, TypeVar

import requests
from pydantic import TypeAdapter, ValidationError

from console.connection import CONNECT_SECONDS, Session
from console.errors import Failure
from deploy.documents.files import Document
from deploy.dstack import failures
from deploy.dstack.refusals import Asked, Foreign, Passing
from deploy.environments import Environment

ANSWER_SECONDS = 120  # a plan asks the clouds for offers
PAUSES = (2.0, 4.0, 8.0)  # seconds before the next try; the last one repeats
WRITE_SECONDS = 20.0  # the shortest time for which a write whose answer was lost is looked up and repeated
Notify: TypeAlias = Callable[[str], None]  # shows one line of progress
T = TypeVar("T")


class Client:
    """Asks one dstack server as the environment's user. With a `patience` of 0 seconds, the first bad answer counts."""

    def __init__(self, environment: Environment, *, patience: float = 0.0, notify: Notify = lambda line: None) -> None:
        self.url, self.project = environment.server_url, environment.project
        self._file, self._patience, self._notify = environment.file, patience, notify
        elsewhere = "look whether the server runs, and whether you need a VPN to reach it"
        self._hint = "run `inv server` in another terminal" if environment.name == "dev" else elsewhere
        # a server that never answered is not waited for; `known`: an answer had the shape of dstack's
        self.reached = self.known = False
        self._session = Session(environment.token)
        self._session.headers["X-API-VERSION"] = version("dstack")  # answers come in the form of that version

    def read(self, path: str, body: Document | None, shape: Any, *, method: str = "POST") -> Any:
        """Return the answer as `shape`. Raises Passing when there was no good answer for `patience` seconds."""
        until = time.monotonic() + self._patience
        for tries in count():
            try:
                return self._once(path, body, shape, method)
            except Passing as failure:
                if self._hopeless(failure) or time.monotonic() >= until:
                    raise
                self._wait(tries, failure)

    def write(self, path: str, body: Document | None, shape: Any, done: Callable[[], T | None]) -> Any:
        """Send a change and return the answer as `shape`, or what `done` returns when the answer was bad or lost.

        `done` looks whether the change was carried out, and returns None if it was not. Only then is it sent again,
        for `patience` seconds and for at least WRITE_SECONDS. The changes that are sent this way compare and swap, or
        may be done twice.
        """
        until = time.monotonic() + max(self._patience, WRITE_SECONDS)
        for tries in count():
            try:
                return self._once(path, body, shape)
            except Passing as failure:
                if self._hopeless(failure):
                    raise
                self._wait(tries, failure)
                found = done()
                if found is None and time.monotonic() >= until:
                    raise
            except Failure:
                # refused because the first one, whose answer was lost, was carried out after it was looked up?
                found = done() if tries else None
                if found is None:
                    raise
            if found is not None:
                return found

    def _hopeless(self, failure: Passing) -> bool:
        return not self.reached or (isinstance(failure, Foreign) and not self.known)

    def _wait(self, tries: int, failure: Failure) -> None:
        self._notify(f"{failure} (asking again)")
        time.sleep(PAUSES[min(tries, len(PAUSES) - 1)])

    def _once(self, path: str, body: Document | None, shape: Any, method: str = "POST") -> Any:
        asked = Asked(self.url, path, self.project, self._file, self._hint, self.known)
        limits = (CONNECT_SECONDS, ANSWER_SECONDS)
        try:
            sent = None if method == "GET" else body or {}
            response = self._session.request(method, self.url + path, json=sent, timeout=limits, allow_redirects=False)
        except requests.RequestException as error:
            self.reached = self.reached or _sent(error)
            raise failures.from_exception(asked, error) from None
        self.reached = True
        if response.status_code != requests.codes.ok:
            raise failures.from_answer(asked, response)
        try:
            answer = TypeAdapter(shape).validate_json(response.content)
        except ValidationError:
            raise failures.from_shape(asked, response.text) from None
        self.known = True
        return answer


def _sent(error: requests.RequestException) -> bool:
    """Return whether the request may have reached a server and been carried out."""
    if isinstance(error, requests.ConnectTimeout) or "NewConnectionError" in str(error):
        return False
    broken = requests.ConnectionError | requests.ReadTimeout | requests.exceptions.ChunkedEncodingError
    return isinstance(error, broken)
