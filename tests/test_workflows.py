"""Workflows, the template's own and those of generated repositories: linted as rendered, and what no linter knows."""

from __future__ import annotations

import itertools
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.rendered import ROOT, Bake, files
from tests.test_rendering import every_combination

STYLE = """
extends: default
rules:
  comments: {min-spaces-from-content: 1}
  document-start: disable
  line-length: {max: 120}
  truthy: {check-keys: false}
"""
LINTERS = {
    "actionlint": ["-shellcheck=", "-color", "workflows/*.yml"],
    "zizmor": ["--offline", "--min-severity=medium", "--no-progress", "."],
    "yamllint": ["--strict", f"--config-data={STYLE}", "."],
    "check-jsonschema workflows": ["--builtin-schema=vendor.github-workflows", "workflows/*.yml"],
    "check-jsonschema actions": ["--builtin-schema=vendor.github-actions", "actions/*/action.yml"],
    "check-jsonschema dependabot": ["--builtin-schema=vendor.dependabot", "dependabot.yml"],
    "check-jsonschema forms": ["--builtin-schema=vendor.github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"],
    "check-jsonschema choice of forms": ["--builtin-schema=vendor.github-issue-config", "ISSUE_TEMPLATE/config.yml"],
}
PARTS = ["gateway", "dns", "service"]
Load = Callable[[str], Any]


@pytest.fixture(params=["template", "generated"])
def folder(request: pytest.FixtureRequest, baked: Bake, tmp_path: Path) -> Path:
    """A copy of a .github folder, in what the linters take for the root of a repository."""
    project = ROOT if request.param == "template" else baked()
    (tmp_path / ".git").mkdir()
    return Path(shutil.copytree(project / ".github", tmp_path / ".github"))


@pytest.fixture(scope="module")
def load(baked: Bake) -> Load:
    """load("deploy"): a generated workflow."""
    return lambda name: yaml.load((baked() / f".github/workflows/{name}.yml").read_text("utf-8"), yaml.BaseLoader)


def lint(linter: str, folder: Path) -> subprocess.CompletedProcess[str] | None:
    """The linter's verdict on what a folder has for it; None when that is nothing."""
    options, words = [word for word in LINTERS[linter] if word.startswith("-")], LINTERS[linter][-1]
    named = [str(path.relative_to(folder)) for path in sorted(folder.glob(words))] if words != "." else ["."]
    program = Path(sys.executable).with_name(linter.split()[0])
    return subprocess.run([program, *options, *named], cwd=folder, capture_output=True, text=True) if named else None


@pytest.mark.parametrize("linter", LINTERS)
def test_linters_find_nothing(folder: Path, linter: str) -> None:
    verdict = lint(linter, folder)
    assert verdict is None or verdict.returncode == 0, verdict.stdout + verdict.stderr


@pytest.mark.parametrize(
    ("linter", "file", "before", "after"),
    [
        ("actionlint", "workflows/deploy.yml", "      allow-restart: ${{", "      allow-restarts: ${{"),
        ("zizmor", "workflows/dns.yml", '"$ENVIRONMENT"', '"${{ inputs.environment }}"'),
        ("yamllint", "workflows/ci.yml", "name: ci", "name:  ci"),
        ("check-jsonschema workflows", "workflows/ci.yml", "timeout-minutes", "timeout-minute"),
        ("check-jsonschema actions", "actions/setup/action.yml", "using: composite", "using: bash"),
        ("check-jsonschema dependabot", "dependabot.yml", "default-days: 7", "default-days: week"),
    ],
)
def test_linters_find_planted_mistakes(
    baked: Bake, tmp_path: Path, linter: str, file: str, before: str, after: str
) -> None:
    (tmp_path / ".git").mkdir()
    folder = Path(shutil.copytree(baked() / ".github", tmp_path / ".github"))
    text = (folder / file).read_text("utf-8")
    assert before in text
    (folder / file).write_text(text.replace(before, after), "utf-8")
    verdict = lint(linter, folder)
    assert verdict is not None
    assert verdict.returncode != 0


