"""What is in place, and what a token may not look at."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from typing import cast

import pytest
from conftest import job, run

from console.errors import ExitCode, Failure
from deploy.api import Api
from deploy.dstack.answers import Run
from deploy.environments import Environment
from operate import doctor


class Server:
    """A project with these clouds and secrets; None: the token may not list them. It has `serving`, or nothing."""

    def __init__(self, clouds: set[str], secrets: set[str] | None, serving: Run | None = None) -> None:
        self._clouds, self._secrets, self._serving = clouds, secrets, serving

    def server_version(self) -> str:
        return "0.22.5"

    def clouds(self) -> set[str]:
        return self._clouds

    def secret_names(self) -> set[str]:
        if self._secrets is None:
            raise Failure(ExitCode.TOKEN_REFUSED, "Access denied")
        return self._secrets

    def run(self, name: str) -> Run | None:
        return self._serving


@pytest.fixture
def environment(environment: Environment) -> Environment:
    return replace(environment, service=environment.service | {"env": {"A": "${{ secrets.a }}"}})


def served(**env: str) -> Run:
    found = run(job())
    found.run_spec["configuration"]["env"] = env
    return found


def secrets(environment: Environment, secrets: set[str] | None, serving: Run | None = None) -> str:
    return doctor.check_secrets(cast(Api, Server(set(), secrets, serving)), environment)


@pytest.mark.parametrize("serving", [None, served(A="${{ secrets.a }}"), served(A="${{ secrets.a }}", B="1")])
def test_who_may_not_list_secrets_is_let_through_when_nothing_that_serves_is_at_risk(
    environment: Environment, serving: Run | None
) -> None:
    assert secrets(environment, None, serving).startswith("a")


def test_a_secret_that_is_new_to_a_running_service_is_not_taken_on_trust(environment: Environment) -> None:
    """dstack ends the whole service when it is not there."""
    with pytest.raises(Failure, match=r"secret a is new to .*let a manager") as refused:
        secrets(environment, None, served(B="${{ secrets.b }}"))
    assert refused.value.code == ExitCode.SECRET_MISSING


def test_a_secret_that_is_not_there_is_named(environment: Environment) -> None:
    assert secrets(environment, {"a", "b"}) == "a set"
    with pytest.raises(Failure, match=r"inv secrets\.set a --env prod") as refused:
        secrets(environment, {"b"})
    assert refused.value.code == ExitCode.SECRET_MISSING


def test_a_cloud_without_a_key_is_named_after_what_is_fine(
    environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("operate.doctor.Api", lambda _: Server(set(environment.service["backends"]), {"a"}))
    monkeypatch.setattr("operate.doctor.aws_checks.checks", lambda _: [])
    monkeypatch.setattr("operate.doctor.files.placeholders", lambda _: [])
    monkeypatch.setattr("operate.doctor.github.findings", lambda *_: [])
    found: dict[str, bool | None] = {}
    with pytest.raises(Failure, match=r"no keys for aws; add them to the server's config\.yml") as refused:
        found.update((finding.check, finding.ok) for finding in doctor.examine(environment))
    assert refused.value.code == ExitCode.CLOUD_MISSING
    good = dict.fromkeys(("settings", "placeholders", "server", "token", "secrets"), True)
    assert found == good | {"clouds": False}


@pytest.mark.parametrize(
    ("running", "ok", "text"),
    [("0.22.5", True, ""), ("0.21.9", False, "which is newer"), ("0.23.0rc1", True, "warning: "), ("", False, "newer")],
)
def test_the_servers_version_is_compared_with_this_repositorys(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, running: str, ok: bool, text: str
) -> None:
    server = Server({*environment.service["backends"], "aws"}, {"a"})
    monkeypatch.setattr(server, "server_version", lambda: running)
    monkeypatch.setattr("operate.doctor.Api", lambda _: server)
    monkeypatch.setattr("operate.doctor.aws_checks.checks", lambda _: [])
    monkeypatch.setattr("operate.doctor.files.placeholders", lambda _: [])
    monkeypatch.setattr("operate.doctor.github.findings", lambda *_: [])
    findings = []
    with suppress(Failure):
        for finding in doctor.examine(environment):
            findings.append(finding)
        assert ok
    [found] = [finding for finding in findings if finding.check == "server"]
    assert found.ok is ok
    assert text in found.text
