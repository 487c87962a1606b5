"""Asks gateway replicas by their addresses for a service, as a caller would ask it by name.

dstack says `running` about a gateway replica that is dead, so only an answer shows that it lives. nginx answers 200 for
a host name that it does not know: the body decides.
"""

import http.client
import json
import socket
import ssl
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from deploy.dstack.answers import Run
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.dstack.polling import poll
from deploy.environments import Environment
from deploy.gateway_choice import has_certificate

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
REGISTRATION_SECONDS = 60.0  # dstack registers a service within 3 s, later when its server is busy
UNSEEN_SECONDS = 15.0  # the wait where the gateway can't be asked, e.g. outside its VPC
LONGEST_BODY = 1_000_000  # bytes that are read of an answer


class Verdict(StrEnum):
    """What a gateway replica did when it was asked for the service."""

    ANSWERS = "answers"  # with the list of models
    DENIES = "knows the service, and refuses this request"  # the token, or one more request in this second
    FAILING = "answers with an error"  # the gateway lives and knows the service: e.g. no replica (503)
    WRONG_BODY = "answers for another service"  # it does not know this one
    REFUSES = "refuses connections"  # the machine lives, and nothing listens there
    SILENT = "does not answer"  # it took the connection, and no answer came
    UNREACHABLE = "can't be reached"  # from here: it may be dead, or this machine is elsewhere


KNOWING = {Verdict.ANSWERS, Verdict.DENIES}  # a gateway that has not registered the service gives none of these
LIVING = {*KNOWING, Verdict.FAILING, Verdict.WRONG_BODY}


@dataclass(frozen=True)
class Reached:
    """The verdict about the replica at `address`. `detail`: what exactly came back."""

    address: str
    verdict: Verdict
    detail: str = ""

    def __str__(self) -> str:
        return f"{self.address} {self.verdict}{f' ({self.detail})' if self.detail else ''}"


def ask(address: str, url: str, token: str = "") -> Reached:
    """Ask the replica at `address` for `url`, e.g. `http://nemo.ai.internal/v1`: for the list of its models."""
    parts = urlsplit(url)
    secure = parts.scheme == "https"
    try:
        connection = socket.create_connection((address, parts.port or (443 if secure else 80)), CONNECT_SECONDS)
    except ConnectionRefusedError:
        return Reached(address, Verdict.REFUSES)
    except OSError as error:
        return Reached(address, Verdict.UNREACHABLE, str(error))
    host, path = str(parts.hostname), f"{parts.path.rstrip('/')}/models"
    try:
        with connection:
            status, body = _get(connection, host, path, token, secure=secure)
    except (OSError, http.client.HTTPException) as error:
        return Reached(address, Verdict.SILENT, str(error) or type(error).__name__)
    return Reached(address, judge_answer(status, body), f"HTTP {status}")


def _get(connection: socket.socket, host: str, path: str, token: str, *, secure: bool) -> tuple[int, bytes]:
    """Return status and body of the answer that comes through `connection`."""
    connection.settimeout(ANSWER_SECONDS)
    client = http.client.HTTPConnection(host)
    client.sock = ssl.create_default_context().wrap_socket(connection, server_hostname=host) if secure else connection
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    client.request("GET", path, headers=headers)
    answer = client.getresponse()
    return answer.status, answer.read(LONGEST_BODY)


def judge_answer(status: int, body: bytes) -> Verdict:
    """Return what an answer means. A gateway that does not know the host name answers 404, or 200 with its own page."""
    if status in (http.client.UNAUTHORIZED, http.client.FORBIDDEN, http.client.TOO_MANY_REQUESTS):
        return Verdict.DENIES
    if status >= http.client.INTERNAL_SERVER_ERROR:
        return Verdict.FAILING
    if status != http.client.OK:
        return Verdict.WRONG_BODY
    try:
        listed = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError):
        return Verdict.WRONG_BODY
    return Verdict.ANSWERS if isinstance(listed, list) else Verdict.WRONG_BODY


def ask_gateway(environment: Environment, gateway: Gateway, url: str) -> list[Reached]:
    """Ask each running replica of the gateway, all at the same time, for the service at `url`."""
    addresses = [str(replica["hostname"]) for replica in gateway.running]
    with ThreadPoolExecutor(max_workers=max(len(addresses), 1)) as pool:
        return list(pool.map(lambda address: ask(address, url, environment.token), addresses))


def wait_for_answers(environment: Environment, addresses: Collection[str], run: Run, notify: Notify) -> None:
    """Wait until the gateway knows the service at each of these addresses, at most REGISTRATION_SECONDS.

    With a certificate, only the name can be asked. There, and where no connection is possible, wait UNSEEN_SECONDS.
    """
    can_ask = not has_certificate(environment) and run.host is not None
    for _ in poll(REGISTRATION_SECONDS if can_ask else 0):
        verdicts = {ask(address, f"{run.url}/v1", environment.token).verdict for address in addresses}
        if verdicts <= KNOWING:
            notify(f"gateway {environment.gateway_name}: answers as {run.host}")
            return
        if Verdict.UNREACHABLE in verdicts:
            can_ask = False
            break
    for _ in poll(0 if can_ask else UNSEEN_SECONDS):
        pass
    notify(f"gateway {environment.gateway_name}: not verified that it answers as {run.host}")


def resolve(host: str) -> set[str]:
    """Return the addresses that `host` has here; none where its zone is not known."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return set()


def dead(found: Iterable[Reached], resolved: set[str]) -> list[Reached]:
    """Return the replicas that are dead for sure, as seen from this machine.

    A replica that can't be reached is dead where callers may be: another replica lives, or the service's name leads to
    an address of the gateway. `resolved`: the addresses of that name here. Elsewhere nothing is known about it.
    """
    found = list(found)
    here = any(one.verdict != Verdict.UNREACHABLE for one in found) or bool(resolved & {one.address for one in found})
    known = found if here else [one for one in found if one.verdict != Verdict.UNREACHABLE]
    return [one for one in known if one.verdict not in LIVING]