@every_combination
def test_the_region_is_all_that_answers_change(baked: Bake, answers: dict[str, str]) -> None:
    """So that the workflows linted here are all there are."""
    linted, others = (files(baked(**more)) for more in ({}, answers | {"aws_region": "eu-west-1", "owner": "me"}))
    names = [name for name in linted if name.startswith(".github/")]
    assert names
    for name in names:
        assert others[name] == linted[name].replace("us-east-1", "eu-west-1")


def test_scripts_pass_shellcheck(folder: Path) -> None:
    shellcheck = [str(Path(sys.executable).with_name("shellcheck")), "--shell=bash", "-"]
    for step in steps(folder):
        verdict = subprocess.run(shellcheck, input=step.get("run", ""), capture_output=True, text=True)
        assert verdict.returncode == 0, f"{step}\n{verdict.stdout}"


def test_actions_are_pinned_by_commit_and_say_which_version_that_is(folder: Path) -> None:
    pins: dict[str, set[str]] = {}
    for path in folder.rglob("*.yml"):
        for action, pin in re.findall(r"uses: ([^.\s][^@\s]*)@(.*)", path.read_text("utf-8")):
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", pin), f"{path.name}: {action}@{pin}"
            pins.setdefault(action, set()).add(pin)
    assert all(len(versions) == 1 for versions in pins.values()), pins


def test_jobs_end_and_have_no_rights_that_they_did_not_ask_for(folder: Path) -> None:
    for path in (folder / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text("utf-8"))
        assert workflow["permissions"] == {}, path.name
        assert "concurrency" in workflow, path.name
        for name, job in workflow["jobs"].items():
            assert "permissions" in job, f"{path.name}: {name}"
            minutes = re.sub(r"\$\{\{ fromJSON\(vars.\w+ \|\| '(\d+)'\) }}", r"\1", str(job.get("timeout-minutes")))
            assert "uses" in job or int(minutes) <= 90, f"{path.name}: {name}"


def test_no_step_keeps_the_token_of_the_checkout_or_another_workflows_cache(folder: Path) -> None:
    for step in steps(folder):
        if "actions/checkout@" in step.get("uses", ""):
            assert step["with"]["persist-credentials"] is False
        if "setup-uv@" in step.get("uses", ""):
            assert step["with"]["enable-cache"] is False
            assert step["with"]["version"], "setup-uv would take the newest"


def test_scripts_have_the_shell_that_stops_at_a_failing_pipe(folder: Path) -> None:
    """GitHub's default has no pipefail: a failing `inv` before `| jq` would pass."""
    for path in (folder / "workflows").glob("*.yml"):
        workflow = yaml.safe_load(path.read_text("utf-8"))
        piped = any("|" in step.get("run", "") for job in workflow["jobs"].values() for step in job.get("steps", []))
        assert not piped or workflow["defaults"]["run"]["shell"] == "bash", path.name


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_pipeline_can_be_called_and_started_by_hand(load: Load, part: str) -> None:
    workflow, pipeline = load(part), load("deploy")["jobs"][part]
    called, by_hand = workflow["on"]["workflow_call"], workflow["on"]["workflow_dispatch"]["inputs"]
    assert called["inputs"]["environment"]["required"] == by_hand["environment"]["required"] == "true"
    assert set(called["inputs"]) <= set(by_hand)
    assert pipeline["uses"] == f"./.github/workflows/{part}.yml"
    typed = {name: value["type"] for name, value in called["inputs"].items()}
    own = {name: f"${{{{ inputs.{name} || false }}}}" for name, kind in typed.items() if kind == "boolean"}
    if "rollback-to" in typed:  # the commit that the plan showed
        own["rollback-to"] = "${{ needs.plan.outputs.commit || inputs.rollback-to || '' }}"
    assert pipeline["with"] == own | {"environment": "${{ needs.target.outputs.environment }}"}
    assert pipeline["secrets"] == {name: f"${{{{ secrets.{name} }}}}" for name in called["secrets"]}


