"""The life of a generated repository: `cruft create` from a tag, edits, `cruft update` to a later version.

The template under test is this one as it is, in a repository of its own; each test writes a later version of it.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.rendered import ROOT, files

TEMPLATE = "<<cookiecutter.project_slug>>"
SERVICE = "dstack/service.dstack.yml"


class Repository:
    """A git repository, with a user's commands and edits."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home

    def run(self, *words: str, code: int = 0) -> str:
        """What a command says; fails unless it ends with `code`. No ~/.cookiecutterrc and ~/.gitconfig but its own."""
        who = {f"GIT_{role}_{key}": "user@host" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), **who}
        done = subprocess.run(words, cwd=self.folder, env=environ, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def cruft(self, *words: str, code: int = 0) -> str:
        return self.run(sys.executable, "-m", "cruft", *words, code=code)

    def files(self) -> dict[str, str]:
        """Text by path, of what is committed but for cruft's own file."""
        return {name: self.read(name) for name in self.run("git", "ls-files").splitlines() if name != ".cruft.json"}

    def commit(self, message: str = "work") -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        assert old in self.read(name), f"{name} has no {old!r}"
        (self.folder / name).write_text(self.read(name).replace(old, new), "utf-8")

    def changed(self) -> set[str]:
        """Files that differ from the last commit, other than cruft's own."""
        status = self.run("git", "status", "--porcelain", "--untracked-files=all")
        return {line[3:].split(" -> ")[-1] for line in status.splitlines()} - {".cruft.json"}


@pytest.fixture
def template(tmp_path: Path) -> Repository:
    """The template as it is here, tagged v1.0.0."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    repository = Repository(tmp_path / "ai-service", tmp_path)
    for name in names:
        if not name.startswith(("demo-mistral-nemo/", "sandbox/", "tests/")) and (ROOT / name).exists():
            (repository.folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, repository.folder / name)
    repository.run("git", "init", "--quiet", "--initial-branch=main")
    repository.commit("1.0.0")
    repository.run("git", "tag", "v1.0.0")
    return repository


@pytest.fixture
def project(template: Repository, tmp_path: Path) -> Repository:
    """A repository generated from v1.0.0, committed as it was generated."""
    maker = Repository(tmp_path, tmp_path)
    assert "inv doctor" in maker.cruft("create", str(template.folder), "--no-input", "--checkout", "v1.0.0")
    repository = Repository(tmp_path / "mistral-nemo", tmp_path)
    repository.run("git", "init", "--quiet", "--initial-branch=main")
    repository.commit("generated")
    return repository


def release(template: Repository, tag: str = "v1.1.0") -> None:
    template.commit(tag)
    template.run("git", "tag", tag)


def update(project: Repository, tag: str = "v1.1.0") -> str:
    return project.cruft("update", "--skip-apply-ask", "--checkout", tag)


def made_without_cruft(template: Repository) -> dict[str, str]:
    """What the template renders to now, by file."""
    template.run(sys.executable, "-m", "cookiecutter", ".", "--no-input", "--output-dir", str(template.home / "plain"))
    return files(template.home / "plain" / "mistral-nemo")


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
    (address,) = re.findall(r"^\$ uvx cruft create (\S+)$", (ROOT / "README.md").read_text("utf-8"), re.M)
    assert address.startswith("https://github.com/")


def test_an_update_keeps_what_the_user_has_changed(template: Repository, project: Repository) -> None:
    project.edit(SERVICE, "MAX_NUM_SEQS: 128", "MAX_NUM_SEQS: 64")
    project.edit("README.md", "# Mistral Nemo\n", "# Mistral Nemo\n\nAsk #platform first.\n")
    project.edit("deploy/errors.py", '"""', '"""Ours. ')
    (project.folder / "NOTES.md").write_text("ours\n")
    project.commit()
    template.edit(f"{TEMPLATE}/{SERVICE}", "interval: 15s", "interval: 20s")
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## Take it down")
    (template.folder / TEMPLATE / "deploy" / "alarms.py").write_text('"""New."""\n')
    release(template)
    said = update(project)
    assert "inv doctor" not in said, "the hook tells of folders that are gone already"
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
    for name in ("hooks/pre_gen_project.py", f"{TEMPLATE}/README.md"):
        template.edit(name, "cookiecutter.owner", "cookiecutter.__owner")
    release(template)
    update(project)
    assert "Responsible: somebody." in project.read("README.md")


def test_a_renamed_file_takes_the_users_edits_along(template: Repository, project: Repository) -> None:
    project.edit("deploy/doctor.py", '"""', '"""Ours. ')
    project.commit()
    template.run("git", "mv", f"{TEMPLATE}/deploy/doctor.py", f"{TEMPLATE}/deploy/checks.py")
    release(template)
    update(project)
    assert not (project.folder / "deploy" / "doctor.py").exists()
    assert project.read("deploy/checks.py").startswith('"""Ours. ')


def test_a_file_that_the_user_deleted_stays_away(template: Repository, project: Repository) -> None:
    project.run("git", "rm", "--quiet", "server/config.example.yml")
    project.commit()
    template.edit(f"{TEMPLATE}/server/config.example.yml", "projects:", "projects:  # all of them")
    release(template)
    update(project)
    assert project.changed() == set()


def test_a_conflict_is_left_in_the_file_and_cruft_ends_with_0(template: Repository, project: Repository) -> None:
    """So whoever updates by machine has to look for it, as `git diff --check` does."""
    project.edit(SERVICE, "interval: 15s", "interval: 10s")
    project.commit()
    template.edit(f"{TEMPLATE}/{SERVICE}", "interval: 15s", "interval: 20s")
    release(template)
    said = update(project)
    assert "with conflicts" in said
    assert "UU " + SERVICE in project.run("git", "status", "--porcelain")
    assert re.findall(r"^<{7} .*|^>{7} .*", project.read(SERVICE), re.M) == ["<<<<<<< ours", ">>>>>>> theirs"]
    assert "leftover conflict marker" in project.run("git", "diff", "--check", code=2)


def test_in_a_shallow_clone_a_conflict_is_a_rej_file(template: Repository, project: Repository) -> None:
    """git lacks the file as it was generated, which merging three ways starts from."""
    project.edit(SERVICE, "interval: 15s", "interval: 10s")
    project.commit()
    template.edit(f"{TEMPLATE}/{SERVICE}", "interval: 15s", "interval: 20s")
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## Take it down")
    release(template)
    shallow = Repository(project.folder.with_name("shallow"), project.home)
    project.run("git", "clone", "--quiet", "--depth=1", project.folder.as_uri(), str(shallow.folder))
    assert ".rej" in update(shallow)
    assert shallow.changed() == {"README.md", f"{SERVICE}.rej"}
    assert "interval: 10s" in shallow.read(SERVICE)


def test_new_data_is_read_by_the_new_version_of_the_extension(template: Repository, project: Repository) -> None:
    """cruft renders both versions in one process, where Python keeps the old one's module and all that it remembers."""
    for data in [*template.folder.glob("models*.yml"), *template.folder.glob("models/*.yml")]:
        data.write_text(data.read_text("utf-8").replace("context: 32K", "context: 24K"), "utf-8")
    with (template.folder / "template_extensions.py").open("a", encoding="utf-8") as extension:
        extension.write(
            '\nFILTERS["shouted"] = Path(__file__).with_name("SHOUT").read_text().format\n'
        )
    (template.folder / "SHOUT").write_text("{}!")
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## << 'Tear down' | shouted >>")
    release(template)
    update(project)
    assert "MAX_MODEL_LEN: 24K" in project.read(SERVICE)
    assert "## Tear down!" in project.read("README.md")
    assert project.files() == made_without_cruft(template)


def test_the_extension_is_one_file() -> None:
    """It runs anew for each version; what it imported from beside it, Python would keep from the version before."""
    tree = ast.parse((ROOT / "template_extensions.py").read_text("utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    assert not {module.split(".")[0] for module in modules} & {path.stem for path in ROOT.iterdir()}


def test_an_update_is_refused_where_work_is_not_committed(template: Repository, project: Repository) -> None:
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## Take it down")
    release(template)
    project.edit("README.md", "# Mistral Nemo\n", "# Ours\n")
    assert "unclean git project" in project.cruft("update", "--skip-apply-ask", code=1)
    assert project.changed() == {"README.md"}
