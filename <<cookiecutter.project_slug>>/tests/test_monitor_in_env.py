"""How engine/monitor.py gets into the container: as a value of the service's `env`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import VARIABLES, job, run_json
from planned import run_plan

from deploy import changes, views
from deploy.changes import Change
from deploy.documents.monitor import FILE, VARIABLE, with_monitor
from deploy.documents.references import first_wrong
from deploy.environments import load

COMMANDS = [f'python3 -c "${VARIABLE}"']
TEXT = 'print("$HOME costs $$5, ${{ secrets.x }}")\n'


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    (tmp_path / "engine").mkdir()
    (tmp_path / FILE).write_text(TEXT, encoding="utf-8")
    return tmp_path


def test_it_arrives_as_it_is_written(repository: Path) -> None:
    """dstack's server fills in references; the container gets the text itself."""
    from dstack._internal.utils.interpolator import VariablesInterpolator

    service = with_monitor({"commands": COMMANDS, "env": {"A": "1"}}, repository)
    assert service["env"]["A"] == "1"
    assert VariablesInterpolator({}).interpolate(service["env"][VARIABLE]) == TEXT
    assert first_wrong("service", service) is None


@pytest.mark.parametrize(
    "service",
    [
        {"commands": ["vllm serve"], "env": {"A": "1"}},
        {"commands": COMMANDS, "env": {VARIABLE: ""}},
        {"commands": COMMANDS, "env": ["A=1"]},
        {"image": "a/b"},
        {"commands": None},
    ],
    ids=["a command without it", "switched off", "env as a list", "no commands", "null"],
)
def test_a_service_that_does_not_use_it_stays_as_it_is(service: dict[str, Any], repository: Path) -> None:
    assert with_monitor(service, repository) == service


def test_a_group_whose_commands_use_it_gets_it_too(repository: Path) -> None:
    service = with_monitor({"groups": [{"name": "small", "commands": COMMANDS}]}, repository)
    assert service["env"][VARIABLE]


def test_a_repository_without_it_stays_as_it_is(tmp_path: Path) -> None:
    assert with_monitor({"commands": COMMANDS}, tmp_path) == {"commands": COMMANDS}


def test_an_environment_brings_it_along(root: Path) -> None:
    (root / "engine").mkdir()
    (root / FILE).write_text("pass", encoding="utf-8")
    with (root / "dstack" / "service.dstack.yml").open("a", encoding="utf-8") as file:
        file.write(f"\n# {VARIABLE}\n")  # a comment is no use of it
    service = load("dev", root, VARIABLES).service
    used = any(f"${VARIABLE}" in command for command in service["commands"])
    assert service["env"].get(VARIABLE) == ("pass" if used else None)


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [("one", "two", "changed"), (None, "two", "added"), ("one", None, "removed")],
)
def test_a_plan_names_the_file_and_never_its_text(before: str | None, after: str | None, said: str) -> None:
    old, new = ({"configuration": {"env": {VARIABLE: text} if text else {}}} for text in (before, after))
    [difference] = changes.differences(old, new)
    assert {difference.before, difference.after}.isdisjoint({"one", "two"})
    assert views.difference_line(difference) == f"{FILE} {said}"


def test_a_change_of_it_rolls() -> None:
    part = changes.classify_service(run_plan(run_json(job()), {"env": {"A": "1", VARIABLE: "two"}}))
    assert (part.change, part.keys) == (Change.ROLLING, FILE)


def test_people_see_a_fingerprint_and_machines_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"type": "service", "env": {"A": "1", VARIABLE: "the text"}}
    views.documents(document)
    assert f"{FILE} (" in (shown := capsys.readouterr().out)
    assert "the text" not in shown
    views.documents(document, json=True)
    assert "the text" in capsys.readouterr().out
