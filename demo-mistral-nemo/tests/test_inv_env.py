"""`inv env` and the request that a deploy ends with: what a shell makes of them."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from person import Done, Person
from stand_in.server import TOKEN

from console.errors import ExitCode
from operate import calling, views

CURL = pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
REQUESTED = {  # the path, and the key of the answer that has what was asked for
    "chat": ("chat/completions", "choices"),
    "pictures": ("images/generations", "data"),
    "embeddings": ("embeddings", "data"),
    "reranking": ("rerank", "results"),
    "transcription": ("audio/transcriptions", "text"),
}
PROGRAMS = {"PATH": "/usr/local/bin:/usr/bin:/bin"}


@pytest.fixture(params=["bash", "sh"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """shell(script, inv=…): run a script in a shell that has nothing set; `inv` there prints what `inv` printed here.

    `curl` there writes down its arguments, and then is curl.
    """
    if not shutil.which(request.param):
        pytest.skip(f"there is no {request.param}")
    folder = tmp_path / "programs"
    folder.mkdir()

    def run(script: str, inv: Done | None = None) -> subprocess.CompletedProcess[str]:
        (folder / "printed").write_text(inv.output if inv else "", "utf-8")
        programs = {"inv": f'cat "{folder}/printed"'}
        programs["curl"] = f'printf "%s\\n" "$@" >"{folder}/arguments"; exec {shutil.which("curl")} "$@"'
        for name, text in programs.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n", "utf-8")
            (folder / name).chmod(0o755)
        environ = {"PATH": f"{folder}:{PROGRAMS['PATH']}", "NO_PROXY": "*"}
        command = [request.param, "-eu"]
        return subprocess.run(
            command, input=script, env=environ, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
        )

    return run


def pasted(done: Done) -> list[str]:
    """The lines to paste, which a deploy ends with."""
    return [line.strip() for line in done.output.partition("paste these lines:\n")[2].splitlines()]


@CURL
def test_the_request_that_a_deploy_ends_with_answers(
    person: Person, shell: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    deployed = person.inv("deploy", "--yes")
    assert deployed.code == 0, deployed.errors
    lines = pasted(deployed)
    assert lines[0] == 'eval "$(inv env --env dev)"'
    assert len(lines) == 2
    done = shell("\n".join(lines), person.inv("env", "--env", "dev"))
    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads((tmp_path / "hare.json").read_text("utf-8") if person.kind == "pictures" else done.stdout)
    requested, found = REQUESTED[person.kind]
    assert answer[found]
    path, body, authorization = person.dstack.asked[-1]
    assert path.endswith(f"/v1/{requested}")
    assert body.get("model", person.dstack.model) == person.dstack.model
    assert authorization == f"Bearer {TOKEN}"
    assert TOKEN not in (tmp_path / "programs" / "arguments").read_text("utf-8")
    assert TOKEN not in deployed.output + deployed.errors


def test_no_request_is_shown_among_json(person: Person) -> None:
    assert isinstance(person.inv("deploy", "--yes", "--json").json, dict)


def test_a_shell_gets_the_variables_as_they_are(
    deployed: Person, shell: Callable[..., subprocess.CompletedProcess[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = """it's "a" $(token) `x` \\ & ;"""
    monkeypatch.setenv("FORCE_COLOR", "1")
    done = deployed.inv("env")
    assert done.code == 0, done.errors
    names = ("DSTACK_SERVER_URL", "DSTACK_TOKEN", "DSTACK_PROJECT", "OPENAI_BASE_URL", "OPENAI_API_KEY")
    read = "".join(f'printf "%s\\n" "${name}"\n' for name in names)
    name = deployed.environment("dev").run_name
    url = f"{deployed.dstack.url}/proxy/services/main/{name}/v1"
    said = shell(f'eval "$(inv env)"\n{read}', done).stdout.splitlines()
    assert said == [deployed.dstack.url, TOKEN, "main", url, TOKEN]
    quoted = Done(0, "\n".join(calling.exports({"A": odd})), "")
    assert shell('eval "$(inv env)"\nprintf "%s" "$A"', quoted).stdout == odd


def test_what_is_not_deployed_has_no_address(person: Person) -> None:
    done = person.inv("env")
    assert done.code == 0, done.errors
    assert [line.partition("=")[0].removeprefix("export ") for line in done.output.splitlines()] == [
        *("DSTACK_SERVER_URL", "DSTACK_TOKEN", "DSTACK_PROJECT")
    ]


def test_a_server_that_can_not_be_asked_is_only_a_warning(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTACK_SERVER_URL", "http://127.0.0.1:9")
    done = person.inv("env")
    assert done.code == 0
    assert "export DSTACK_SERVER_URL=http://127.0.0.1:9\n" in done.output
    assert "so OPENAI_BASE_URL is not set" in done.errors


def test_without_a_token_there_is_nothing_to_export(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTACK_TOKEN", "")
    done = person.inv("env")
    assert (done.code, done.output) == (ExitCode.SETTINGS_INVALID, "")
    assert "DSTACK_TOKEN is not set" in done.errors


def test_a_terminal_shows_no_secret(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    views.variables("prod", {"DSTACK_PROJECT": "main", "DSTACK_TOKEN": TOKEN, "OPENAI_API_KEY": TOKEN})
    said = capsys.readouterr().out
    assert TOKEN not in said
    assert "DSTACK_PROJECT=main\n" in said
    assert 'eval "$(inv env --env prod)"' in said


def test_the_page_of_a_workflow_shows_no_secret(
    deployed: Person, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    page = tmp_path / "page"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    assert TOKEN in deployed.inv("env").output
    assert not page.exists()
    deployed.inv("status")
    assert "running" in page.read_text("utf-8")
