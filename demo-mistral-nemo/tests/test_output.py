import sys
from pathlib import Path

import pytest

from console import terminal
from console.errors import ExitCode, Failure
from console.views import failure
from deploy import views
from deploy.existing import Resource


@pytest.fixture
def page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The page of a GitHub workflow's run, while `inv deploy --env prod` runs."""
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    monkeypatch.setattr(sys, "argv", ["/somewhere/inv", "deploy", "--env", "prod"])
    return tmp_path / "summary.md"


def test_the_page_of_a_workflows_run_has_what_the_terminal_has(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.on_the_runs_page(copied=True), terminal.watching("deploying") as notify:
        views.existing("chat", [Resource("run", "chat", "running")])
        notify("replica 0: </pre> & <b>ready</b>")
    shown = capsys.readouterr()
    text = page.read_text("utf-8")
    assert text.startswith("`inv deploy --env prod`\n<pre>chat: run chat (running)\n")
    assert text.endswith("replica 0: &lt;/pre&gt; &amp; &lt;b&gt;ready&lt;/b&gt;\n</pre>\n\n")
    assert shown.out == "chat: run chat (running)\n"
    assert "<b>ready</b>" in shown.err


def test_the_page_shows_a_failure_too(page: Path) -> None:
    def fail() -> None:
        with terminal.on_the_runs_page(copied=True):
            failure(Failure(ExitCode.NO_CAPACITY, "no GPU to be had"))
            raise SystemExit

    with pytest.raises(SystemExit):
        fail()
    assert page.read_text("utf-8").endswith("error: no GPU to be had\n</pre>\n\n")


def test_json_is_for_the_next_command_and_not_for_the_page(page: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with terminal.on_the_runs_page(copied=False):
        views.records("chat.ai.internal", [], json=True)
    assert capsys.readouterr().out == "[]\n"
    assert not page.exists()


def test_outside_of_github_actions_nothing_is_written(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GITHUB_STEP_SUMMARY")
    with terminal.on_the_runs_page(copied=True):
        views.existing("chat", [])
    assert not page.exists()
