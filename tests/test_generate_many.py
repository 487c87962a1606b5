"""docs/generate-many.md: the next service from a team's answers, tried with the real cookiecutter and cruft."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.rendered import ROOT, files

PAGE = (ROOT / "docs" / "generate-many.md").read_text("utf-8")
TEAM = PAGE.split("```yaml\n")[1].split("```")[0]
Run = Callable[[str], Path]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """run(words): a command of the page, with the template of this repository; the folder that it ran in."""
    home = tmp_path / "home"
    home.mkdir()
    (tmp_path / "team.yml").write_text(TEAM, "utf-8")
    variables = {**os.environ, "HOME": str(home)}
    variables.pop("COOKIECUTTER_CONFIG", None)

    def call(words: str) -> Path:
        program, *arguments = shlex.split(words.replace("gh:toffee/ai-service", shlex.quote(str(ROOT))))
        command = [sys.executable, "-m", program, *arguments]
        done = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return tmp_path

    return call


def command(part: str) -> str:
    """Return the command of the page that has this part, on one line."""
    lines = PAGE.replace("\\\n", " ").splitlines()
    [found] = [line.removeprefix("$ ") for line in lines if line.startswith("$ ") and part in line]
    return re.sub(" +", " ", found)


def test_the_next_service_has_the_teams_answers_and_its_own_model(run: Run) -> None:
    project = run(command("gh:toffee/ai-service --config-file team.yml --no-input")) / "qwen-3"
    assert "Qwen/Qwen3-8B" in (project / "README.md").read_text("utf-8")
    assert (project / ".github" / "CODEOWNERS").read_text("utf-8").endswith("\n* @acme/platform\n")
    gateway = yaml.safe_load((project / "dstack" / "gateway.dstack.yml").read_text("utf-8"))
    assert gateway["region"] == "eu-west-1"


def test_a_service_of_another_kind_gets_its_own_files(run: Run) -> None:
    written = command("gh:toffee/ai-service --config-file team.yml --no-input")
    project = run(written.replace("Qwen/Qwen3-8B", "Tongyi-MAI/Z-Image-Turbo")) / "qwen-3"
    assert (project / "operate" / "pictures.py").exists()
    assert not (project / "operate" / "chat.py").exists()


def test_a_replay_file_makes_the_same_service_once_more(run: Run) -> None:
    folder = run(command("gh:toffee/ai-service --config-file team.yml --no-input"))
    [kept] = (folder / "home" / ".cookiecutter_replay").glob("*.json")
    kept.rename(folder / "qwen-3.json")
    (folder / "qwen-3").rename(folder / "first")
    assert files(run(command("--replay-file")) / "qwen-3") == files(folder / "first")


def test_an_edited_replay_file_is_the_trap_that_the_page_names(run: Run) -> None:
    """When this fails, cookiecutter derives answers again, and the warning on the page can go."""
    folder = run(command("gh:toffee/ai-service --config-file team.yml --no-input"))
    [kept] = (folder / "home" / ".cookiecutter_replay").glob("*.json")
    edited = json.loads(kept.read_text("utf-8"))
    edited["cookiecutter"] |= {"model_id": "Tongyi-MAI/Z-Image-Turbo", "project_slug": "pictures"}
    (folder / "qwen-3.json").write_text(json.dumps(edited), "utf-8")
    assert (run(command("--replay-file")) / "pictures" / "operate" / "chat.py").exists()


@pytest.mark.slow
def test_cruft_takes_the_same_file(run: Run, tmp_path: Path) -> None:
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(tmp_path / "template")], check=True)
    written = (
        command("uvx cruft create").removeprefix("uvx ").replace("https://github.com/toffee/ai-service", "template")
    )
    answers = json.loads((run(written) / "qwen-3" / ".cruft.json").read_text("utf-8"))["context"]["cookiecutter"]
    team = yaml.safe_load(TEAM)["default_context"]
    assert {name: answers[name] for name in team} == team
    assert answers["model_id"] == "Qwen/Qwen3-8B"
