"""An OpenAI API as a caller sees it; whatever is wrong with an answer fails with SMOKE_FAILED and quotes it."""

from dataclasses import dataclass
from datetime import timedelta

import requests

from console.connection import CONNECT_SECONDS, quoted
from console.errors import ExitCode, Failure
from deploy.documents.files import Document

ANSWER_SECONDS = 120
MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Answer:
    """What an endpoint answered. `times`: milliseconds until each answer, by what was asked, such as `chat_ms`."""

    url: str
    model: str
    times: dict[str, int]
    text: str

    def as_json(self) -> Document:
        """Return what `--json` prints of it."""
        return {"url": self.url, "model": self.model, **self.times, "text": self.text}


@dataclass(frozen=True)
class Endpoint:
    """The API at `url`, which ends in `/v1`, asked in `session`."""

    url: str
    session: requests.Session

    def ask(self, path: str, body: Document | None = None) -> requests.Response:
        """Return the answer to a POST of `body`, or to a GET without one; one that is streamed is still to be read."""
        url = f"{self.url}/{path}"
        method, stream = ("GET", False) if body is None else ("POST", "stream" in body)
        limits = (CONNECT_SECONDS, ANSWER_SECONDS)
        try:
            answer = self.session.request(method, url, json=body, stream=stream, timeout=limits, allow_redirects=False)
            refusal = "" if answer.ok else quoted(answer.text)
        except requests.RequestException as error:
            raise failed(f"the endpoint does not answer: {quoted(str(error))}") from None
        if answer.is_redirect:
            raise failed(f"{url} redirects to {answer.headers['location']}: does server.url have the right address?")
        if answer.status_code in (401, 403):
            raise failed(f"{url} answers {answer.status_code}: is DSTACK_TOKEN a token of this project?")
        if not answer.ok:
            raise failed(f"{url} answers {answer.status_code}: {refusal}", "see `inv status`, `inv logs`")
        return answer

    def models(self) -> tuple[list[str], int]:
        """Return the ids of the models, and the milliseconds until they were listed."""
        answer = self.ask("models")
        return [str(entry.get("id")) for entry in entries(answer, "data")], milliseconds(answer)


def entries(answer: requests.Response, key: str) -> list[Document]:
    """Return the list under `key`: a wrong host name gets a web page with status 200, so the body counts."""
    try:
        return [dict(entry) for entry in answer.json()[key]]
    except (ValueError, KeyError, TypeError):
        raise failed(f"{answer.url} is no OpenAI API, it answers: {quoted(answer.text)}") from None


def milliseconds(answer: requests.Response) -> int:
    """Return how long an answer took."""
    return round(answer.elapsed / MILLISECOND)


def failed(problem: str, remedy: str = "") -> Failure:
    """Return the failure of a smoke test."""
    return Failure(ExitCode.SMOKE_FAILED, problem, remedy)
