"""`inv dstack -- …` runs dstack's own command line with the environment's server, token and project."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from console.errors import ExitCode, Failure
from deploy.environments import Environment
from operate import dstack_cli


class Executed(Exception):  # noqa: N818
    """What would replace this process."""


@pytest.fixture
def _executing(monkeypatch: pytest.MonkeyPatch) -> None:
    def execve(program: Path, words: Sequence[str], variables: dict[str, str]) -> None:
        raise Executed(program.name, list(words), variables)

    monkeypatch.setattr(os, "execve", execve)


@pytest.mark.usefixtures("_executing")
def test_dstack_gets_the_words_and_the_environments_variables(environment: Environment) -> None:
    with pytest.raises(Executed) as executed:
        dstack_cli.run(replace(environment, token="secret"), ["ps", "-v"])
    program, words, variables = executed.value.args
    assert (program, words) == ("dstack", ["dstack", "ps", "-v"])
    assert variables["DSTACK_SERVER_URL"] == environment.server_url
    assert (variables["DSTACK_TOKEN"], variables["DSTACK_PROJECT"]) == ("secret", environment.project)
    assert variables["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize(
    ("words", "said"), [([], "inv dstack -- ps -v"), (["apply", "-f", "dstack/service.dstack.yml"], "run `inv deploy")]
)
@pytest.mark.usefixtures("_executing")
def test_no_command_and_apply_are_refused(environment: Environment, words: list[str], said: str) -> None:
    with pytest.raises(Failure, match=said) as refused:
        dstack_cli.run(environment, words)
    assert refused.value.code == ExitCode.SETTINGS_INVALID


@pytest.mark.usefixtures("_executing")
def test_without_a_token_it_says_so(environment: Environment) -> None:
    with pytest.raises(Failure, match="DSTACK_TOKEN is not set"):
        dstack_cli.run(replace(environment, token=""), ["ps"])


def test_a_missing_dstack_is_one_line(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    with pytest.raises(Failure, match="/nowhere/dstack can't be started"):
        dstack_cli.run(replace(environment, token="secret"), ["ps"])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["inv", "dstack", "--", "ps", "-v"], ["ps", "-v"]),
        (["inv", "dstack", "--env", "prod", "--", "logs", "--", "x"], ["logs", "--", "x"]),
        (["inv", "dstack"], []),
    ],
)
def test_the_command_stands_behind_two_dashes(typed: list[str], words: list[str]) -> None:
    assert dstack_cli.words_behind_dashes(typed) == words
