"""template-update.yml: what the template has new becomes a pull request, or the reason why not is seen."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.rendered import ROOT
from tests.workflows import act
from tests.workflows.forge import APP_KEY, APP_TOKEN, GIT, Forge

PARTS = ("<<cookiecutter.project_slug>>", "{{cookiecutter.cruft_marker}}", "hooks")
SERVICE = "dstack/service.dstack.yml"
TEMPLATE_SERVICE = f"<<cookiecutter.project_slug>>/{SERVICE}"


class Template:
    """A copy of this template with a history of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        for name in PARTS:
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        for path in [*ROOT.glob("*.py"), *ROOT.glob("*.json"), *ROOT.glob("*.yml")]:
            shutil.copy(path, folder)
        self._git("init", "--quiet")
        self._commit()

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text("utf-8")
        assert old in text
        (self.folder / name).write_text(text.replace(old, new, 1), "utf-8")
        self._commit()

    def generate(self, folder: Path) -> Path:
        """`cruft create` with the default answers."""
        command = [sys.executable, "-m", "cruft", "create", str(self.folder), "--no-input", "--output-dir", str(folder)]
        environ = {"HOME": str(folder), "PATH": os.defpath}
        subprocess.run(command, env=environ, check=True, stdout=subprocess.DEVNULL)
        return folder / "mistral-nemo"

    def _commit(self) -> None:
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", "a version")

    def _git(self, *words: str) -> None:
        subprocess.run([*GIT, *words], cwd=self.folder, check=True)


@pytest.fixture
def template(tmp_path: Path) -> Template:
    return Template(tmp_path / "template")


@pytest.fixture
def forge(template: Template, tmp_path: Path) -> Iterator[Forge]:
    """A repository made with cruft, with the app's key."""
    made = Forge(tmp_path / "forge", template.generate(tmp_path))
    made.secrets, made.variables = {"TEMPLATE_APP_PRIVATE_KEY": APP_KEY}, {"TEMPLATE_APP_CLIENT_ID": "Iv23.of-the-app"}
    yield made
    assert made.leaks() == []


def update(forge: Forge) -> act.Execution:
    return forge.run("schedule", "template-update.yml", schedule="41 5 * * 1")


def branches(forge: Forge) -> list[str]:
    return forge.git("ls-remote", "--heads", "origin").split()[1::2]


def pulls(forge: Forge) -> list[dict[str, Any]]:
    return list(forge.state.get("pulls", {}).values())


def nothing_happened(forge: Forge) -> bool:
    return not pulls(forge) and branches(forge) == ["refs/heads/main"]


def test_an_update_becomes_a_pull_request_of_the_app(forge: Forge, template: Template) -> None:
    template.change(TEMPLATE_SERVICE, "\nport: 8000\n", "\n# New in the template.\nport: 8000\n")
    template.change("<<cookiecutter.project_slug>>/.github/workflows/ci.yml", "name: ci\n", "name: checks\n")
    forge.write({"environments/dev.yml": {"server": {"project": "of-the-team"}}})
    forge.push("the team's own")
    execution = update(forge)
    assert execution.ok, str(execution)
    [pull] = pulls(forge)
    assert (pull["headRefName"], pull["baseRefName"], pull["author"]) == ("template-update", "main", "app")
    forge.git("fetch", "--quiet", "origin", "template-update")
    changed = forge.git("diff", "--name-only", "main", "FETCH_HEAD").splitlines()
    assert changed == [".cruft.json", ".github/workflows/ci.yml", SERVICE]


def test_while_its_pull_request_is_open_nothing_more_is_done(forge: Forge, template: Template) -> None:
    template.change(TEMPLATE_SERVICE, "\nport: 8000\n", "\n# New in the template.\nport: 8000\n")
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


def test_without_a_token_it_is_skipped_with_a_notice(forge: Forge, template: Template) -> None:
    template.change(TEMPLATE_SERVICE, "\nport: 8000\n", "\n# New in the template.\nport: 8000\n")
    forge.secrets, forge.variables = {}, {}
    execution = update(forge)
    assert execution.ok
    [notice] = execution.annotations
    assert notice.startswith("notice: skipped")
    assert "TEMPLATE_TOKEN" in notice
    assert nothing_happened(forge)


def test_a_personal_token_does_as_well(forge: Forge, template: Template) -> None:
    template.change(TEMPLATE_SERVICE, "\nport: 8000\n", "\n# New in the template.\nport: 8000\n")
    forge.secrets, forge.variables = {"TEMPLATE_TOKEN": APP_TOKEN}, {}
    assert update(forge).ok
    assert len(pulls(forge)) == 1


def test_the_built_in_token_would_not_do(forge: Forge, template: Template) -> None:
    template.change(TEMPLATE_SERVICE, "\nport: 8000\n", "\n# New in the template.\nport: 8000\n")
    forge.secrets, forge.variables = {"TEMPLATE_TOKEN": "ghs_of-the-workflow"}, {}
    assert not update(forge).ok
    assert nothing_happened(forge)


def test_what_was_taken_over_by_hand_is_no_conflict(forge: Forge, template: Template) -> None:
    template.change(TEMPLATE_SERVICE, "SHUTDOWN_TIMEOUT: 8 ", "SHUTDOWN_TIMEOUT: 6 ")
    template.change(TEMPLATE_SERVICE, "\nport: 8000\n", "\n# New in the template.\nport: 8000\n")
    text = (forge.work / SERVICE).read_text("utf-8")
    forge.write({SERVICE: text.replace("SHUTDOWN_TIMEOUT: 8 ", "SHUTDOWN_TIMEOUT: 6 ")})
    forge.push("the template's change, before the template")
    execution = update(forge)
    assert execution.ok, str(execution)
    assert len(pulls(forge)) == 1


def test_conflicts_are_loud_and_pushed_nowhere(forge: Forge, template: Template) -> None:
    template.change(TEMPLATE_SERVICE, "SHUTDOWN_TIMEOUT: 8 ", "SHUTDOWN_TIMEOUT: 6 ")
    text = (forge.work / SERVICE).read_text("utf-8")
    forge.write({SERVICE: text.replace("SHUTDOWN_TIMEOUT: 8 ", "SHUTDOWN_TIMEOUT: 4 ")})
    forge.push("the team's own")
    execution = update(forge)
    assert not execution.ok
    [error] = [annotation for annotation in execution.annotations if annotation.startswith("error: ")]
    assert "conflicts" in error
    assert SERVICE in execution.job("update").log
    assert nothing_happened(forge)
