"""The demo is a plain rendering: nobody edits it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tasks import DEMO, render
from tests.rendered import Bake, files

REBUILD = "the template has changed: `inv rebuild-demo` renders the demo again"


def test_the_demo_is_what_the_template_renders_with_default_answers(baked: Bake) -> None:
    rendered = files(baked(project_slug=DEMO.name))
    # what git has or would take: somebody who ran the demo in place left caches and an .env there
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    names = subprocess.run(listed, cwd=DEMO, capture_output=True, text=True, check=True).stdout.split("\0")[:-1]
    demo = {name: (DEMO / name).read_text("utf-8") for name in names}
    assert demo.keys() == rendered.keys(), REBUILD
    assert [name for name in demo if demo[name] != rendered[name]] == [], REBUILD


def test_rebuilding_the_demo_removes_what_the_template_no_longer_has(baked: Bake, tmp_path: Path) -> None:
    folder = tmp_path / DEMO.name
    folder.mkdir()
    (folder / "stale.py").touch()
    render(folder)
    assert files(folder) == files(baked(project_slug=DEMO.name))
