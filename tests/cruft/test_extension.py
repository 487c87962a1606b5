"""The template's Jinja extension, of which an update renders two versions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.cruft.repository import SERVICE, TEMPLATE, Repository, made_without_cruft, release, update
from tests.rendered import ROOT


def test_new_data_is_read_by_the_new_version_of_the_extension(template: Repository, project: Repository) -> None:
    """cruft renders both versions in one process, where Python keeps the old one's module and all that it remembers."""
    for data in [*template.folder.glob("models*.yml"), *template.folder.glob("models/*.yml")]:
        data.write_text(data.read_text("utf-8").replace("context: 32K", "context: 24K"), "utf-8")
    with (template.folder / "template_extensions.py").open("a", encoding="utf-8") as extension:
        extension.write('\nFILTERS["shouted"] = Path(__file__).with_name("SHOUT").read_text().format\n')
    (template.folder / "SHOUT").write_text("{}!")
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## << 'Tear down' | shouted >>")
    release(template)
    update(project)
    assert "MAX_MODEL_LEN: 24K" in project.read(SERVICE)
    assert "## Tear down!" in project.read("README.md")
    assert project.files() == made_without_cruft(template)


def test_new_data_alone_is_read(template: Repository, project: Repository) -> None:
    """The code is the same in both versions, and it remembers what it has read."""
    for data in template.folder.glob("models/*.yml"):
        data.write_text(data.read_text("utf-8").replace("context: 32K", "context: 24K"), "utf-8")
    template.edit("models/machines.yml", "gib: 22.03", "gib: 22.02")
    release(template)
    update(project)
    assert "MAX_MODEL_LEN: 24K" in project.read(SERVICE)
    assert project.files() == made_without_cruft(template)


def test_a_new_filter_for_text_is_known_to_the_new_version(template: Repository, project: Repository) -> None:
    with (template.folder / "template_text.py").open("a", encoding="utf-8") as filters:
        filters.write('\nFILTERS["shouted"] = "{}!".format\n')
    template.edit(f"{TEMPLATE}/README.md", "## Tear down", "## << 'Tear down' | shouted >>")
    release(template)
    update(project)
    assert "## Tear down!" in project.read("README.md")
    assert project.files() == made_without_cruft(template)


@pytest.mark.parametrize("file", sorted(ROOT.glob("template_*.py")), ids=lambda file: file.name)
def test_no_file_of_the_extension_imports_another(file: Path) -> None:
    """They run again for each version. Python would keep an imported module from the version before."""
    tree = ast.parse(file.read_text("utf-8"))
    modules = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    modules += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
    ours = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert not {module.split(".")[0] for module in modules} & ours
