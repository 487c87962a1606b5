"""What is written in two places is the same in both."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import pins
from sandbox.engine.flags import VLLM_VERSION
from tasks import TEMPLATE_LOCKS
from tests.rendered import ROOT

TEMPLATE = ROOT / "<<cookiecutter.project_slug>>"
DEMO = ROOT / "demo-mistral-nemo"
CHECKOUT = "uses: actions/checkout@"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose template pins older versions than the rest of it."""
    for name, text in {
        "pyproject.toml": '["dstack[server]==0.22.10", "boto3==1.44.5"]  # ==, not >=\n',
        "requirements.txt": "dstack==0.22.10 \\\n",
        "template/pyproject.toml": '["dstack[server]==0.22.9"]\n',
        "template/<% if x %>requirements.txt<% endif %>": "dstack==0.22.10 \\\n",
        "template/ci.yml": f"  - {CHECKOUT}{'b' * 40} # v7.0.1\n",
        "template/setup.yml": '    version: "0.13.9" # uv\n',
        "template/service.dstack.yml": "image: vllm/vllm-openai:v0.28.0-cu129\n",
        "demo-mistral-nemo/ci.yml": f"  - {CHECKOUT}{'a' * 40} # v10.0.0\n",
        "tests/test.py": "dstack==0.1\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def test_no_two_places_pin_different_versions() -> None:
    """Packages in pyproject.toml, locks and commands, actions, images; in the template, the demo and here."""
    found = pins.find(ROOT)
    assert {"dstack", "boto3", "actions/checkout", "vllm/vllm-openai", "uv"} <= found.keys()
    assert pins.different(found) == {}, "`inv pins` takes the newest everywhere, `inv lock` renews the locks"


def test_what_differs_is_found(repository: Path) -> None:
    assert pins.different(pins.find(repository)).keys() == {"dstack", "actions/checkout"}


def test_the_newest_is_taken_everywhere(repository: Path) -> None:
    changed = pins.put(repository, pins.newest(pins.find(repository)))
    assert changed == ["template/ci.yml", "template/pyproject.toml"]
    assert (repository / "template" / "pyproject.toml").read_text() == '["dstack[server]==0.22.10"]\n'
    assert (repository / "template" / "ci.yml").read_text() == f"  - {CHECKOUT}{'a' * 40} # v10.0.0\n"
    assert pins.different(pins.find(repository)) == {}
    assert (repository / "tests" / "test.py").read_text() == "dstack==0.1\n"


def test_one_version_can_be_put_everywhere(repository: Path) -> None:
    assert pins.put(repository, {"vllm/vllm-openai": "v0.29.0-cu129"}) == ["template/service.dstack.yml"]
    assert pins.put(repository, {"uv": "0.14.0"}) == ["template/setup.yml"]
    assert (repository / "template" / "setup.yml").read_text() == '    version: "0.14.0" # uv\n'
    assert pins.put(repository, {"dstack": "0.23.0"}) == ["pyproject.toml", "template/pyproject.toml"]
    assert pins.find(repository)["vllm/vllm-openai"] == {"template/service.dstack.yml": {"v0.29.0-cu129"}}
    digest = f"v0.29.0-cu129@sha256:{'c' * 64}"
    assert pins.put(repository, {"vllm/vllm-openai": digest}) == ["template/service.dstack.yml"]
    assert pins.put(repository, {"vllm/vllm-openai": "v0.30.0-cu129"}) == ["template/service.dstack.yml"]
    assert (repository / "template" / "service.dstack.yml").read_text() == "image: vllm/vllm-openai:v0.30.0-cu129\n"
    assert '"boto3==1.44.5"]  # ==, not >=' in (repository / "pyproject.toml").read_text()


def test_both_locks_of_the_template_are_of_one_day() -> None:
    """Pictures take pillow besides; everything else is the same for every service."""
    chat, pictures = (set((TEMPLATE / name).read_text("utf-8").splitlines()) for _, name in TEMPLATE_LOCKS.values())
    more = "\n".join(line for line in pictures - chat if "--hash" not in line)
    assert more.startswith("pillow==")
    assert "\n" not in more
    assert chat <= pictures


def test_the_same_requirement_is_the_same_here_and_in_generated_repositories() -> None:
    """So that what is tested here is what they install; extras may differ."""
    here, there = (_requirements(folder / "pyproject.toml") for folder in (ROOT, DEMO))
    assert {name: bound for name, bound in there.items() if here.get(name) != bound} == {}


def test_the_stand_in_for_vllm_has_the_flags_of_the_version_that_is_deployed() -> None:
    """Red after a raise of the image: compare sandbox/engine/flags.py with the new `vllm serve --help=all` first."""
    (image,) = set(pins.find(ROOT)["vllm/vllm-openai"].values())
    assert [version.split("-")[0] for version in image] == [f"v{VLLM_VERSION}"]


def test_the_oldest_python_is_the_same_everywhere() -> None:
    texts = [path.read_text("utf-8") for folder in (ROOT, TEMPLATE) for path in folder.glob("*.*") if path.is_file()]
    promised = re.findall(r'Python (3\.\d+) or newer|requires-python = ">=(3\.\d+)"', "\n".join(texts))
    assert len(promised) >= 4
    assert len({"".join(version) for version in promised}) == 1


def test_workflows_run_on_the_same_machines_with_the_same_tools() -> None:
    """One runner image, and one version of whatever an action is asked to install; a matrix may say otherwise."""
    texts = [path.read_text("utf-8") for folder in (ROOT, DEMO) for path in (folder / ".github").rglob("*.yml")]
    assert len(set(re.findall(r"\bubuntu-[\w.]+", "\n".join(texts)))) == 1
    asked: dict[str, set[str]] = defaultdict(set)
    for step in _steps([yaml.safe_load(text) for text in texts]):
        for name, value in step.get("with", {}).items():
            if "version" in name and "${{" not in str(value):
                asked[f"{step['uses'].split('@')[0]} {name}"].add(str(value))
    assert {what: values for what, values in asked.items() if len(values) > 1} == {}


def test_every_action_is_pinned_to_a_commit() -> None:
    for path in (path for folder in (ROOT, TEMPLATE) for path in (folder / ".github").rglob("*.yml")):
        for line in re.findall(r"^.*\buses:.*$", path.read_text("utf-8"), re.M):
            assert "uses: ./" in line or pins.ACTION.search(line), f"{path.name}: {line}"


def test_dependabot_looks_wherever_the_demo_uses_actions() -> None:
    (update,) = yaml.safe_load((ROOT / ".github" / "dependabot.yml").read_text("utf-8"))["updates"]
    found = [path for path in (DEMO / ".github").rglob("*.yml") if pins.ACTION.search(path.read_text("utf-8"))]
    assert {f"/{path.parent.relative_to(ROOT)}" for path in found} <= set(update["directories"])


def _steps(document: Any) -> Iterator[dict[str, Any]]:
    """Every step that uses an action, in workflows and composite actions."""
    match document:
        case {"uses": str()}:
            yield document
        case dict():
            yield from _steps(list(document.values()))
        case list():
            for item in document:
                yield from _steps(item)


def _requirements(path: Path) -> dict[str, str]:
    """Bound by package."""
    project = tomllib.loads(path.read_text("utf-8"))["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["dev"]
    matches = [re.fullmatch(r"([\w.-]+)(?:\[[\w,-]+\])?(.*)", line) for line in lines]
    return {match[1]: match[2] for match in matches if match}
