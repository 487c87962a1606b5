"""What git says about a repository, and one line for each thing that can be wrong with it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from console.errors import ExitCode, Failure
from deploy import git

FILES = ("dstack/service.dstack.yml", "environments/prod.yml", "environments/dev.yml")


def run(folder: Path, *words: str) -> str:
    return subprocess.run(
        ["/usr/bin/env", "git", *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of the machine's own settings."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    for name in ("GITHUB_REF_NAME", "GITHUB_ACTOR", "GIT_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with one commit."""
    folder = tmp_path / "clone"
    for name in FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("first: 1\n")
    run(folder, "init", "-q", "-b", "main")
    run(folder, "config", "user.name", "Ada Lovelace")
    run(folder, "config", "user.email", "ada@example.com")
    commit(folder, "As generated")
    return folder


def commit(folder: Path, subject: str) -> str:
    run(folder, "add", "--all")
    run(folder, "commit", "-q", "-m", subject)
    return run(folder, "rev-parse", "HEAD")


def test_a_clean_repository_has_a_commit_its_subject_and_a_branch(clone: Path) -> None:
    assert git.state(clone, "prod") == git.State(run(clone, "rev-parse", "HEAD"), "As generated", "main")
    assert git.person(clone, {}) == ("Ada Lovelace", "")


def test_a_service_in_a_folder_of_a_larger_repository_works_too(clone: Path, tmp_path: Path) -> None:
    below = clone / "services" / "nemo"
    below.mkdir(parents=True)
    for name in ("dstack", "environments"):
        (clone / name).rename(below / name)
    made = commit(clone, "Moved")
    assert git.state(below, "prod") == git.State(made, "Moved", "main")
    git.extract(below, made, tmp_path / "out")
    assert (tmp_path / "out" / FILES[0]).is_file()


@pytest.mark.parametrize(("name", "dirty"), [(FILES[0], True), (FILES[1], True), (FILES[2], False), ("README", False)])
def test_only_changes_that_this_environment_would_deploy_count(clone: Path, name: str, dirty: bool) -> None:
    (clone / name).write_text("changed: 2\n")
    assert git.state(clone, "prod").dirty is dirty


def test_a_file_that_git_does_not_have_is_uncommitted_even_when_it_is_ignored(clone: Path) -> None:
    (clone / "environments" / "mine.yml").write_text("a: 1\n")
    assert git.state(clone, "mine").dirty
    (clone / ".gitignore").write_text("mine.yml\n")
    commit(clone, "Ignored")
    assert git.state(clone, "mine").dirty


def test_a_detached_head_has_no_branch(clone: Path) -> None:
    run(clone, "checkout", "-q", "--detach")
    assert git.state(clone, "prod").branch == ""


def test_a_folder_without_a_repository_has_no_commit_and_no_problem(tmp_path: Path) -> None:
    assert git.state(tmp_path, "prod") == git.State()


def test_a_machine_without_git_has_no_commit_and_no_problem(clone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(clone))
    assert git.state(clone, "prod") == git.State()
    with pytest.raises(Failure, match="git is not installed"):
        git.commit_named(clone, "abcdef0")


def test_a_repository_without_a_commit_is_uncommitted(tmp_path: Path) -> None:
    run(tmp_path, "init", "-q")
    assert git.state(tmp_path, "prod") == git.State(dirty=True)


def test_a_broken_repository_is_a_problem_in_one_line(clone: Path) -> None:
    (clone / ".git" / "refs" / "heads" / "main").write_text("0" * 39 + "1\n")
    found = git.state(clone, "prod")
    assert found.problem
    assert "\n" not in found.problem


def test_on_github_the_person_is_the_actor_with_the_page_of_the_run(clone: Path) -> None:
    run = {"GITHUB_SERVER_URL": "https://github.com", "GITHUB_REPOSITORY": "acme/nemo", "GITHUB_RUN_ID": "7"}
    assert git.person(clone, {"GITHUB_ACTOR": "ada"} | run) == ("ada", "https://github.com/acme/nemo/actions/runs/7")


def test_the_files_of_an_earlier_commit_are_extracted(clone: Path, tmp_path: Path) -> None:
    first = run(clone, "rev-parse", "HEAD")
    (clone / FILES[0]).write_text("second: 2\n")
    commit(clone, "Second")
    assert git.commit_named(clone, first[:8]) == (first, "As generated")
    git.extract(clone, first, tmp_path / "out")
    assert (tmp_path / "out" / FILES[0]).read_text() == "first: 1\n"


def test_a_shallow_clone_fetches_the_commit_that_it_lacks(clone: Path, tmp_path: Path) -> None:
    first = run(clone, "rev-parse", "HEAD")
    (clone / FILES[0]).write_text("second: 2\n")
    commit(clone, "Second")
    run(clone, "config", "uploadpack.allowAnySHA1InWant", "true")
    run(tmp_path, "clone", "-q", "--depth", "1", clone.as_uri(), "shallow")
    assert git.commit_named(tmp_path / "shallow", first) == (first, "As generated")
    git.extract(tmp_path / "shallow", first, tmp_path / "out")
    assert (tmp_path / "out" / FILES[0]).read_text() == "first: 1\n"


@pytest.mark.parametrize("written", ["abcdef0", "0" * 40, "--upload-pack=touch", "main..main"])
def test_a_commit_that_nobody_has_is_refused_in_one_line(clone: Path, written: str) -> None:
    with pytest.raises(Failure, match="this clone has no commit") as caught:
        git.commit_named(clone, written)
    assert caught.value.code == ExitCode.ROLLBACK_REFUSED
    assert "\n" not in str(caught.value)


def test_a_commit_without_the_services_files_is_refused(clone: Path, tmp_path: Path) -> None:
    run(clone, "rm", "-rq", "dstack")
    bare = commit(clone, "Without")
    with pytest.raises(Failure, match="has no files of this service"):
        git.extract(clone, bare, tmp_path / "out")
