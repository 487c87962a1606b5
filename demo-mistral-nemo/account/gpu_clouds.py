"""The keys of the GPU clouds in .env: whether the clouds take them, and how much credit is left.

Only a local server (`inv server`) reads the keys from .env. A team's server has keys of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import requests

from account.checks import Check, NotCheckedError
from capacity.offers import HOURS_A_MONTH
from console.connection import Session, quoted
from console.errors import ExitCode, Failure
from deploy.environments import Environment, variables_of

Price: TypeAlias = Callable[[], float | None]
ANSWER_SECONDS = 20
LOW_HOURS = 24  # credit for less than a day gets a warning
RUNPOD_QUERY = {"query": "query { myself { clientBalance } }"}


@dataclass(frozen=True)
class Cloud:
    """A GPU cloud: where its key comes from, what tells whether the key is valid, and what has the credit."""

    name: str
    title: str
    variable: str
    check_url: str  # the same call that dstack makes when it takes a key
    credit: Callable[[Session], float | None]  # USD; None when the cloud does not say


def checks(environment: Environment, price: Price) -> list[Check]:
    """Return a check for each of the service's clouds whose key is in .env or the shell.

    `price`: returns USD an hour for one replica, None when it is not known.
    """
    variables = variables_of(environment.name)
    wanted = environment.service.get("backends", [])
    keys = [(cloud, variables.get(cloud.variable, "")) for cloud in CLOUDS if cloud.name in wanted]
    return [Check(f"{cloud.title} key", partial(_examine, cloud, key, price)) for cloud, key in keys if key]


def _examine(cloud: Cloud, key: str, price: Price) -> str:
    """Return that the key is valid, with the credit. Fails with CLOUD_MISSING for a key that the cloud refuses."""
    if not key.isascii() or not key.isprintable():
        problem = f"{cloud.variable} has a character that no key has"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "copy the key again, and nothing but the key")
    session = Session(key)
    try:
        answer = session.get(cloud.check_url, timeout=ANSWER_SECONDS, allow_redirects=False)
    except requests.RequestException as error:
        raise NotCheckedError(f"{cloud.title} does not answer ({type(error).__name__})") from None
    if answer.status_code in (401, 403):
        problem = f"{cloud.title} refuses the key in {cloud.variable}: {quoted(answer.text)}"
        raise Failure(ExitCode.CLOUD_MISSING, problem, f"make a new key in {cloud.title}'s console, and put it there")
    if not answer.ok:
        raise NotCheckedError(f"{cloud.title} answers {answer.status_code}: {quoted(answer.text)}")
    return f"{cloud.title} takes the key{credit_text(_credit(cloud, session), price())}"


def credit_text(credit: float | None, hourly: float | None) -> str:
    """Return what is known about the credit, as text. Low credit is shown as hours at the service's price.

    `credit` in USD, `hourly` in USD for one replica's machine.
    """
    if credit is None:
        return "; it does not say how much credit is left"
    if not hourly:
        return f"; credit ${credit:,.2f}"
    hours = credit / hourly
    if hours >= LOW_HOURS:
        days = f"{hours / 24:,.0f} days" if hours < HOURS_A_MONTH else "more than a month"
        return f"; credit ${credit:,.2f}, {days} of one replica at ${hourly:.2f} an hour"
    return f"; warning: credit ${credit:,.2f}, {max(hours, 0):.1f} hours of one replica at ${hourly:.2f} an hour"


def _credit(cloud: Cloud, session: Session) -> float | None:
    try:
        return cloud.credit(session)
    except (requests.RequestException, ValueError, TypeError, KeyError):
        return None  # a key that may not read the account, or an answer of another form


def _runpod_credit(session: Session) -> float | None:
    answer = session.post("https://api.runpod.io/graphql", json=RUNPOD_QUERY, timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    return _number(answer.json()["data"]["myself"]["clientBalance"])


def _vastai_credit(session: Session) -> float | None:
    answer = session.get("https://console.vast.ai/api/v0/users/current/", timeout=ANSWER_SECONDS)
    answer.raise_for_status()
    return _number(answer.json()["credit"])


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) or re.fullmatch(r"-?\d+(\.\d+)?", str(value)) else None


CLOUDS = (
    Cloud("runpod", "RunPod", "RUNPOD_API_KEY", "https://api.runpod.io/v2/account/ssh-keys", _runpod_credit),
    Cloud("vastai", "Vast.ai", "VASTAI_API_KEY", "https://console.vast.ai/api/v1/instances/", _vastai_credit),
)
