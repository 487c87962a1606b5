"""template-update.yml: what the template has new becomes a pull request, or the reason why not is seen."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.cruft.repository import SERVICE, TEMPLATE, Repository
from tests.workflows.act import Execution
from tests.workflows.forge import APP_KEY, APP_TOKEN, Forge


@pytest.fixture
def forge(project: Repository, tmp_path: Path) -> Iterator[Forge]:
    """The repository on GitHub, with the app's key."""
    made = Forge(tmp_path / "forge", project.folder)
    made.secrets, made.variables = {"TEMPLATE_APP_PRIVATE_KEY": APP_KEY}, {"TEMPLATE_APP_CLIENT_ID": "Iv23.of-the-app"}
    yield made
    assert made.leaks() == []


def change(template: Repository, old: str = "\nport: 8000\n", new: str = "\n# New.\nport: 8000\n") -> None:
    """A later version of the template's service."""
    template.edit(f"{TEMPLATE}/{SERVICE}", old, new)
    template.commit()


def update(forge: Forge) -> Execution:
    return forge.run("schedule", "template-update.yml", schedule="41 5 * * 1")


def branches(forge: Forge) -> list[str]:
    return forge.git("ls-remote", "--heads", "origin").split()[1::2]


def pulls(forge: Forge) -> list[dict[str, Any]]:
    return list(forge.state.get("pulls", {}).values())


def nothing_happened(forge: Forge) -> bool:
    return not pulls(forge) and branches(forge) == ["refs/heads/main"]


def test_an_update_becomes_a_pull_request_of_the_app(forge: Forge, template: Repository) -> None:
    change(template)
    template.edit(f"{TEMPLATE}/.github/workflows/ci.yml", "name: ci\n", "name: checks\n")
    template.commit()
    forge.write({"environments/dev.yml": {"server": {"project": "of-the-team"}}})
    forge.push("the team's own")
    execution = update(forge)
    assert execution.ok, str(execution)
    [pull] = pulls(forge)
    assert (pull["headRefName"], pull["baseRefName"], pull["author"]) == ("template-update", "main", "app")
    forge.git("fetch", "--quiet", "origin", "template-update")
    changed = forge.git("diff", "--name-only", "main", "FETCH_HEAD").splitlines()
    assert changed == [".cruft.json", ".github/workflows/ci.yml", SERVICE]


def test_a_pull_request_that_raises_dstack_says_so(forge: Forge, template: Repository) -> None:
    pinned = re.search(r'"dstack\[server\]==([\d.]+)"', template.read(f"{TEMPLATE}/pyproject.toml"))
    assert pinned
    template.edit(f"{TEMPLATE}/pyproject.toml", f'"dstack[server]=={pinned[1]}"', '"dstack[server]==9.0.0"')
    template.commit()
    execution = update(forge)
    assert execution.ok, str(execution)
    [pull] = pulls(forge)
    assert str(template.folder) in pull["body"]
    assert f"dstack[server]=={pinned[1]}" in pull["body"]
    assert "dstack[server]==9.0.0" in pull["body"]
    assert "what to upgrade first" in pull["body"]


def test_a_branch_of_that_name_in_a_fork_is_ignored(forge: Forge, template: Repository) -> None:
    change(template)
    theirs = {"number": 1, "headRefName": "template-update", "isCrossRepository": True, "state": "OPEN", "labels": []}
    forge.state = forge.state | {"pulls": {"1": theirs}}
    forge.run("schedule", "template-update.yml", schedule="41 5 * * 1")
    assert "refs/heads/template-update" in branches(forge)


def test_while_its_pull_request_is_open_nothing_more_is_done(forge: Forge, template: Repository) -> None:
    change(template)
    assert update(forge).ok
    before = branches(forge)
    execution = update(forge)
    assert execution.ok
    assert "still open" in "".join(execution.annotations)
    assert len(pulls(forge)) == 1
    assert branches(forge) == before


def test_without_something_new_there_is_no_pull_request(forge: Forge) -> None:
    execution = update(forge)
    assert execution.ok, str(execution)
    assert "nothing new" in "".join(execution.annotations)
    assert nothing_happened(forge)


def test_without_a_token_it_is_skipped_with_a_notice(forge: Forge, template: Repository) -> None:
    change(template)
    forge.secrets, forge.variables = {}, {}
    execution = update(forge)
    assert execution.ok
    [notice] = execution.annotations
    assert notice.startswith("notice: skipped")
    assert "TEMPLATE_TOKEN" in notice
    assert nothing_happened(forge)


def test_a_personal_token_does_as_well(forge: Forge, template: Repository) -> None:
    change(template)
    forge.secrets, forge.variables = {"TEMPLATE_TOKEN": APP_TOKEN}, {}
    assert update(forge).ok
    assert len(pulls(forge)) == 1


def test_what_the_template_runs_sees_no_token(forge: Forge, template: Repository) -> None:
    hook = template.folder / "hooks" / "post_gen_project.py"
    shows = "import os, pathlib\npathlib.Path('environ.txt').write_text(repr(dict(os.environ)))\n"
    hook.write_text(hook.read_text("utf-8") + shows, "utf-8")
    template.commit()
    assert update(forge).ok
    forge.git("fetch", "--quiet", "origin", "template-update")
    assert "'CI': 'true'" in forge.git("show", "FETCH_HEAD:environ.txt")
    assert forge.leaks() == []


def test_a_change_that_was_copied_by_hand_is_no_conflict(forge: Forge, template: Repository) -> None:
    change(template, "SHUTDOWN_TIMEOUT: 8 ", "SHUTDOWN_TIMEOUT: 6 ")
    change(template)
    text = (forge.work / SERVICE).read_text("utf-8")
    forge.write({SERVICE: text.replace("SHUTDOWN_TIMEOUT: 8 ", "SHUTDOWN_TIMEOUT: 6 ")})
    forge.push("the template's change, before the template")
    execution = update(forge)
    assert execution.ok, str(execution)
    assert len(pulls(forge)) == 1


def test_conflicts_are_loud_and_pushed_nowhere(forge: Forge, template: Repository) -> None:
    change(template, "SHUTDOWN_TIMEOUT: 8 ", "SHUTDOWN_TIMEOUT: 6 ")
    text = (forge.work / SERVICE).read_text("utf-8")
    forge.write({SERVICE: text.replace("SHUTDOWN_TIMEOUT: 8 ", "SHUTDOWN_TIMEOUT: 4 ")})
    forge.push("the team's own")
    execution = update(forge)
    assert not execution.ok
    [error] = [annotation for annotation in execution.annotations if annotation.startswith("error: ")]
    assert "conflicts" in error
    assert SERVICE in execution.job("update").log
    assert nothing_happened(forge)
