"""The life of a generated repository: `cruft create` from a tag, edits, `cruft update` to a later version."""

from __future__ import annotations

import re

import yaml

from tests.cruft.repository import SERVICE, TEMPLATE, Repository, made_without_cruft, release, update
from tests.rendered import ROOT


def test_a_repository_knows_whether_its_template_has_moved_on(template: Repository, project: Repository) -> None:
    assert "up to date" in project.cruft("check")
    template.edit("CHANGELOG.md", "## Unreleased", "## 1.1.0 - 2027-01-01")
    release(template)
    assert "out of date" in project.cruft("check", code=1)
    assert "up to date" in project.cruft("check", "--checkout", "v1.0.0")
    update(project)
    assert "up to date" in project.cruft("check")
    assert project.changed() == set(), "nothing that is rendered has changed"


def test_cruft_makes_what_cookiecutter_makes(template: Repository, project: Repository) -> None:
    assert project.files() == made_without_cruft(template)


def test_a_repository_made_without_cruft_can_join(template: Repository) -> None:
    made_without_cruft(template)
    project = Repository(template.home / "plain" / "mistral-nemo", template.home)
    project.run("git", "init", "--quiet")
    project.cruft("link", str(template.folder), "--no-input", "--checkout", "v1.0.0")
    project.commit()
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## Take it down")
    release(template)
    update(project)
    assert project.changed() == {"README.md"}


def test_the_command_of_the_readme_is_one_that_cruft_takes() -> None:
    """Unlike cookiecutter, it hands the address to git as it is."""
    (address,) = re.findall(r"^\$ uvx cruft create (\S+)$", (ROOT / "docs" / "updating.md").read_text("utf-8"), re.M)
    assert address.startswith("https://github.com/")


def test_an_update_keeps_what_the_user_has_changed(template: Repository, project: Repository) -> None:
    project.edit(SERVICE, "MAX_NUM_SEQS: 128", "MAX_NUM_SEQS: 64")
    project.edit("README.md", "# Mistral Nemo\n", "# Mistral Nemo\n\nAsk #platform first.\n")
    project.edit("console/errors.py", '"""', '"""Ours. ')
    (project.folder / "NOTES.md").write_text("ours\n")
    project.commit()
    template.edit(f"{TEMPLATE}/{SERVICE}", "interval: 15s", "interval: 20s")
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## Take it down")
    (template.folder / TEMPLATE / "deploy" / "alarms.py").write_text('"""New."""\n')
    release(template)
    said = update(project)
    assert "fill in .env" not in said, "the hook tells of folders that are gone already"
    assert project.changed() == {SERVICE, "README.md", "deploy/alarms.py"}
    assert "MAX_NUM_SEQS: 64" in project.read(SERVICE)
    assert "interval: 20s" in project.read(SERVICE)
    assert "Ask #platform first." in project.read("README.md")
    assert "## Take it down" in project.read("README.md")


def test_environments_are_the_users_own(template: Repository, project: Repository) -> None:
    """Without anybody having asked cruft for it, and without cruft's own `skip` in .cruft.json."""
    project.edit("environments/dev.yml", "http://127.0.0.1:3000", "https://dstack.example.com")
    (project.folder / "environments" / "staging.yml").write_text("server: {project: main}\n")
    project.commit()
    before = project.files()
    template.edit(f"{TEMPLATE}/environments/dev.yml", "http://127.0.0.1:3000", "http://127.0.0.1:4000")
    template.edit(f"{TEMPLATE}/environments/prod.yml", "replicas: 1..4", "replicas: 2..8")
    (template.folder / TEMPLATE / "environments" / "sandbox.yml").unlink()
    (template.folder / TEMPLATE / "environments" / "staging.yml").write_text("protected: true\n")
    release(template)
    update(project)
    assert project.changed() == set()
    assert project.files() == before


def test_a_new_question_takes_its_default(template: Repository, project: Repository) -> None:
    template.edit("cookiecutter.json", '"owner": "the', '"contact": "#platform",\n  "owner": "the')
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "<< cookiecutter.contact >>\n\n## Tear down")
    release(template)
    update(project)
    assert "#platform\n\n## Tear down" in project.read("README.md")
    assert yaml.safe_load(project.read(".cruft.json"))["context"]["cookiecutter"]["contact"] == "#platform"


def test_a_question_that_is_gone_is_forgotten(template: Repository, project: Repository) -> None:
    template.edit("cookiecutter.json", '  "owner": "the platform team",\n', "")
    template.edit("cookiecutter.json", '"__prompts__"', '"__owner": "somebody",\n  "__prompts__"')
    template.edit("cookiecutter.json", """  "__checked_owner": "<< cookiecutter | check('owner') >>",\n""", "")
    template.edit("template_answers.py", '"owner": (Rule', '"__owner": (Rule')
    pages = [path for path in (ROOT / TEMPLATE).rglob("*.md") if "cookiecutter.owner" in path.read_text("utf-8")]
    assert len(pages) > 5
    for page in pages:
        template.edit(page.relative_to(ROOT).as_posix(), "cookiecutter.owner", "cookiecutter.__owner")
    template.run(
        "git", "rm", "--quiet", f"{TEMPLATE}/.github/<% if cookiecutter.owner | github_owner %>CODEOWNERS<% endif %>"
    )
    release(template)
    update(project)
    assert "Responsible: somebody." in project.read("README.md")


def test_a_renamed_file_takes_the_users_edits_along(template: Repository, project: Repository) -> None:
    project.edit("operate/doctor.py", '"""', '"""Ours. ')
    project.commit()
    template.run("git", "mv", f"{TEMPLATE}/operate/doctor.py", f"{TEMPLATE}/operate/examination.py")
    release(template)
    update(project)
    assert not (project.folder / "deploy" / "doctor.py").exists()
    assert project.read("operate/examination.py").startswith('"""Ours. ')


def test_a_file_that_the_user_deleted_stays_away(template: Repository, project: Repository) -> None:
    project.run("git", "rm", "--quiet", "server/config.example.yml")
    project.commit()
    template.edit(f"{TEMPLATE}/server/config.example.yml", "projects:", "projects:  # all of them")
    release(template)
    update(project)
    assert project.changed() == set()
