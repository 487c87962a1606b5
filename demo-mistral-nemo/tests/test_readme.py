"""README.md and the files agree."""

import re

import yaml

from console.errors import ExitCode
from deploy.environments import ROOT
from deploy.settings import EnvironmentFile
from tasks import namespace

README = (ROOT / "README.md").read_text(encoding="utf-8")
FLAGS = {name: namespace[name].get_arguments() for name in namespace.task_names}  # invoke takes their help once
WORKFLOWS = "".join(path.read_text(encoding="utf-8") for path in (ROOT / ".github" / "workflows").glob("*.yml"))


def test_every_task_is_in_the_readme_and_nothing_else_is() -> None:
    assert set(re.findall(r"^\| `inv ([a-z.]+)", README, re.M)) == set(namespace.task_names)


def test_every_exit_code_is_in_the_readme_and_nothing_else_is() -> None:
    assert set(map(int, re.findall(r"^\| (\d+) \|", README, re.M))) == {0, *ExitCode}


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


def test_every_variable_and_secret_of_the_workflows_is_in_the_readme_and_nothing_else_is() -> None:
    used = set(re.findall(r"\b(vars|secrets)\.([A-Z_]+)", WORKFLOWS))
    section = README.split("## From GitHub Actions")[1].split("### From another CI system")[0]
    told = set(re.findall(r"(variable|secret)s?\s`([A-Z_]+)`", section))
    assert {({"vars": "variable", "secrets": "secret"}[kind], name) for kind, name in used} == told


def test_the_readme_shows_an_environment_with_every_key() -> None:
    block = README.split("Every key:")[1].split("```yaml")[1].split("```")[0]
    shown = EnvironmentFile.model_validate(yaml.safe_load(block))
    assert shown.model_fields_set == set(EnvironmentFile.model_fields)
    for part in (shown.server, shown.timeouts):
        assert part.model_fields_set == set(type(part).model_fields)


def test_every_file_at_the_top_is_in_the_readme() -> None:
    tree = README.split("## What is here")[1]
    folders = [path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith((".", "__"))]
    assert all(f"{folder}/" in tree for folder in folders), folders
