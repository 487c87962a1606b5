"""Asks an OpenAI API like a caller. A wrong answer fails with SMOKE_FAILED and is quoted."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import requests

from console.connection import CONNECT_SECONDS, quoted
from console.errors import ExitCode, Failure
from deploy.documents.files import Document

ANSWER_SECONDS = 120
MILLISECOND = timedelta(milliseconds=1)
SEE = "see `inv status`, `inv logs`"
FINAL = (400, 413, 422)  # the engine says so of the question itself


class Rejected(Failure):
    """The engine rejected the question itself. The same question has the same answer later."""


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered. `times`: milliseconds until each answer, by question, e.g. `chat_ms`."""

    url: str
    model: str
    times: dict[str, int]
    text: str

    def as_json(self) -> Document:
        """Return the answer as `inv smoke --json` prints it."""
        return {"url": self.url, "model": self.model, **self.times, "text": self.text}


@dataclass(frozen=True)
class Endpoint:
    """The API at `url`, which ends in `/v1`. `session` sends the requests."""

    url: str
    session: requests.Session

    def ask(self, path: str, body: Document | None = None, recording: Path | None = None) -> requests.Response:
        """Return the answer to a POST of `body`, or to a GET without a body. A streamed answer is not read yet.

        With a `recording`, `body` is sent as a form that has this file.
        """
        url = f"{self.url}/{path}"
        form = {"file": (recording.name, recording.read_bytes())} if recording else None
        sent = {"data": body, "files": form} if form else {"json": body}
        method, stream = ("GET", False) if body is None else ("POST", "stream" in body)
        limits = (CONNECT_SECONDS, ANSWER_SECONDS)
        try:
            answer = self.session.request(method, url, stream=stream, timeout=limits, allow_redirects=False, **sent)
            refusal = "" if answer.ok else quoted(answer.text)
        except requests.RequestException as error:
            raise failed(f"the endpoint does not answer: {quoted(str(error))}", SEE) from None
        if answer.is_redirect:
            target = answer.headers["location"]
            raise failed(f"{url} redirects to {target}", "correct server.url in the environment's file")
        if answer.status_code in (401, 403):
            raise failed(f"{url} answers {answer.status_code}", "set DSTACK_TOKEN to a token of this project")
        if not answer.ok:
            kind = Rejected if answer.status_code in FINAL and _is_from_engine(answer) else Failure
            raise kind(ExitCode.SMOKE_FAILED, f"{url} answers {answer.status_code}: {refusal}", SEE)
        return answer

    def models(self) -> tuple[list[str], int]:
        """Return the ids of the models, and the milliseconds until they were listed."""
        answer = self.ask("models")
        return [str(entry.get("id")) for entry in entries(answer, "data")], milliseconds(answer)

    def first_model(self) -> tuple[str, int]:
        """Return the id of the first model, and the milliseconds until it was listed."""
        listed, milliseconds_listed = self.models()
        if not listed:
            raise failed(f"{self.url}/models lists nothing", SEE)
        return listed[0], milliseconds_listed


def entries(answer: requests.Response, key: str) -> list[Document]:
    """Return the list under `key` of an answer. A wrong host may send a web page with status 200, which fails here."""
    try:
        return [dict(entry) for entry in answer.json()[key]]
    except (ValueError, KeyError, TypeError):
        problem = f"{answer.url} is no OpenAI API, it answers: {quoted(answer.text)}"
        raise failed(problem, f"check the address, and {SEE}") from None


def _is_from_engine(answer: requests.Response) -> bool:
    """Return whether an error has the form of the OpenAI API. A proxy on the way answers otherwise."""
    try:
        return isinstance(answer.json()["error"], dict)
    except (ValueError, KeyError, TypeError):
        return False


def milliseconds(answer: requests.Response) -> int:
    """Return the milliseconds that an answer took."""
    return round(answer.elapsed / MILLISECOND)


def failed(problem: str, remedy: str = "") -> Failure:
    """Return the Failure of a smoke test."""
    return Failure(ExitCode.SMOKE_FAILED, problem, remedy)
