"""Asks git about this repository: which commit is deployed, by whom, and the files of an earlier commit."""

from __future__ import annotations

import getpass
import io
import os
import subprocess
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from console.connection import quoted
from console.errors import ExitCode, Failure

SECONDS = 30  # for an answer about what is on this machine
FETCH_SECONDS = 120
DEPLOYED = ("dstack", "environments")  # the folders that a rollback takes from an earlier commit
QUIET = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}


@dataclass(frozen=True)
class State:
    """What a deploy sends. `commit` is "" where git has none. `problem`: why the repository can't be read, or ""."""

    commit: str = ""
    subject: str = ""
    branch: str = ""
    dirty: bool = False
    problem: str = ""


class Unreadable(Exception):  # noqa: N818
    """git's own words about why it did not answer."""


def state(root: Path, environment: str) -> State:
    """Return what would be deployed. Whatever git can't say is empty.

    `dirty` looks at the files that a deploy of this environment sends: dstack/, its own file, engine/.
    """
    paths = ("dstack", f"environments/{environment}.yml", "engine")
    try:
        _git(root, "rev-parse", "--git-dir")
    except Unreadable as error:
        absent = "not a git repository" in str(error) or "is not installed" in str(error)
        return State() if absent else State(problem=str(error))
    try:
        dirty = bool(_git(root, "status", "--porcelain", "--", *paths).strip())
        known = _git(root, "ls-files", "--", *paths[:2]).split()
        commit, _, subject = _git(root, "log", "-1", "--format=%H %s").strip().partition(" ")
        branch = os.environ.get("GITHUB_REF_NAME") or _git(root, "branch", "--show-current").strip()
        return State(commit, subject, branch, dirty or paths[1] not in known)
    except Unreadable as error:
        unborn = "does not have any commits" in str(error)
        return State(dirty=True) if unborn else State(problem=str(error))


def person(root: Path, variables: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """Return who deploys, and the page of the CI run, or "" outside GitHub."""
    if actor := variables.get("GITHUB_ACTOR"):
        server, repository, run = (
            variables.get(f"GITHUB_{name}", "") for name in ("SERVER_URL", "REPOSITORY", "RUN_ID")
        )
        return actor, f"{server}/{repository}/actions/runs/{run}" if run else ""
    try:
        name = _git(root, "config", "user.name").strip()
    except Unreadable:
        name = ""
    try:
        return name or getpass.getuser(), ""
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown", ""


def commit_named(root: Path, written: str) -> tuple[str, str]:
    """Return hash and subject of a commit, which is fetched from origin when this clone lacks it.

    Fails with ROLLBACK_REFUSED.
    """
    try:
        _git(root, "rev-parse", "--git-dir")
    except Unreadable as error:
        remedy = "run this in a clone of the service's repository"
        raise Failure(ExitCode.ROLLBACK_REFUSED, f"git can't read this repository: {error}", remedy) from None
    for fetched in (False, True):
        try:
            if fetched:
                _git(root, "fetch", "--quiet", "--depth", "1", "origin", written, seconds=FETCH_SECONDS)
            shown = _git(root, "log", "-1", "--format=%H %s", "--end-of-options", f"{written}^{{commit}}", "--")
            if not shown.strip():  # a range of commits that is empty
                raise Unreadable("it is no commit")
        except Unreadable as error:
            last = error
        else:
            commit, _, subject = shown.strip().partition(" ")
            return commit, subject
    why = f"this clone has no commit {written}, and origin did not send it ({last})"
    raise Failure(ExitCode.ROLLBACK_REFUSED, why, "write the whole hash, or run `git fetch --unshallow` first")


def extract(root: Path, commit: str, folder: Path) -> None:
    """Write dstack/ and environments/ of a commit below `folder`. Fails with ROLLBACK_REFUSED."""
    try:
        packed = _run(root, "archive", "--format=tar", commit, "--", *DEPLOYED)
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(folder, filter="data")
    except (Unreadable, tarfile.TarError) as error:
        why = f"commit {commit[:7]} has no files of this service: {error}"
        raise Failure(ExitCode.ROLLBACK_REFUSED, why, "choose another deployment with --to") from None


def _git(root: Path, *words: str, seconds: int = SECONDS) -> str:
    return _run(root, *words, seconds=seconds).decode(errors="replace")


def _run(root: Path, *words: str, seconds: int = SECONDS) -> bytes:
    """Return what `git …` writes. Raises Unreadable with one line of its message."""
    try:
        done = subprocess.run(
            ["git", *words],  # noqa: S607  # whichever git this person uses
            cwd=root,
            env=os.environ | QUIET,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=True,
            timeout=seconds,
        )
    except FileNotFoundError:
        raise Unreadable("git is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unreadable(f"git {words[0]} took longer than {seconds} s") from None
    except subprocess.CalledProcessError as error:
        raise Unreadable(quoted(error.stderr.decode(errors="replace")) or f"git {words[0]} failed") from None
    except OSError as error:
        raise Unreadable(f"git does not start: {error.strerror}") from None
    return done.stdout
