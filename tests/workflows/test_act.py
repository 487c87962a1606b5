"""The tests' own GitHub: it would show what the tests of the workflows look for."""

from __future__ import annotations

import pytest

from tests.workflows.forge import Forge

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1"


def workflow(*steps: dict[str, object], **job: object) -> dict[str, object]:
    """A workflow of one job, `test`."""
    return {
        "on": {"push": None, "pull_request": None},
        "jobs": {"test": {"runs-on": "ubuntu-24.04", "steps": list(steps)} | job},
    }


def pushed(forge: Forge, *steps: dict[str, object], **job: object) -> Forge:
    forge.write({".github/workflows/own.yml": workflow(*steps, **job)})
    forge.push("a workflow")
    return forge


def test_a_job_has_no_files_before_it_checks_them_out_and_no_uv_before_it_is_set_up(forge: Forge) -> None:
    pushed(forge, {"run": "ls; type uv || echo none"}, {"uses": CHECKOUT}, {"run": "ls"})
    log = forge.run("push", "own.yml").job("test").log
    assert log.index("none") < log.index("tasks.py")


def test_a_step_sees_nothing_of_this_machine_s_environment(forge: Forge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTACK_TOKEN", "of the developer")
    pushed(forge, {"run": "env; test -t 1 || echo no terminal"})
    log = forge.run("push", "own.yml").job("test").log
    assert "of the developer" not in log
    assert "no terminal" in log


@pytest.mark.parametrize(
    "step",
    [
        'echo "token: $TOKEN"',
        'echo "token: $TOKEN" >> "$GITHUB_STEP_SUMMARY"',
        'echo "token=$TOKEN" >> "$GITHUB_OUTPUT"',
        "echo ${{ secrets.DSTACK_TOKEN }} > file",
        'gh issue create --title Token --body "$TOKEN"',
        'mkdir -p ~/artifacts && echo "$TOKEN" > ~/artifacts/file',
    ],
)
def test_a_secret_is_found_wherever_it_is_shown(forge: Forge, step: str) -> None:
    secret = {"DSTACK_TOKEN": "9c8b7a"}
    environ = {
        "TOKEN": "${{ secrets.DSTACK_TOKEN }}",
        "GH_TOKEN": "${{ github.token }}",
        "GH_REPO": "acme/mistral-nemo",
    }
    pushed(forge, {"run": step, "env": environ}, permissions={"issues": "write"})
    forge.secrets = secret
    assert forge.run("push", "own.yml").ok
    assert forge.leaks() == ["DSTACK_TOKEN"]
    forge.secrets = {}


def test_gh_refuses_what_github_refuses(forge: Forge) -> None:
    asked = {
        "gh pr comment 7 --body hi": "set the GH_TOKEN",
        "GH_TOKEN=wrong gh pr comment 7 --body hi": "Bad credentials",
        "GH_TOKEN=$TOKEN gh pr comment 7 --body hi": "not accessible by integration",
        "GH_TOKEN=$TOKEN gh issue create --title a --body b --label drift": "not found",
        "GH_TOKEN=$TOKEN gh issue create --titel a": "unrecognized",
        "GH_TOKEN=$TOKEN gh repo delete": "does not know",
    }
    token = {"TOKEN": "${{ github.token }}"}
    steps = [{"run": command, "env": token, "continue-on-error": True} for command in asked]
    pushed(forge, {"uses": CHECKOUT}, *steps, permissions={"issues": "write"})
    job = forge.propose("own.yml").job("test")
    assert [job.steps[command] for command in asked] == ["failure"] * len(asked)
    for answer in asked.values():
        assert answer in job.log
