"""What recover.yml makes of the verdicts of `inv`: one issue, open until every gateway is known to be healthy.

The tasks here only end with the codes that they are told. test_pipeline_in_a_vpc.py has the real ones.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.workflows.act import Execution
from tests.workflows.forge import Forge

TASKS = """
import os
from pathlib import Path
from invoke import Collection, Exit, task

def end(name, env):
    code = os.environ[f"{name}_{env.upper()}"]
    with Path(os.environ["GITHUB_STEP_SUMMARY"]).open("a") as page:
        page.write(f"{name} of {env} ended with {code}\\n")
    raise Exit(code=int(code))

@task
def check(context, env):
    end("CHECK", env)

@task
def recover(context, env, yes=False):
    assert yes and os.environ["DSTACK_TOKEN"].startswith("a7")
    end("RECOVER", env)

namespace = Collection(gateway=Collection("gateway", check, recover))
"""


@pytest.fixture
def forge(forge: Forge) -> Forge:
    """A repository with two gateways that are looked after."""
    forge.secrets = {"DSTACK_TOKEN": "4f1d0b", "DSTACK_ADMIN_TOKEN": "a7c39e"}
    forge.variables = {"DSTACK_SERVER_URL": "http://127.0.0.1:9", "GATEWAYS": json.dumps(["prod", "dev"])}
    forge.write({"tasks.py": TASKS})
    forge.push("tasks that end as they are told")
    return forge


def look(forge: Forge, check: int, recover: int | None = None, dev: int = 0) -> Execution:
    """Let a quarter of an hour pass. `check` and `recover`: what they end with for prod; `dev`: the check of dev."""
    codes = {"CHECK_PROD": check, "CHECK_DEV": dev} | ({} if recover is None else {"RECOVER_PROD": recover})
    forge.environ = {name: str(code) for name, code in codes.items()}
    return forge.run("schedule", "recover.yml", schedule="*/15 * * * *")


def issues(forge: Forge) -> list[dict[str, Any]]:
    return list(forge.state.get("issues", {}).values())


def test_one_issue_is_open_until_every_gateway_is_known_to_be_healthy(forge: Forge) -> None:
    assert look(forge, check=0).ok
    assert issues(forge) == []
    dead = look(forge, check=48, recover=34)
    assert dead.ok, str(dead)
    [opened] = issues(forge)
    assert (opened["state"], opened["title"]) == ("OPEN", "The gateway does not serve as it should")
    assert "**prod**" in opened["body"]
    assert "CHECK of prod ended with 48\nRECOVER of prod ended with 34" in opened["body"]
    assert "dev" not in opened["body"].replace("docs/", "")
    for not_known in (
        {"check": 48, "recover": 34},
        {"check": 47, "recover": 39, "dev": 39},  # recovered, and nobody can see it from here
        {"check": 0, "dev": 39},
    ):
        assert look(forge, **not_known).ok
        assert [issue["state"] for issue in issues(forge)] == ["OPEN"], not_known
    failed = look(forge, check=21)
    assert (failed.ok, failed.job("report").result) == (False, "success"), str(failed)
    assert [issue["state"] for issue in issues(forge)] == ["OPEN"]
    assert look(forge, check=48, recover=0).ok
    [closed] = issues(forge)
    assert (closed["number"], closed["state"]) == (opened["number"], "CLOSED")


def test_a_service_at_fault_is_reported_and_its_gateway_left_alone(forge: Forge) -> None:
    assert look(forge, check=49).ok  # without a code for it, gateway.recover would fail
    [opened] = issues(forge)
    assert "CHECK of prod ended with 49" in opened["body"]


def test_an_alarm_starts_it_and_without_gateways_nothing_happens(forge: Forge) -> None:
    forge.environ = {"CHECK_PROD": "48", "RECOVER_PROD": "36", "CHECK_DEV": "0"}
    assert forge.run("repository_dispatch", "recover.yml", action="gateway").ok
    assert "RECOVER of prod ended with 36" in issues(forge)[0]["body"]
    del forge.variables["GATEWAYS"]
    assert forge.run("schedule", "recover.yml", schedule="*/15 * * * *").jobs == {}
