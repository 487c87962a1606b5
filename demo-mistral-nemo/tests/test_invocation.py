"""How the words after `inv` are read."""

from __future__ import annotations

import logging
import sys
from inspect import Parameter
from typing import Any

import pytest
from invoke.config import Config

from console import invocation
from console.errors import ExitCode, Failure
from tasks import namespace


def flag(name: str, default: Any) -> Parameter:
    return Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=default)


@pytest.mark.parametrize(
    ("key", "value", "typed", "said"),
    [
        ("run.dry", True, "--dry", "has no effect here; write --dry-run: inv deploy --dry-run"),
        ("run.dry", True, "-R", "write --dry-run"),
        ("run.dry", True, "-eR", "--dry is invoke's own"),
        ("run.dry", True, "--env", "run.dry, from INVOKE_RUN_DRY or a configuration file of invoke, is invoke's own"),
        ("run.warn", True, "-w", "--warn-only is invoke's own and has no effect here; leave it out"),
        ("run.hide", "both", "--hide=both", "--hide is invoke's own"),
        ("timeouts.command", 5, "-T", "--command-timeout is invoke's own"),
        ("timeouts.command", 5, "--env", "has no effect here; set INVOKE_TIMEOUTS_COMMAND=0"),
    ],
)
def test_a_flag_of_invoke_that_promises_an_outcome_is_refused(
    monkeypatch: pytest.MonkeyPatch, key: str, value: Any, typed: str, said: str
) -> None:
    monkeypatch.setattr(sys, "argv", ["inv", "deploy", typed])
    section, name = key.split(".")
    with pytest.raises(Failure) as failed:
        invocation.refuse_core_flags(Config({section: {name: value}}), "deploy_all", has_dry_run=True)
    assert said in str(failed.value)
    assert failed.value.code == ExitCode.SETTINGS_INVALID


def test_a_task_without_a_dry_run_says_what_shows_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["inv", "--dry", "gateway.deploy"])
    with pytest.raises(Failure, match="inv plan shows what would change"):
        invocation.refuse_core_flags(Config({"run": {"dry": True}}), "gateway_deploy", has_dry_run=False)


def test_every_preview_is_of_a_task_that_there_is() -> None:
    assert invocation.PREVIEWS.keys() <= set(namespace.task_names)


def test_flags_about_looks_may_stay() -> None:
    looks = Config({"run": {"echo": True, "pty": True, "dry": False, "hide": None, "warn": False}})
    invocation.refuse_core_flags(looks, "deploy_all", has_dry_run=True)


@pytest.mark.parametrize(
    ("words", "level", "wanted"),
    [("inv plan --debug", logging.WARNING, True), ("inv -d plan", logging.DEBUG, True), ("inv plan", 30, False)],
)
def test_invokes_own_debug_flag_is_seen_and_shows_no_tokens(
    monkeypatch: pytest.MonkeyPatch, words: str, level: int, wanted: bool
) -> None:
    """invoke turns on the log of every package, and an HTTP client's log has tokens."""
    monkeypatch.setattr(sys, "argv", words.split())
    monkeypatch.setattr(logging.getLogger("invoke"), "level", logging.NOTSET)
    monkeypatch.setattr(logging.getLogger(), "level", level)
    for _ in range(2):  # each task of a command asks
        logging.getLogger("invoke").manager._clear_cache()  # type: ignore[attr-defined]
        assert invocation.wants_debugging() == wanted
    assert not logging.getLogger("botocore").isEnabledFor(logging.DEBUG)


@pytest.mark.parametrize(("name", "default", "given", "value"), [("lines", 200, "7", 7), ("replica", -1, "0", 0)])
def test_a_number_is_converted(name: str, default: int, given: str, value: int) -> None:
    assert invocation.convert(flag(name, default), given) == value
    assert invocation.convert(flag(name, default), str(default)) == default


@pytest.mark.parametrize(
    ("name", "given"),
    [
        *(("replica", "abc"), ("replica", "-2"), ("lines", "0"), ("lines", "1001"), ("at_once", "-1")),
        *(("concurrency", "0"), ("requests", "1.5"), ("requests", "1k"), ("input_tokens", ""), ("output_tokens", "0")),
    ],
)
def test_no_number_or_a_senseless_one_is_refused_with_its_flag(name: str, given: str) -> None:
    with pytest.raises(Failure, match=f"^--{name.replace('_', '-')} .*; write a whole number") as failed:
        invocation.convert(flag(name, 100), given)
    assert failed.value.code == ExitCode.SETTINGS_INVALID


@pytest.mark.parametrize("given", ["dev.yml", "dev.yaml", "environments/dev.yml", "../dev", "environments/dev"])
def test_a_file_is_no_environments_name(given: str) -> None:
    with pytest.raises(Failure, match="did you mean --env dev"):
        invocation.environment_name(given)
    assert invocation.environment_name("dev") == "dev"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("plan prod", "inv plan --env prod"),
        ("plan prod --json", "inv plan --env prod --json"),
        ("-e prod plan", "inv plan --env prod"),
        ("--env prod deploy --yes", "inv deploy --env prod --yes"),
        ("secrets.set prod", ""),
        ("plan --env prod", ""),
        ("bench --folder prod", ""),
        ("plan nonsense", ""),
        ("--list prod", ""),
    ],
)
def test_an_environment_in_the_wrong_place_is_understood(typed: str, meant: str) -> None:
    assert invocation.misplaced(typed.split(), ["dev", "prod"]) == meant
