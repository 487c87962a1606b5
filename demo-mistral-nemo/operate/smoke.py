"""The smoke test: asks the endpoint once, like a caller, and measures how long the answers take.

The questions depend on the kind of model: chat.py, pictures.py, embeddings.py, reranking.py or transcription.py. A
repository has only the file of its own kind.
"""

import socket
from collections.abc import Callable
from contextlib import suppress
from importlib import import_module
from urllib.parse import urlsplit

from console.connection import Session
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.dstack.answers import Run
from deploy.dstack.polling import poll
from deploy.environments import Environment
from operate.endpoint import Answer, Endpoint, Rejected
from operate.kind import model_kind
from operate.status import deployed

REGISTRATION_SECONDS = 180.0  # a busy dstack may need so long to register a new replica at its proxy; an idle one 35
RESOLVE_SECONDS = 10.0  # resolvers inside a VPC know a new record immediately

Ask = Callable[[Endpoint, Document], Answer]


def smoke_test(environment: Environment, run: Run | None, patience: float = 0.0) -> Answer:
    """Ask the run's endpoint, see `check`, and return its answer.

    Fails with NOT_DEPLOYED when there is no run, with NOT_VERIFIED when a private name does not resolve here.
    """
    _, url = deployed(environment, run)
    private = environment.gateway is not None and environment.gateway.get("public_ip") is False
    if private and not _resolves(url):
        problem = f"deployed, not verified: the name in {url} does not resolve here"
        remedy = f"run inv smoke --env {environment.name} where callers are, inside the VPC"
        raise Failure(ExitCode.NOT_VERIFIED, problem, remedy)
    return check(url, environment.token, environment.service, patience)


def check(url: str, token: str, service: Document, patience: float = 0.0) -> Answer:
    """Ask `url` the questions for the service's kind of model. Fails with SMOKE_FAILED and quotes the answer.

    After a failure, asks again for `patience` seconds. A proxy may not know a new replica yet, and a replica that is
    stopped while a gateway scales breaks off its answers. When the engine rejects a question, that is final.
    """
    ask, endpoint = _questions(), Endpoint(url, Session(token))
    for _ in poll(patience):
        try:
            return ask(endpoint, service)
        except Rejected:
            raise
        except Failure:
            continue
    return ask(endpoint, service)


def _questions() -> Ask:
    """Return the function `ask` of the module that has the name of this service's kind of model."""
    ask: Ask = import_module(f"operate.{model_kind()}").ask
    return ask


def _resolves(url: str) -> bool:
    """Return whether the host's name, in a private zone, resolves here. A new record may take a few seconds.

    Where the name resolves, callers may be: a gateway that takes no connections from there is down.
    """
    for _ in poll(RESOLVE_SECONDS):
        with suppress(OSError):
            socket.getaddrinfo(urlsplit(url).hostname, None)
            return True
    return False
