"""Does the endpoint answer as a model should? What a caller does, done once, with the time it took."""

#% if cookiecutter.__pictures
import base64
import io
import socket
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import requests
from PIL import Image
#% else
import json
import socket
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

import requests
#% endif

from console.connection import CONNECT_SECONDS, Session, quoted
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.dstack.answers import Run
from deploy.dstack.polling import poll
from deploy.environments import Environment
from operate.status import deployed

ANSWER_SECONDS = 120
REGISTRATION_SECONDS = 180.0  # so long may a busy dstack take to tell its proxy of a new replica; idle, up to 35
RESOLVE_SECONDS = 10.0  # resolvers inside a VPC know a new record at once
MILLISECOND = timedelta(milliseconds=1)
#% if cookiecutter.__pictures
SIZE = 512, 512  # pixels


#% else
THINKING_TOKENS = 1024  # a model with a reasoning parser thinks before it calls or writes JSON
CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
SCHEMA = {"type": "json_schema", "json_schema": {"name": "place", "schema": CITY}}
TOOL = {"type": "function", "function": {"name": "weather", "description": "Weather of a city", "parameters": CITY}}


#% endif
def of(environment: Environment, run: Run | None, patience: float = 0.0) -> Document:
    """Ask the run's endpoint, see `check`. Fails with NOT_DEPLOYED when there is none."""
    _, url = deployed(environment, run)
    private = environment.gateway is not None and environment.gateway.get("public_ip") is False
    if private and not _resolves(url):
        why = f"deployed, not verified: the name in {url} does not resolve here"
        fix = f"run inv smoke --env {environment.name} where callers are, inside the VPC"
        raise Failure(ExitCode.NOT_VERIFIED, f"{why}; {fix}")
#% if cookiecutter.__pictures
    return check(url, environment.token, patience)


#% else
    if not (model := environment.service.get("model")):
        raise Failure(ExitCode.SETTINGS_INVALID, "service.model is missing, which says what to ask for; write it again")
    tools = bool(environment.service.get("env", {}).get("TOOL_FLAGS"))
    return check(url, environment.token, model["name"] if isinstance(model, dict) else model, patience, tools=tools)


#% endif
def _resolves(url: str) -> bool:
    """Whether the host's name, of a private zone, has an address here; a new record may take its time.

    Where it has one, callers are: a gateway that takes no connections there is down.
    """
    for _ in poll(RESOLVE_SECONDS):
        with suppress(OSError):
            socket.getaddrinfo(urlsplit(url).hostname, None)
            return True
    return False


#% if cookiecutter.__pictures
def check(url: str, token: str, patience: float = 0.0) -> Document:
    """Ask `url` for its model and a picture: what it is, and milliseconds until each answer; see `_patient`."""
    return _patient(lambda session: _once(session, url), token, patience)


def _once(session: requests.Session, url: str) -> Document:
    models = _ask(session, f"{url}/models")
    listed = ", ".join(str(entry.get("id")) for entry in _list(models, "data"))
    answer = _ask(session, f"{url}/images/generations", {"prompt": "A red square.", "size": "{}x{}".format(*SIZE)})
    try:
        [data] = _list(answer, "data")
        picture = Image.open(io.BytesIO(base64.b64decode(data["b64_json"])))
        picture.load()
    except (OSError, SyntaxError, ValueError, KeyError, TypeError) as error:
        raise _failed(f"{answer.url}: no picture that could be read: {error!r}") from None
    if picture.size != SIZE:
        raise _failed(f"{answer.url}: a picture of {picture.size} pixels where {SIZE} were asked for")
    times = {"models_ms": round(models.elapsed / MILLISECOND), "picture_ms": round(answer.elapsed / MILLISECOND)}
    return {"url": url, "model": listed, **times, "text": "a picture of {} x {} pixels".format(*SIZE)}


#% else
def check(url: str, token: str, model: str, patience: float = 0.0, *, tools: bool = False) -> Document:
    """Ask `url` for its models, a one-token chat of each, a stream, JSON after a schema, and with `tools` a call.

    Returns the stream's text, and milliseconds until each answer; see `_patient`.
    """
    return _patient(lambda session: _once(session, url, model, tools), token, patience)


