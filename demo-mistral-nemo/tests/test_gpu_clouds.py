"""The keys in .env, as the clouds see them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import requests

from account import checks, gpu_clouds
from deploy.environments import Environment

KEYS = {"runpod": "RUNPOD_API_KEY", "vastai": "VASTAI_API_KEY"}


class Clouds:
    """Both clouds, which answer every key alike. `broken`: nobody answers."""

    def __init__(self, status: int = 200, credit: Any = 12.5, broken: bool = False) -> None:
        self.status, self.credit, self.broken = status, credit, broken

    def request(self) -> Callable[..., requests.Response]:
        """Return what stands in for a session's method."""

        def answered(session: Any, method: str, url: str, **asked: Any) -> requests.Response:
            return self.answer(url)

        return answered

    def answer(self, url: str) -> requests.Response:
        if self.broken:
            raise requests.ConnectionError("away")
        answer, account = requests.Response(), "graphql" in url or "users/current" in url
        answer.status_code = 200 if account else self.status
        text = {True: '{"data": {"myself": {"clientBalance": CREDIT}}, "credit": CREDIT}', False: "{}"}[account]
        answer._content = text.replace("CREDIT", str(self.credit)).encode()
        return answer


def found(environment: Environment, clouds: Clouds, monkeypatch: pytest.MonkeyPatch, price: float | None) -> list[Any]:
    for cloud in environment.service["backends"]:
        monkeypatch.setenv(KEYS[cloud], "key")
    monkeypatch.setattr(requests.Session, "request", clouds.request())
    return list(checks.findings(gpu_clouds.checks(environment, lambda: price)))


@pytest.mark.parametrize(
    ("clouds", "price", "ok", "text"),
    [
        (Clouds(), None, True, "credit $12.50"),
        (Clouds(), 1.25, True, "warning: credit $12.50, 10.0 hours of one replica at $1.25 an hour"),
        (Clouds(credit=-1), 1.25, True, "warning: credit $-1.00, 0.0 hours"),
        (Clouds(credit=240), 1.0, True, "credit $240.00, 10 days of one replica"),
        (Clouds(credit=9000), 1.0, True, "more than a month"),
        (Clouds(credit='"much"'), 1.0, True, "it does not say how much credit is left"),
        (Clouds(credit="null"), 1.0, True, "it does not say how much credit is left"),
        (Clouds(status=401), 1.0, False, "refuses the key"),
        (Clouds(status=503), 1.0, None, "answers 503"),
        (Clouds(broken=True), 1.0, None, "does not answer"),
    ],
)
def test_a_key_is_checked_as_dstack_does_and_credit_is_shown(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, clouds: Clouds, price: float, ok: bool | None, text: str
) -> None:
    findings = found(environment, clouds, monkeypatch, price)
    assert len(findings) == len(environment.service["backends"])
    for one in findings:
        assert one.ok is ok
        assert text in one.text


def test_a_key_of_a_cloud_that_is_not_there_is_not_checked(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS.values():
        monkeypatch.delenv(name, raising=False)
    assert gpu_clouds.checks(environment, lambda: None) == []


def test_a_key_with_a_foreign_character_is_no_traceback(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    for cloud in environment.service["backends"]:
        monkeypatch.setenv(KEYS[cloud], "kéy")
    assert {one.ok for one in checks.findings(gpu_clouds.checks(environment, lambda: None))} == {False}