@pytest.mark.parametrize("name", ["deploy", *PARTS])
def test_every_tick_box_becomes_the_flag_of_its_name(load: Load, name: str) -> None:
    jobs = load(name)["jobs"].values()
    given = [step for job in jobs for step in job.get("steps", []) if "env" in step]
    asked = load(name)["on"]["workflow_dispatch"]["inputs"]
    boxes = [box for box, described in asked.items() if described["type"] == "boolean"]
    assert boxes
    for box in boxes:
        ticked = f"${{{{ inputs.{box} && '--{box}' || '' }}}}"
        [(variable, script)] = [
            (variable, step["run"]) for step in given for variable, value in step["env"].items() if value == ticked
        ]
        assert f'${{{variable}:+"${variable}"}}' in script


def test_the_pipeline_goes_from_the_plan_and_its_approval_to_the_smoke_test(load: Load) -> None:
    order = ["target", "plan", "approve", *PARTS, "smoke"]
    jobs = load("deploy")["jobs"]
    assert [job for job in jobs if job != "old-gateway"] == order
    assert "dns" in jobs["old-gateway"]["needs"]  # records and service have left the old gateway
    assert jobs["old-gateway"]["if"] == "needs.gateway.outputs.others != ''"
    for before, job in itertools.pairwise(order):
        needs = jobs[job]["needs"]
        assert before in ([needs] if isinstance(needs, str) else needs)


@pytest.mark.parametrize("name", ["deploy", *PARTS])
def test_nothing_that_deploys_is_cancelled_or_meets_another_deploy(load: Load, name: str) -> None:
    concurrency = load(name)["concurrency"]
    assert concurrency["cancel-in-progress"] == "false"
    by_hand = concurrency["group"].replace(f"${{{{ github.workflow == '{name}' && 'deploy' || '{name}' }}}}", "deploy")
    assert by_hand.startswith("deploy-${{ inputs.environment ")
    assert load(name)["name"] == name


@pytest.mark.parametrize(("role", "workflows"), [("dns", ["dns"]), ("plan", ["deploy", "plan", "drift"])])
def test_a_role_trusts_the_jobs_that_sign_in_to_it(baked: Bake, load: Load, role: str, workflows: list[str]) -> None:
    """GitHub names a job's environment in the subject of its token; ids are in it since July 2026."""
    [statement] = json.loads((baked() / "policies" / f"{role}-trust.json").read_text("utf-8"))["Statement"]
    subject = statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"]
    assert subject.startswith("repo:ORG@ORG_ID/REPO@REPO_ID:environment:")
    for workflow in workflows:
        job = load(workflow)["jobs"][role]
        assert job["permissions"]["id-token"] == "write"
        environment = job["environment"]
        written = environment if isinstance(environment, str) else environment["name"]
        assert re.sub(r"\$\{\{[^}]*\}\}", "prod", written) == subject.rsplit(":", 1)[1]


def test_tokens_reach_steps_through_their_environment_alone(folder: Path) -> None:
    for step in steps(folder):
        given = {name: value for name, value in step.items() if name not in ("env", "with")}
        assert "secrets." not in str(given)
        for name, value in step.get("with", {}).items():
            assert "secrets." not in str(value) or name == "private-key"


def test_what_the_template_brings_runs_without_the_token_that_may_push(load: Load) -> None:
    """cruft renders a template's code, and installs what it needs without a lock."""
    job = load("template-update")["jobs"]["update"]
    assert any("uvx cruft" in step.get("run", "") for step in job["steps"])
    assert set(job["permissions"].values()) == {"read"}
    assert re.findall(r"secrets\.[^}]*", str(job)) == ["secrets.TEMPLATE_TOKEN != '' "]


def steps(folder: Path) -> Iterator[dict[str, Any]]:
    """Every step of every job and local action."""
    for path in folder.rglob("*.yml"):
        document = yaml.safe_load(path.read_text("utf-8"))
        for job in [*document.get("jobs", {}).values(), document.get("runs", {})]:
            yield from job.get("steps", [])
