"""The pages and forms for contributors: links lead somewhere, commands exist, and what they say of secrets is true."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
import yaml
from invoke.collection import Collection

from tests.rendered import MARKDOWN, ROOT, Bake, files

PAGES = ("AGENTS.md", "CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md", "docs/generate-many.md")
OURS = "https://github.com/toffee/ai-service"
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("[!c]*.yml"))
CHECK = [sys.executable, "-m", "check_jsonschema", "--builtin-schema=vendor.github-issue-forms"]


def read(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def links(text: str) -> list[str]:
    """Return the targets of all links in Markdown."""
    children = [child for token in MARKDOWN.parse(text) for child in token.children or []]
    return [str(child.attrs["href"]) for child in children if child.type == "link_open"]


@pytest.mark.parametrize("page", PAGES)
def test_links_to_files_lead_to_files(page: str) -> None:
    targets = [link.partition("#")[0] for link in links(read(page)) if "://" not in link]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


@pytest.mark.parametrize("page", [*PAGES, ".github/ISSUE_TEMPLATE/config.yml"])
def test_links_to_this_project_name_its_address(page: str) -> None:
    named = re.findall(r"https?://github\.com/\S*ai-service[^\s)>]*", read(page))
    assert all(link == OURS or link.startswith(f"{OURS}/security/advisories/new") for link in named), named


@pytest.mark.parametrize("page", ["AGENTS.md", "CONTRIBUTING.md", ".github/pull_request_template.md"])
def test_tasks_exist(page: str) -> None:
    tasks = Collection.from_module(import_module("tasks"))
    named = set(re.findall(r"`inv ([a-z-]+)", read(page)) + re.findall(r"^\$ inv ([a-z][a-z-]*)", read(page), re.M))
    assert named
    assert named <= set(tasks.task_names)


@pytest.mark.parametrize("page", ["AGENTS.md", "CONTRIBUTING.md"])
def test_files_that_are_named_exist(page: str) -> None:
    named = re.findall(r"`((?:[\w.<>-]+/)*[\w.<>-]+(?:/|\.py|\.yml|\.md))`", read(page)) + re.findall(
        r"\b(tests/test_\w+\.py)", read(page)
    )
    generated_or_ignored = {"__pycache__/", ".ruff_cache/"}
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists() and name not in generated_or_ignored] == []


def test_set_up_installs_what_the_readme_installs() -> None:
    """The same lock, and a command that pre-commit has."""
    assert "pip install --quiet --require-hashes -r requirements.txt" in read("CONTRIBUTING.md")
    assert re.search(r"^pre-commit==", read("requirements.txt"), re.M)


def test_the_release_script_says_what_contributing_says() -> None:
    version = tomllib.loads(read("pyproject.toml"))["project"]["version"]
    assert "python3 .ci/release_notes.py v<version>" in read("CONTRIBUTING.md")
    script = [sys.executable, ".ci/release_notes.py", "v999.0.0"]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert f"version {version}" in done.stderr


def test_every_secret_of_the_project_is_in_security(baked: Bake) -> None:
    rendered = files(baked())
    workflows = "".join(text for name, text in rendered.items() if name.startswith(".github/workflows/"))
    used = set(re.findall(r"\bsecrets\.([A-Z_]+)", workflows)) - {"GITHUB_TOKEN", "TEMPLATE_APP_PRIVATE_KEY"}
    used |= set(re.findall(r"^([A-Z_]+)=", rendered[".env.example"], re.M))
    assert used <= set(re.findall(r"`([A-Z_]+)`", read("SECURITY.md")))
    assert {".env", ".dstack/"} <= set(rendered[".gitignore"].splitlines())


def test_the_code_of_conduct_sends_reports_to_the_private_form() -> None:
    assert f"{OURS}/security/advisories/new" in read("SECURITY.md")
    assert "SECURITY.md" in links(read("CODE_OF_CONDUCT.md"))


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_what_a_form_asks_for_can_be_typed(form: Path, baked: Bake) -> None:
    """Each `inv` command in a form is a task of a generated repository, with a flag that the task has."""
    text = form.read_text("utf-8")
    tasks = "\n".join(text for path, text in files(baked()).items() if path.startswith("commands/"))
    for task, flag in re.findall(r"`inv ([a-z]+)(?: --\w+ ID)? --(\w+)`", text):
        signature = re.search(rf"^def {task}\((.*?)\) -> None", tasks, re.M | re.S)
        assert signature, task
        assert flag in signature[1], f"{task} --{flag}"


def test_a_bug_is_reported_with_doctor_and_versions() -> None:
    fields = {field.get("id"): field for field in yaml.safe_load(read(".github/ISSUE_TEMPLATE/bug.yml"))["body"]}
    assert "inv doctor --json" in fields["doctor"]["attributes"]["label"]
    assert "inv --version" in fields["version"]["attributes"]["label"]
    assert fields["template"]["validations"]["required"] is True


@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.stem)
def test_a_form_that_github_would_not_show_is_found(form: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(form, tmp_path))
    assert subprocess.run([*CHECK, copy], capture_output=True).returncode == 0
    copy.write_text(form.read_text("utf-8").replace("type: dropdown", "type: choice"), "utf-8")
    assert subprocess.run([*CHECK, copy], capture_output=True).returncode != 0
