"""`inv history` and `inv rollback`: what was deployed, by whom, and back to it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import yaml
from person import Person

from deploy.deployments import read


def git(person: Person, *words: str) -> str:
    done = subprocess.run(
        ["/usr/bin/env", "git", *words], cwd=person.folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(person: Person, subject: str) -> str:
    git(person, "add", "--all")
    git(person, "-c", "user.name=Ada", "-c", "user.email=a@b.c", "commit", "-q", "-m", subject)
    return git(person, "rev-parse", "HEAD")


def change(person: Person, value: str) -> None:
    """Change what every environment deploys."""
    path = person.folder / "dstack" / "service.dstack.yml"
    document = yaml.safe_load(path.read_text("utf-8"))
    document["env"] = document["env"] | {"ADDED": value}
    path.write_text(yaml.safe_dump(document), "utf-8")


def sent(person: Person, name: str) -> str:
    """The value of `env.ADDED` that runs."""
    configuration = person.dstack.runs[name].spec.configuration
    return str(configuration.env.as_dict().get("ADDED", "none"))


@pytest.fixture
def versions(person: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Person, list[str]]:
    """A person who has deployed two commits to `dev`."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "none"))
    git(person, "init", "-q", "-b", "main")
    git(person, "config", "user.name", "Ada")
    hashes = []
    for value in ("one", "two"):
        change(person, value)
        hashes.append(commit(person, f"Value {value}"))
        done = person.inv("deploy", "--yes")
        assert done.code == 0, done.errors
    return person, hashes


def name_of(person: Person) -> str:
    return person.environment("dev").run_name


def test_both_deployments_are_listed_with_commit_person_and_result(versions: tuple[Person, list[str]]) -> None:
    person, hashes = versions
    found = person.inv("history", "--json").json
    assert [(one["number"], one["commit"], one["subject"], one["by"], one["result"]) for one in found] == [
        (2, hashes[1], "Value two", "Ada", "ready"),
        (1, hashes[0], "Value one", "Ada", "ready"),
    ]
    assert [one["changed"] for one in found] == ["env", "first deployment of the run"]
    assert not any(one["dirty"] for one in found)
    shown = person.inv("history").output
    assert hashes[0][:7] in shown


def test_a_second_deploy_of_the_same_files_writes_nothing(versions: tuple[Person, list[str]]) -> None:
    person, _ = versions
    (person.folder / "README").write_text("more\n")
    commit(person, "A page")
    person.dstack.asked.clear()
    assert person.inv("deploy", "--yes").code == 0
    assert person.dstack.changes == []
    assert len(person.inv("history", "--json").json) == 2


@pytest.mark.parametrize("words", [(), ("--to", "previous")])
def test_a_rollback_deploys_the_files_of_the_commit_before(
    versions: tuple[Person, list[str]], words: tuple[str, ...]
) -> None:
    person, hashes = versions
    done = person.inv("rollback", "--yes", *words)
    assert done.code == 0, done.errors
    assert f"back to commit {hashes[0][:7]} Value one" in done.output
    assert sent(person, name_of(person)) == "one"
    newest = person.inv("history", "--json").json[0]
    assert (newest["number"], newest["commit"], newest["back_to"], newest["by"]) == (3, hashes[0], 1, "Ada")
    assert git(person, "status", "--porcelain") == ""


@pytest.mark.parametrize("to", ["number", "commit"])
def test_a_rollback_goes_to_the_number_or_the_commit_that_is_asked_for(
    versions: tuple[Person, list[str]], to: str
) -> None:
    person, hashes = versions
    assert person.inv("rollback", "--yes", "--to", "1" if to == "number" else hashes[0][:9]).code == 0
    assert sent(person, name_of(person)) == "one"
    assert person.inv("history", "--json").json[0]["back_to"] == 1


def test_a_rollback_asks_first_and_a_dry_run_changes_nothing(versions: tuple[Person, list[str]]) -> None:
    person, hashes = versions
    person.dstack.asked.clear()
    assert person.inv("rollback", "--dry-run").code == 0
    assert person.inv("rollback", "--dry-run", "--json").json["commit"] == hashes[0]
    assert person.inv("rollback", typed="n\n").code == 34
    assert person.dstack.changes == []


@pytest.mark.parametrize("to", ["9", "abcdef0", "main", "-1", "x y", "0" * 40])
def test_a_rollback_to_nothing_known_is_refused(versions: tuple[Person, list[str]], to: str) -> None:
    person, _ = versions
    person.dstack.asked.clear()
    done = person.inv("rollback", "--yes", f"--to={to}")
    assert done.code == 50, done.errors
    assert "Traceback" not in done.errors
    assert person.dstack.changes == []


