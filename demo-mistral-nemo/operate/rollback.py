"""Goes back to an earlier deployment: today's code deploys dstack/ and environments/ of its commit."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from console.errors import ExitCode, Failure
from deploy import environments, git
from deploy.deployments import Deployment
from deploy.environments import Environment
from operate.history import Row, signed

NUMBER = re.compile(r"[0-9]{1,6}")
COMMIT = re.compile(r"[0-9a-fA-F]{7,64}")


def target(rows: list[Row], to: str, name: str) -> Deployment:
    """Return what to go back to: `to` is a number of `inv history`, a commit, or "" or "previous" for the default.

    The default is the newest deployment before the current one that became ready, with other files.
    Fails with ROLLBACK_REFUSED.
    """
    see = f"see `inv history --env {name}`"
    if to in ("", "previous"):
        fit = [row.deployment for row in rows[1:] if row.result == "ready" and _files(row) != _files(rows[0])]
        if not fit:
            raise refused("no earlier deployment is known to have been ready", f"{see}, and choose one with --to")
        return _committed(fit[0], see)
    if NUMBER.fullmatch(to):
        found = [row.deployment for row in rows if row.deployment.number == int(to)]
        if not found:
            raise refused(f"there is no deployment {to}", see)
        return _committed(found[0], see)
    if not COMMIT.fullmatch(to):
        written = f"write a number of `inv history --env {name}`, a commit's hash, or previous"
        raise refused(f"--to is {to!r}", written)
    listed = [row.deployment for row in rows if row.deployment.commit.startswith(to.lower())]
    number = next((one.number for one in listed if not one.dirty), 0)
    return Deployment(commit=to.lower(), number=number)


def _files(row: Row) -> tuple[str, bool]:
    """Return what says whose files a row deployed: its commit, and whether they were changed since."""
    return row.deployment.commit, row.deployment.dirty


def _committed(deployment: Deployment, see: str) -> Deployment:
    if not deployment.commit or deployment.dirty:
        had = "had uncommitted changes" if deployment.commit else "has no commit"
        raise refused(f"deployment {deployment.number} {had}, so git does not have its files", f"{see}, choose another")
    return deployment


def earlier(environment: Environment, wanted: Deployment) -> Environment:
    """Return the environment with the files of that commit. Fails when they would deploy somewhere else."""
    commit, subject = git.commit_named(environments.ROOT, wanted.commit)
    with TemporaryDirectory() as folder:
        git.extract(environments.ROOT, commit, Path(folder))
        try:
            found = environments.load(environment.name, files=Path(folder))
        except Failure as failure:
            raise Failure(failure.code, f"commit {commit[:7]}: {failure.problem}", failure.remedy) from None
    for what in ("server_url", "project", "run_name"):
        before, now = getattr(found, what), getattr(environment, what)
        if before != now:
            why = f"{what} is {before} in commit {commit[:7]} and {now} now, so going back would leave what runs alone"
            raise refused(why, "choose another deployment with --to")
    found = replace(found, protected=environment.protected or found.protected, timeouts=environment.timeouts)
    return signed(found, Deployment(commit=commit, subject=subject, back_to=wanted.number))


def refused(problem: str, remedy: str) -> Failure:
    """Return the Failure of a rollback that changes nothing."""
    return Failure(ExitCode.ROLLBACK_REFUSED, problem, remedy)
