"""The smoke test: asks the endpoint like a caller, once, and takes the time.

What is asked depends on the kind of model: chat.py or pictures.py. A repository has the file of its own kind alone.
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
from operate.endpoint import Answer, Endpoint
from operate.kind import model_kind
from operate.status import deployed

REGISTRATION_SECONDS = 180.0  # so long may a busy dstack take to tell its proxy of a new replica; idle, up to 35
RESOLVE_SECONDS = 10.0  # resolvers inside a VPC know a new record immediately

Ask = Callable[[Endpoint, Document], Answer]


def smoke_test(environment: Environment, run: Run | None, patience: float = 0.0) -> Answer:
    """Ask the run's endpoint, see `check`.

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
    """Ask `url` what the service's kind of model answers. Fails with SMOKE_FAILED, quoting the answer.

    What fails is asked again for `patience` seconds: a proxy may not have heard of a new replica yet, and a replica
    that leaves while a gateway scales cuts what it is answering.
    """
    ask, endpoint = _questions(), Endpoint(url, Session(token))
    for _ in poll(patience):
        with suppress(Failure):
            return ask(endpoint, service)
    return ask(endpoint, service)


def _questions() -> Ask:
    """Return `ask` of the module that is named after this service's kind of model."""
    ask: Ask = import_module(f"operate.{model_kind()}").ask
    return ask


def _resolves(url: str) -> bool:
    """Return whether the host's name, of a private zone, has an address here; a new record may take its time.

    Where it has one, callers are: a gateway that takes no connections there is down.
    """
    for _ in poll(RESOLVE_SECONDS):
        with suppress(OSError):
            socket.getaddrinfo(urlsplit(url).hostname, None)
            return True
    return False
