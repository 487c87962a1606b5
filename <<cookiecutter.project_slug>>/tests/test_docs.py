"""The Markdown files and the code agree."""

import re

import pytest
import reference
import yaml
from pages import Page, files, pages, read
from pydantic import BaseModel
from reference import FLAGS, spelled

from console.errors import ExitCode
from deploy.environments import ROOT
from deploy.settings import Alarms, Dns, EnvironmentFile, Server, Timeouts
from tasks import namespace

PAGES = pages()
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
WORKFLOWS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))
CI = ROOT / "docs" / "ci.md"
RUNBOOK = ROOT / "docs" / "runbook"
NAMED_PAGE = r'(docs/[\w/-]+\.md|README\.md)(?:, "([^"\n]+)")?'  # with the heading that follows in quotes

of_every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.path.relative_to(ROOT).as_posix())


def section(title: str) -> str:
    """Return a section of the reference."""
    return REFERENCE.split(f"\n## {title}\n")[1].split("\n## ")[0]


# Links and commands


@of_every_page
def test_links_lead_to_files_and_headings_that_exist(page: Page) -> None:
    for link in page.links:
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.exists(), f"{page.path.name}: {link}"
        assert not anchor or anchor in read(target).anchors, f"{page.path.name}: {link}"


@of_every_page
def test_commands_and_their_flags_exist(page: Page) -> None:
    for words in page.commands:
        if not words or words[0].startswith("-"):
            continue  # invoke's own flags: inv --list
        name, mine = words[0], words[: words.index("--")] if "--" in words else words
        assert name in FLAGS, f"{page.path.name}: inv {name}"
        known = {spelled(flag) for flag in FLAGS[name]} | {f"-{letter}" for f in FLAGS[name] for letter in f.nicknames}
        typed = {word.partition("=")[0] for word in mine if word.startswith("-")}
        assert typed <= known, f"{page.path.name}: inv {' '.join(words)}"


def test_the_tests_of_links_and_commands_find_some() -> None:
    assert len({link for page in PAGES for link in page.links}) > 20
    assert len({" ".join(words) for page in PAGES for words in page.commands}) > 20


def test_the_first_link_leads_to_the_page_for_incidents() -> None:
    assert re.findall(r"\]\((\S+)\)", README)[0] == "docs/runbook/README.md"


def test_every_page_is_linked_and_says_first_what_a_reader_can_do_afterwards() -> None:
    linked = {ROOT / link.partition("#")[0] for link in read(ROOT / "README.md").links}
    linked |= {RUNBOOK / link.partition("#")[0] for link in read(RUNBOOK / "README.md").links}
    for path in (ROOT / "docs").rglob("*.md"):
        assert path in linked, path.name
        title, _, opening = path.read_text(encoding="utf-8").splitlines()[:3]
        assert title.startswith("# "), path.name
        assert opening.startswith("After reading this page you "), path.name


def test_every_page_of_the_runbook_confirms_mitigates_diagnoses_and_says_whom_to_call() -> None:
    for path in RUNBOOK.glob("*.md"):
        headings = re.findall(r"^## (.+)$", path.read_text(encoding="utf-8"), re.M)
        assert path.name == "README.md" or headings == ["Confirm", "Mitigate", "Diagnose", "Escalate"], path.name


def test_pages_and_headings_that_the_code_names_exist() -> None:
    named = set()
    for path in files(".py", ".yml"):
        if path.parent != ROOT / "tests":
            named |= set(re.findall(NAMED_PAGE, path.read_text(encoding="utf-8")))
    assert len(named) > 5
    for name, title in named:
        assert title in (ROOT / name).read_text(encoding="utf-8"), f"{name}, {title}"


# The reference


def test_tasks_and_flags_in_the_reference_are_those_of_the_code() -> None:
    written = reference.with_tables(REFERENCE)
    assert written == REFERENCE, "`PYTHONPATH=. python tests/reference.py` writes the tables"


def test_every_exit_code_is_in_the_reference_and_nothing_else_is() -> None:
    rows = re.findall(r"^\| (\d+) \| .+ \| .*\|$", section("Exit codes"), re.M)
    assert sorted(map(int, rows)) == sorted({0, *ExitCode})


def test_every_environment_key_is_in_the_reference_with_its_default() -> None:
    said = dict(re.findall(r"^\| `([\w.]+)` \| `?(.+?)`? \| .+ \|$", section("Environment keys"), re.M))
    parts: dict[str, type[BaseModel]] = {"server": Server, "timeouts": Timeouts, "dns": Dns, "alarms": Alarms}
    keys = {name: field for name, field in EnvironmentFile.model_fields.items() if name not in ("server", "timeouts")}
    keys |= {f"{part}.{name}": field for part, model in parts.items() for name, field in model.model_fields.items()}
    assert said.keys() == keys.keys()
    for key, field in keys.items():
        expected = "required" if field.is_required() else field.get_default()
        assert said[key] == expected or yaml.safe_load(said[key]) == expected, key


def test_every_block_of_an_environment_is_one_that_inv_reads() -> None:
    blocks = [block for page in PAGES for language, block in page.blocks if language == "yaml"]
    documents = [yaml.safe_load(block) for block in blocks]
    whole = [document for document in documents if "server" in document]
    assert whole
    for document in documents:
        EnvironmentFile.model_validate({"server": {"project": "main"}} | document)


# The code


def test_every_flag_of_every_task_is_explained_and_takes_any_text() -> None:
    for name, arguments in FLAGS.items():
        for argument in arguments:
            assert argument.help, f"{name} --{argument.name}"
            # invoke would answer text in place of a number with a traceback: console/invocation.py converts it
            assert argument.kind in (str, bool), f"{name} --{argument.name}"


def test_a_letter_means_the_same_in_every_task_and_nothing_is_allowed_by_one() -> None:
    letters = {(letter, flag.name) for flags in FLAGS.values() for flag in flags for letter in flag.nicknames}
    assert letters == {("e", "env"), ("d", "dry_run"), ("j", "json"), ("y", "yes")}


def test_workflows_call_tasks_that_exist() -> None:
    called = set(re.findall(r"^ +(?:run: )?inv ([a-z.]+)", WORKFLOWS, re.M))
    assert {"plan", "deploy", "gateway.deploy", "dns.update", "service.deploy", "smoke"} <= called
    assert called <= set(namespace.task_names)


def test_every_variable_and_secret_of_the_workflows_is_in_the_page_on_ci_and_nothing_else_is() -> None:
    used = set(re.findall(r"\b(vars|secrets)\.([A-Z_]+)", WORKFLOWS))
    told = set(re.findall(r"(variable|secret)s?\s`([A-Z_]+)`", CI.read_text(encoding="utf-8")))
    assert {({"vars": "variable", "secrets": "secret"}[kind], name) for kind, name in used} == told


def test_every_folder_at_the_top_is_in_the_readme() -> None:
    tree = README.split("## What is here")[1]
    folders = [path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
    assert all(f"{folder}/" in tree for folder in folders), folders
