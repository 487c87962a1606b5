"""Asks a gateway by its addresses whether it knows the service.

For a host name that it does not know, nginx answers with its own page and status 200. So the body decides.
"""

from contextlib import suppress
from enum import Enum

import requests

from console.connection import CONNECT_SECONDS, Session
from deploy.dstack.answers import Run
from deploy.dstack.client import Notify
from deploy.dstack.gateway import Gateway
from deploy.dstack.polling import poll
from deploy.environments import Environment

REGISTRATION_SECONDS = 60.0  # dstack registers a service within 3 s, later when its server is busy
UNSEEN_SECONDS = 15.0  # the wait where the gateway can't be asked, e.g. outside its VPC
ANSWER_SECONDS = 10


class Answer(Enum):
    """What one of a gateway's addresses answers when it is asked for the service's models."""

    SERVICE = "the service answers"
    OTHER = "something else answers"
    NONE = "no connection"


def wait_for_answers(environment: Environment, gateway: Gateway, run: Run, notify: Notify) -> None:
    """Wait until the service answers at each address of `gateway`, at most REGISTRATION_SECONDS.

    With a certificate, only the name can be asked. There, and where no connection is possible, wait UNSEEN_SECONDS.
    """
    secure = (environment.gateway or {}).get("certificate", "lets-encrypt") is not None
    can_ask, limit = not secure and run.host is not None, UNSEEN_SECONDS
    for _ in poll(REGISTRATION_SECONDS if can_ask else limit):
        if not can_ask:
            continue
        answers = {ask(address, str(run.host), environment.token) for address in gateway.targets}
        if answers == {Answer.SERVICE}:
            notify(f"gateway {environment.gateway_name}: answers as {run.host}")
            return
        if Answer.NONE in answers:
            can_ask = False
            break
    if not can_ask and not secure:
        for _ in poll(limit):
            pass
    notify(f"gateway {environment.gateway_name}: not verified that it answers as {run.host}")


def ask(address: str, host: str, token: str) -> Answer:
    """Ask one address of a gateway for the models of the service `host`."""
    headers = {"Host": host}
    try:
        limits = (CONNECT_SECONDS, ANSWER_SECONDS)
        url = f"http://{address}/v1/models"
        answer = Session(token).get(url, headers=headers, timeout=limits, allow_redirects=False)
    except requests.ConnectionError:
        return Answer.NONE
    except requests.RequestException:
        return Answer.OTHER
    with suppress(ValueError, KeyError, TypeError):
        return Answer.SERVICE if answer.ok and isinstance(answer.json()["data"], list) else Answer.OTHER
    return Answer.OTHER