def test_a_rollback_to_another_run_is_refused(versions: tuple[Person, list[str]]) -> None:
    person, _ = versions
    path = person.folder / "dstack" / "service.dstack.yml"
    document = yaml.safe_load(path.read_text("utf-8"))
    path.write_text(yaml.safe_dump(document | {"name": "other"}), "utf-8")
    done = person.inv("rollback", "--yes", "--to", git(person, "rev-parse", "HEAD"))
    assert done.code == 50
    assert "run_name is" in done.errors


def test_without_a_repository_it_deploys_and_a_rollback_is_refused(deployed: Person) -> None:
    found = deployed.inv("history", "--json").json
    assert [one["commit"] for one in found] == [""]
    assert "no commit" in deployed.inv("history").output
    assert deployed.inv("rollback", "--yes").code == 50
    assert deployed.inv("rollback", "--yes", "--to", "1").code == 50
    assert deployed.inv("rollback", "--yes", "--to", "abcdef0").code == 50


def test_uncommitted_changes_are_recorded_and_refused_for_a_rollback(versions: tuple[Person, list[str]]) -> None:
    person, hashes = versions
    change(person, "three")
    assert person.inv("deploy", "--yes").code == 0
    newest = person.inv("history", "--json").json[0]
    assert (newest["commit"], newest["dirty"]) == (hashes[1], True)
    done = person.inv("rollback", "--yes", "--to", "3")
    assert done.code == 50
    assert "had uncommitted changes" in done.errors
    assert f"back to commit {hashes[1][:7]} Value two" in person.inv("rollback", "--yes").output
    assert sent(person, name_of(person)) == "two"


def test_a_protected_environment_deploys_only_commits(versions: tuple[Person, list[str]]) -> None:
    person, _ = versions
    change(person, "three")
    done = person.inv("deploy", "--yes", "--env", "prod")
    assert done.code == 45, done.errors
    assert "--allow-dirty" in done.errors
    assert person.inv("service.deploy", "--yes", "--env", "prod").code == 45
    assert person.inv("deploy", "--yes", "--env", "prod", "--allow-dirty").code == 0


def test_a_deploy_that_fails_is_listed_as_rolled_back(versions: tuple[Person, list[str]]) -> None:
    person, hashes = versions
    change(person, "bad")
    bad = commit(person, "Bad")
    person.dstack.crashing = True
    assert person.inv("deploy", "--yes").code == 28
    person.dstack.crashing = False
    found = person.inv("history", "--json").json
    assert [(one["number"], one["commit"], one["result"]) for one in found[1:3]] == [
        (3, bad, "rolled back"),
        (2, hashes[1], "ready"),
    ]
    assert (found[0]["commit"], found[0]["automatic"], found[0]["back_to"]) == (hashes[1], True, 2)


def test_nothing_deployed_is_said(person: Person) -> None:
    assert "no deployment is known" in person.inv("history").output
    assert person.inv("rollback", "--yes").code == 50


def test_the_history_survives_a_destroy_with_its_results(versions: tuple[Person, list[str]]) -> None:
    person, hashes = versions
    path = person.folder / "dstack" / "service.dstack.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text("utf-8")) | {"priority": 9}), "utf-8")
    assert person.inv("deploy", "--yes").code == 0  # in place: no replica becomes ready
    assert person.inv("destroy", "--yes").code == 0
    assert person.inv("history", "--json").json[0]["result"] == "stopped"
    assert person.inv("deploy", "--yes").code == 0
    listed = read(person.dstack.runs[name_of(person)].spec.configuration_path)
    assert [(one.number, one.deployment) for one in listed] == [(4, 0), (3, 2), (2, 1), (1, 0)]
    assert [one["result"] for one in person.inv("history", "--json").json] == ["ready"] * 4
    assert f"back to commit {hashes[1][:7]}" in person.inv("rollback", "--dry-run").output


def test_what_served_before_a_restart_can_be_gone_back_to(versions: tuple[Person, list[str]]) -> None:
    person, hashes = versions
    path = person.folder / "dstack" / "service.dstack.yml"
    path.write_text(yaml.safe_dump(yaml.safe_load(path.read_text("utf-8")) | {"spot_policy": "auto"}), "utf-8")
    commit(person, "A restart")
    assert person.inv("deploy", "--yes").code == 0
    assert [one["result"] for one in person.inv("history", "--json").json] == ["ready"] * 3
    assert f"back to commit {hashes[1][:7]}" in person.inv("rollback", "--dry-run").output


def test_a_first_deployment_that_never_served_stays_failed(versions: tuple[Person, list[str]]) -> None:
    person, _ = versions
    assert person.inv("destroy", "--yes").code == 0
    person.dstack.crashing = True
    assert person.inv("deploy", "--yes").code == 28
    person.dstack.crashing = False
    assert person.inv("deploy", "--yes").code == 0
    assert [one["result"] for one in person.inv("history", "--json").json] == ["ready", "failed", "ready", "ready"]