def _once(session: requests.Session, url: str, model: str, tools: bool) -> Document:
    models = _ask(session, f"{url}/models")
    listed = [str(entry.get("id")) for entry in _list(models, "data")]
    if model not in listed:
        raise _failed(f"{url}/models lists {', '.join(listed) or 'nothing'}, not {model}")
    post = f"{url}/chat/completions"
    body: Document = {"model": model, "messages": [{"role": "user", "content": "Say hello."}]}
    chats = {name: _ask(session, post, body | {"model": name, "max_tokens": 1}) for name in listed}  # LoRA adapters too
    for name, chat in chats.items():
        if not _list(chat, "choices"):
            raise _failed(f"{post} answered for {name} without a choice: {quoted(chat.text)}")
    times = {"models_ms": round(models.elapsed / MILLISECOND), "chat_ms": round(chats[model].elapsed / MILLISECOND)}
    stream = _stream(session, post, body | {"max_tokens": 32, "stream": True})
    body |= {"messages": [{"role": "user", "content": "What is the weather in Paris?"}], "max_tokens": THINKING_TOKENS}
    times["json_ms"] = _city(session, post, body | {"response_format": SCHEMA})
    if tools:
        times["tool_ms"] = _city(session, post, body | {"tools": [TOOL]})
    return {"url": url, "model": model, **times, **stream}


def _city(session: requests.Session, url: str, body: Document) -> int:
    """Milliseconds until an answer that has a city in JSON: in the text, or in the arguments of a call."""
    answer = _ask(session, url, body)
    try:
        message = _list(answer, "choices")[0]["message"]
        said = message["tool_calls"][0]["function"]["arguments"] if "tools" in body else message["content"]
        json.loads(said)["city"]
    except (ValueError, KeyError, TypeError, IndexError):
        asked = "a tool (TOOL_FLAGS in dstack/service.dstack.yml)" if "tools" in body else "a JSON schema"
        raise _failed(f"{url}, asked with {asked}, answers without a city: {quoted(answer.text, 400)}") from None
    return round(answer.elapsed / MILLISECOND)


def _stream(session: requests.Session, url: str, body: Document) -> Document:
    """The streamed text, a thinking model's thoughts too, and the milliseconds until its first and last token."""
    started, first_ms, text, done = time.monotonic(), 0, "", False
    with _ask(session, url, body) as answer:
        try:
            for raw in answer.iter_lines(chunk_size=None):
                line = raw.decode()
                done = done or line == "data: [DONE]"
                if line.startswith("data: ") and not done:
                    first_ms = first_ms or round((time.monotonic() - started) * 1000)
                    choices = json.loads(line.removeprefix("data: "))["choices"]
                    deltas = [choice["delta"] for choice in choices]
                    text += "".join(delta.get("content") or delta.get("reasoning") or "" for delta in deltas)
        except (requests.RequestException, ValueError, KeyError, TypeError, AttributeError) as error:
            raise _failed(f"{url}: the stream broke off after {text!r}: {quoted(str(error))}") from None
    if not done or not text:
        raise _failed(f"{url}: the stream ended without {'text' if done else '[DONE]'}, after {text!r}")
    return {"first_token_ms": first_ms, "stream_ms": round((time.monotonic() - started) * 1000), "text": text}


#% endif
def _patient(ask: Callable[[requests.Session], Document], token: str, patience: float) -> Document:
    """What `ask` finds out. Fails with SMOKE_FAILED, quoting the answer.

    What fails is asked again for `patience` seconds: a proxy may not have heard of a new replica yet, and a replica
    that leaves while a gateway scales cuts what it is answering.
    """
    session = Session(token)
    for _ in poll(patience):
        with suppress(Failure):
            return ask(session)
    return ask(session)


def _ask(session: requests.Session, url: str, body: Document | None = None) -> requests.Response:
    """The answer to a POST of `body`, or to a GET without one; one that is streamed is still to be read."""
    method, stream = ("GET", False) if body is None else ("POST", "stream" in body)
    try:
        limits = (CONNECT_SECONDS, ANSWER_SECONDS)
        answer = session.request(method, url, json=body, stream=stream, timeout=limits, allow_redirects=False)
        said = "" if answer.ok else quoted(answer.text)
    except requests.RequestException as error:
        raise _failed(f"the endpoint does not answer: {quoted(str(error))}") from None
    if answer.is_redirect:
        raise _failed(f"{url} redirects to {answer.headers['location']}: does server.url have the right address?")
    if answer.status_code in (401, 403):
        raise _failed(f"{url} answers {answer.status_code}: is DSTACK_TOKEN a token of this project?")
    if not answer.ok:
        raise _failed(f"{url} answers {answer.status_code}: {said}; see `inv status`, `inv logs`")
    return answer


def _list(answer: requests.Response, key: str) -> list[Document]:
    """The list under `key`: a wrong host name gets a web page with status 200, so the body counts."""
    try:
        return [dict(entry) for entry in answer.json()[key]]
    except (ValueError, KeyError, TypeError):
        raise _failed(f"{answer.url} is no OpenAI API, it answers: {quoted(answer.text)}") from None


def _failed(message: str) -> Failure:
    return Failure(ExitCode.SMOKE_FAILED, message)
