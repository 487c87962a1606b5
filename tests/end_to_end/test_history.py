"""The life of a service in git: what `inv history` says of each deployment, and `inv rollback` with the real server."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.project import Environment, refused
from tests.sandbox.deployment import wait_for
from tests.story import step

QUIET = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class Versioned(Environment):
    """An environment whose files are in git, and what a test asks of it."""

    def git(self, *words: str) -> str:
        words = ("git", *words)
        done = subprocess.run(words, cwd=self.project, env=os.environ | QUIET, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def commit(self, subject: str, **settings: Any) -> str:
        """Write these settings and commit all files. Return the commit."""
        self.write(**settings)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", subject)
        return self.git("rev-parse", "HEAD")

    def rollback(self, *words: str) -> str:
        """Go back, which has to succeed. Return what it printed."""
        done = self.inv("rollback", "--yes", *words)
        assert done.returncode == 0, done.stderr
        return done.stdout

    @property
    def history(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = json.loads(self.inv("history", "--json").stdout)
        return rows

    @property
    def results(self) -> list[tuple[int, str, str]]:
        """Number, subject and result of each deployment, the newest first."""
        return [(row["number"], row["subject"], row["result"]) for row in self.history]

    @property
    def run(self) -> dict[str, Any]:
        found: dict[str, Any] = self.ask_dstack("runs/get", run_name=self.run_name)
        return found

    @property
    def path(self) -> str:
        """The metadata of the deployments, as dstack stores it."""
        return str(self.run["run_spec"]["configuration_path"])


def service(priority: int, **environ: object) -> dict[str, Any]:
    """Settings of a service. dstack changes the priority in place; another environment rolls out."""
    return {"service": {"priority": priority, "env": environ}}


@step
def deploy_without_a_repository(environment: Versioned) -> None:
    """Without a repository it deploys, and a rollback is refused."""
    environment.deploy()
    assert environment.results == [(1, "", "ready")]
    assert "no commit" in environment.inv("history").stdout
    refused(environment.inv("rollback", "--yes"), 50, "no earlier deployment")
    refused(environment.inv("rollback", "--yes", "--to", "1"), 50, "deployment 1 has no commit")
    refused(environment.inv("rollback", "--yes", "--to", "abcdef0"), 50, "git can't read this repository")


@step
def deploy_the_same_files_from_git(environment: Versioned) -> None:
    """A deploy of the same files changes and writes nothing, whatever was committed."""
    environment.git("init", "--quiet", "--initial-branch", "main")
    environment.git("config", "user.name", "Ada")
    environment.git("config", "user.email", "ada@example.com")
    environment.commit("As it was generated")
    before, path = environment.sandbox.calls(writes=True), environment.path
    assert "unchanged" in environment.deploy().stdout
    assert (environment.sandbox.calls(writes=True), environment.path) == (before, path)


@step
def deploy_two_commits(environment: Versioned) -> tuple[str, str]:
    """Two deploys of two commits are two rows. Return the commits."""
    commits = environment.commit("First", **service(10)), ""
    environment.deploy()
    commits = commits[0], environment.commit("Second", **service(10, MAX_NUM_SEQS=96))
    environment.deploy()
    rows = environment.history[:2]
    assert [(row["number"], row["commit"], row["by"], row["branch"]) for row in rows] == [
        (3, commits[1], "Ada", "main"),
        (2, commits[0], "Ada", "main"),
    ]
    assert [row["changed"] for row in rows] == ["env", "priority"]
    assert [row["result"] for row in rows] == ["ready", "ready"]
    assert not any(row["dirty"] or row["failed"] for row in rows)
    return commits


@step
def deploy_a_bad_change(environment: Versioned) -> None:
    """A change that crashes is rolled back, and the history says so."""
    environment.commit("Bad", **service(10, MAX_NUM_SEQS=96, SANDBOX_CRASH=1))
    refused(environment.inv("deploy", "--yes"), 28, "rolled back, what served before keeps serving")
    automatic, bad, *_ = environment.history
    assert (bad["subject"], bad["failed"], bad["result"]) == ("Bad", True, "rolled back")
    assert (automatic["subject"], automatic["automatic"], automatic["back_to"]) == ("Second", True, 3)
    wait_for(lambda: environment.results[0] == (5, "Second", "ready"))


@step
def go_back_by_default(environment: Versioned, first: str) -> None:
    """A rollback goes to the deployment before the current one that became ready, and loses no request."""
    wait_for(lambda: len(environment.machines()) == 1)
    old, edited = environment.machines(), environment.git("status", "--porcelain")
    with environment.load(every=0.5) as answers:
        said = environment.rollback()
        wait_for(lambda: not set(environment.machines()) & set(old))
    assert f"back to commit {first[:7]} First" in said
    assert answers
    assert [answer.failure for answer in answers if answer.failure] == []
    newest = environment.history[0]
    assert (newest["number"], newest["commit"], newest["back_to"], newest["result"]) == (6, first, 2, "ready")
    assert "MAX_NUM_SEQS=96" not in json.dumps(environment.run["run_spec"]["configuration"])
    assert environment.git("status", "--porcelain") == edited


@step
def go_back_to_a_number(environment: Versioned, first: str) -> str:
    """A rollback goes to the number that is asked for. Return the commit that it left."""
    third = environment.commit("Third", **service(20))
    environment.deploy()
    assert environment.run["run_spec"]["configuration"]["priority"] == 20
    environment.rollback("--to", "2")
    assert environment.run["run_spec"]["configuration"]["priority"] == 10
    assert environment.history[0]["commit"] == first
    return third


@step
def go_back_to_a_commit_that_a_shallow_clone_lacks(environment: Versioned, third: str, folder: Path) -> None:
    """A clone of depth 1, as in CI, fetches the commit to go back to."""
    environment.commit("Fourth", **service(30))
    clone = folder / environment.project.name
    environment.git("clone", "--quiet", "--depth", "1", f"file://{environment.project}", str(clone))
    colleague = Versioned(clone, environment.sandbox, environment.name, dict(environment.settings))
    colleague.git("config", "user.name", "Bob")
    assert colleague.git("rev-list", "--count", "HEAD") == "1"
    colleague.rollback("--to", third)
    newest = environment.history[0]
    assert (newest["commit"], newest["subject"], newest["by"]) == (third, "Third", "Bob")
    refused(colleague.inv("rollback", "--yes", "--to", "0" * 40), 50, "origin did not send it", "git fetch --unshallow")


@step
def deploy_uncommitted_changes(environment: Versioned) -> None:
    """Uncommitted changes are recorded and are no target of a rollback; a protected environment refuses them."""
    environment.write(**service(40))
    environment.deploy()
    newest = environment.history[0]
    assert (newest["dirty"], newest["subject"]) == (True, "Fourth")
    refused(environment.inv("rollback", "--yes", "--to", str(newest["number"])), 50, "had uncommitted changes")
    path = environment.path
    environment.write(protected=True, **service(50))
    refused(environment.inv("deploy", "--yes"), 45, "uncommitted changes", "--allow-dirty")
    assert environment.path == path
    environment.deploy("--allow-dirty")
    assert environment.run["run_spec"]["configuration"]["priority"] == 50
    environment.write(protected=False, **service(50))


@step
def write_metadata_alone(environment: Versioned) -> None:
    """A change of the metadata alone touches no replica, and loses no request."""
    run, machines = environment.run, environment.machines()
    spec = run["run_spec"] | {"configuration_path": f"{environment.path} "}
    with environment.load(every=0.5) as answers:
        plan = environment.ask_dstack("runs/get_plan", run_spec=spec)
        sent = {"run_spec": plan["run_spec"], "current_resource": plan["current_resource"]}
        environment.ask_dstack("runs/apply", plan=sent, force=False)
        wait_for(lambda: environment.run["deployment_num"] == run["deployment_num"] + 1)
        wait_for(lambda: len(answers) > 20)
    assert environment.path.endswith(" ")
    assert [answer.failure for answer in answers if answer.failure] == []
    assert environment.machines() == machines
    assert environment.inv("plan", "--detailed-exitcode").returncode == 0


@step
def start_the_run_again(environment: Versioned, third: str) -> None:
    """A change that starts another run keeps the history, and where to go back to."""
    run, before = environment.run["id"], environment.results
    environment.commit("Fifth", service={"priority": 60, "spot_policy": "auto"})
    environment.deploy()
    assert environment.run["id"] != run
    assert environment.results == [(before[0][0] + 1, "Fifth", "ready"), *before]
    assert f"back to commit {third[:7]} Third" in environment.inv("rollback", "--dry-run", "--to", third).stdout


@pytest.fixture
def versioned(project: Path, sandbox: Sandbox, tmp_path: Path) -> Versioned:
    """A project of its own, which is not in git yet."""
    copy = Path(shutil.copytree(project, tmp_path / "ada" / project.name))
    environment = Versioned(copy, sandbox, "versioned")
    environment.write()
    return environment


@pytest.mark.timeout(1500)  # it is one story; beside other hosts that boot, it takes twelve minutes
def test_what_was_deployed_is_known_and_can_be_gone_back_to(versioned: Versioned, tmp_path: Path) -> None:
    deploy_without_a_repository(versioned)
    deploy_the_same_files_from_git(versioned)
    first, _ = deploy_two_commits(versioned)
    deploy_a_bad_change(versioned)
    go_back_by_default(versioned, first)
    third = go_back_to_a_number(versioned, first)
    go_back_to_a_commit_that_a_shallow_clone_lacks(versioned, third, tmp_path / "bob")
    deploy_uncommitted_changes(versioned)
    write_metadata_alone(versioned)
    start_the_run_again(versioned, third)
