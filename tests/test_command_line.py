"""How `inv` starts, talks and ends on the shells and terminals that people have; no dstack server answers here."""

from __future__ import annotations

import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

import pytest

from tests.rendered import Bake

CLOSED = "http://127.0.0.1:9"  # nobody listens there
READ = [["plan"], ["status"], ["logs"], ["doctor"], ["offers"], ["destroy", "--dry-run"]]
INVOKE = [sys.executable, "-m", "invoke"]


def environ(**variables: str) -> dict[str, str]:
    """The environment that `inv` gets: a server that does not answer, `variables` over it."""
    others = ("DSTACK_", "GITHUB_", "INVOKE_", "COLUMNS")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return inherited | {"DSTACK_SERVER_URL": CLOSED, "DSTACK_TOKEN": "t0ken"} | variables


def inv(project: Path, *words: str, typed: bytes = b"", env: str = "prod", **variables: str) -> Any:
    """Run `inv …` to its end; `typed` comes through a pipe."""
    flags = ["--env", env] if env else []
    command = [*INVOKE, *words, *flags]
    done = subprocess.run(command, cwd=project, env=environ(**variables), input=typed, capture_output=True, timeout=60)
    return subprocess.CompletedProcess(words, done.returncode, done.stdout.decode(), done.stderr.decode())


def in_one_line(done: Any, code: int, *said: str) -> None:
    """It ended with `code` and one line on standard error that says this, without a traceback."""
    assert (done.returncode, done.stderr.count("\n")) == (code, 1), done.stderr + done.stdout
    assert [words for words in said if words not in done.stderr] == [], done.stderr


# dstack's own command line


def test_dstacks_own_command_line_ends_as_dstack_ends(baked: Bake) -> None:
    shown = inv(baked(), "dstack", "--env", "prod", "--", "--version", env="")
    assert (shown.returncode, shown.stdout) == (0, f"{version('dstack')}\n"), shown.stderr
    away = inv(baked(), "dstack", "--env", "prod", "--", "ps", env="")
    assert away.returncode == 1
    assert CLOSED in away.stdout + away.stderr


# invoke's own flags


@pytest.mark.parametrize(
    "words",
    [["--dry", "deploy", "--yes"], ["deploy", "--dry", "--yes"], ["-R", "deploy"], ["deploy", "-R"], ["-eR", "deploy"]],
)
def test_a_dry_run_of_invoke_is_refused_wherever_it_stands(baked: Bake, words: list[str]) -> None:
    in_one_line(inv(baked(), *words), 20, "--dry is invoke's own", "inv deploy --dry-run")


@pytest.mark.parametrize("task", ["destroy", "dns.update", "service.deploy", "gateway.deploy", "dns.delete", "status"])
def test_every_task_refuses_it(baked: Bake, task: str) -> None:
    in_one_line(inv(baked(), task, "--dry"), 20, "--dry is invoke's own")


@pytest.mark.parametrize("flag", ["--warn-only", "-w", "--hide=both", "--command-timeout=600", "-T 600"])
@pytest.mark.parametrize("first", [True, False])
def test_what_promises_another_outcome_is_refused(baked: Bake, flag: str, first: bool) -> None:
    words = [*flag.split(), "deploy"] if first else ["deploy", *flag.split()]
    in_one_line(inv(baked(), *words), 20, "is invoke's own and has no effect here; leave it out")


@pytest.mark.parametrize("variable", ["INVOKE_RUN_DRY", "INVOKE_RUN_WARN", "INVOKE_TIMEOUTS_COMMAND"])
def test_a_variable_of_invoke_promises_no_more_than_its_flag(baked: Bake, variable: str) -> None:
    for value, code in (("1", 20), ("0", 21)):
        variables: dict[str, Any] = {variable: value}
        in_one_line(inv(baked(), "deploy", **variables), code, variable if value == "1" else "")


@pytest.mark.parametrize("place", ["project", "home", "flag", "variable"])
def test_neither_does_a_configuration_file_of_invoke(bake: Bake, tmp_path: Path, place: str) -> None:
    project = bake()
    home = tmp_path / "home"
    home.mkdir()
    path = {"project": project / "invoke.yaml", "home": home / ".invoke.yaml"}.get(place, tmp_path / "other.yaml")
    path.write_text("run: {dry: true}\n", "utf-8")
    words = ["--config", str(path)] if place == "flag" else []
    variables: dict[str, Any] = {"INVOKE_RUNTIME_CONFIG": str(path)} if place == "variable" else {}
    done = inv(project, *words, "deploy", "--yes", HOME=str(home), **variables)
    in_one_line(done, 20, "inv deploy --dry-run", "INVOKE_RUN_DRY=0")


@pytest.mark.parametrize("flag", ["--echo", "--pty", "--no-dedupe"])
def test_flags_about_looks_may_stay(baked: Bake, flag: str) -> None:
    in_one_line(inv(baked(), flag, "status"), 21)


# Faults of ours


def test_a_bug_is_one_line_with_its_place_and_debug_shows_the_traceback(bake: Bake) -> None:
    project = bake()
    with (project / "deploy" / "api.py").open("a") as file:
        file.write("raise ZeroDivisionError('x')\n")
    done = inv(project, "status")
    assert (done.returncode, done.stdout) == (1, "")
    fault, advice = done.stderr.splitlines()
    assert re.fullmatch(
        r"error: a fault in this repository's tasks at deploy/api\.py, line \d+: ZeroDivisionError: x;"
        r" report it with what `--debug` shows: https://github\.com/toffee/ai-service/issues",
        fault,
    )
    assert "inv status" in advice
    for words in (["status", "--debug"], ["--debug", "status"]):
        done = inv(project, *words)
        assert (done.returncode, done.stderr.count("Traceback")) == (1, 1)


# Words that are no numbers, no names


@pytest.mark.parametrize(
    "words",
    [
        *(["logs", "--replica", "abc"], ["logs", "--lines", "many"], ["logs", "--lines", "0"], ["logs", "--lines=-1"]),
        *(["bench", "--requests", "1k"], ["bench", "--concurrency", "abc"], ["bench", "--concurrency", "0"]),
        *(["bench", "--input-tokens", "1.5"], ["bench", "--output-tokens=-1"], ["offers", "--at-once", "many"]),
        *(["offers", "--at-once=-1"], ["logs", "--lines", "1001"]),
    ],
)
def test_a_number_that_makes_no_sense_is_refused_with_its_flag(baked: Bake, words: list[str]) -> None:
    in_one_line(inv(baked(), *words), 20, words[1].split("=")[0], "write a whole number")


def test_a_files_name_is_no_environment(baked: Bake) -> None:
    in_one_line(inv(baked(), "plan", env="dev.yml"), 20, "did you mean --env dev?")
    in_one_line(inv(baked(), "plan", env="environments/prod.yml"), 20, "did you mean --env prod?")


@pytest.mark.parametrize("words", [["plan", "prod"], ["-e", "prod", "plan"], ["--env", "prod", "plan"]])
def test_an_environment_in_the_wrong_place_is_understood(baked: Bake, words: list[str]) -> None:
    in_one_line(inv(baked(), *words, env=""), 20, "inv plan --env prod")


# Files and pipes


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_dotenv_is_read_in_the_encodings_that_windows_writes(bake: Bake, encoding: str) -> None:
    project = bake()
    (project / ".env").write_text(f"DSTACK_SERVER_URL={CLOSED}/dotenv-is-read\r\n", encoding)
    in_one_line(inv(project, "status", DSTACK_SERVER_URL=""), 20, "dotenv-is-read")


def test_dotenv_that_can_not_be_read_is_named(bake: Bake) -> None:
    project = bake()
    (project / ".env").write_bytes("DSTACK_TOKEN=Zoë\n".encode("latin-1"))
    for words in (*READ, ["deploy", "--yes"], ["server"], ["secrets.set", "x"]):
        in_one_line(inv(project, *words), 20, ".env is not text in UTF-8")
    (project / ".env").unlink()
    (project / ".env.prod").write_text('A=1\nDSTACK_TOKEN="t0ken\n', "utf-8")
    in_one_line(inv(project, "plan"), 20, ".env.prod, line 2", "a quote is left open")


def test_a_closed_standard_input_counts_as_no_answer(baked: Bake) -> None:
    shell = f"{sys.executable} -m invoke secrets.set x --env prod <&-"
    done = subprocess.run(["sh", "-c", shell], cwd=baked(), env=environ(), capture_output=True, text=True)
    in_one_line(done, 20, "no value for x")


def test_ctrl_d_at_a_prompt_is_no_value(baked: Bake) -> None:
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        [*INVOKE, "secrets.set", "x", "--env", "prod"],
        cwd=baked(),
        env=environ(),
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as process:
        assert process.stderr
        errors = b""
        while not errors.endswith(b"x: ") and (byte := process.stderr.read(1)):
            errors += byte
        os.write(ours, b"\x04")
        errors += process.communicate(timeout=30)[1]
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 20, errors
    assert b"no value for x" in errors
    assert b"Traceback" not in errors


def test_a_secret_that_is_no_text_is_refused(baked: Bake) -> None:
    in_one_line(inv(baked(), "secrets.set", "x", typed=b"\xff\xfe\xff"), 20, "the value of x is not text in UTF-8")
    in_one_line(inv(baked(), "secrets.set", "x", typed=b"\xef\xbb\xbfhf_abc\n"), 21)


@pytest.mark.parametrize("page", ["/nonexistent/x", "/", "/dev/full"])
def test_a_workflows_page_that_can_not_be_written_stops_nothing(baked: Bake, page: str) -> None:
    done = inv(baked(), "render", GITHUB_STEP_SUMMARY=page)
    in_one_line(done, 0, "warning: GITHUB_STEP_SUMMARY is ")
    assert "type: service" in done.stdout


# Terminals


@pytest.mark.parametrize(
    "variables",
    [{"PYTHONIOENCODING": "latin-1"}, {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}],
    ids=["latin-1", "C"],
)
def test_what_an_encoding_lacks_is_replaced(baked: Bake, variables: dict[str, Any]) -> None:
    done = inv(baked(), "doctor", **variables)
    assert done.returncode == 20, done.stderr  # of the first check that failed: there is no VPC yet
    assert done.stdout.startswith("ok settings: ")
    assert "\nno server" in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("columns", ["0", "-1", "1", "40", "x"])
def test_no_width_hides_an_error_or_bends_json(baked: Bake, columns: str) -> None:
    in_one_line(inv(baked(), "status", COLUMNS=columns), 21, "no dstack server answers")
    wide = inv(baked(), "render", "--json").stdout
    assert inv(baked(), "render", "--json", COLUMNS=columns).stdout == wide


@pytest.mark.parametrize("words", [["render"], ["render", "--json"], ["size", "--json", "--gpu-memory", "44"]])
@pytest.mark.parametrize("page", ["", "summary.md"])
def test_a_reader_that_has_enough_changes_nothing(baked: Bake, tmp_path: Path, words: list[str], page: str) -> None:
    """`inv render | head -0`."""
    reader, writer = os.pipe()
    os.close(reader)
    command = [*INVOKE, *words, "--env", "prod"]
    variables = environ(GITHUB_STEP_SUMMARY=page and str(tmp_path / page))
    done = subprocess.run(command, cwd=baked(), env=variables, stdout=writer, stderr=subprocess.PIPE)
    os.close(writer)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
@pytest.mark.parametrize("page", ["", "summary.md"])
def test_a_closed_output_changes_nothing(baked: Bake, tmp_path: Path, closed: str, page: str) -> None:
    variables = environ(GITHUB_STEP_SUMMARY=page and str(tmp_path / page))
    for words, code in (("render", 0), ("status", 21)):
        shell = f"{sys.executable} -m invoke {words} --env prod {closed}"
        done = subprocess.run(["sh", "-c", shell], cwd=baked(), env=variables, capture_output=True, text=True)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr + done.stdout


def test_a_full_disk_is_a_line(baked: Bake) -> None:
    with open("/dev/full", "w") as full:
        command = [*INVOKE, "render", "--env", "prod"]
        done = subprocess.run(command, cwd=baked(), env=environ(), stdout=full, stderr=subprocess.PIPE, text=True)
    in_one_line(done, 1, "No space left on device")


# Surroundings


@pytest.mark.parametrize("words", [["plan"], ["deploy", "--yes"], ["size"], ["server"]])
def test_without_the_packages_it_says_what_to_activate(baked: Bake, tmp_path: Path, words: list[str]) -> None:
    for path in distribution("invoke").files or []:
        if path.parts[0].startswith("invoke"):  # and not the script in bin/
            (tmp_path / path.parent).mkdir(parents=True, exist_ok=True)
            shutil.copy(path.locate(), tmp_path / path)
    command = [sys.executable, "-S", "-m", "invoke", *words]
    variables = environ(PYTHONPATH=str(tmp_path))
    done = subprocess.run(command, cwd=baked(), env=variables, capture_output=True, text=True)
    in_one_line(done, 20, "requirements.txt", ". .venv/bin/activate")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_it_with_a_line(baked: Bake, number: signal.Signals, code: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [*INVOKE, "plan", "--env", "prod"]
        variables = environ(DSTACK_SERVER_URL=f"http://127.0.0.1:{silent.getsockname()[1]}")
        with subprocess.Popen(command, cwd=baked(), env=variables, stderr=subprocess.PIPE, text=True) as process:
            silent.settimeout(30)
            connection, _ = silent.accept()  # now it waits for an answer
            with connection:
                process.send_signal(number)
                _, errors = process.communicate(timeout=30)
    assert process.returncode == code, errors
    assert errors.endswith("interrupted; nothing was rolled back, running it again continues\n")
    assert "Traceback" not in errors


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_cleanup(baked: Bake, second: signal.Signals) -> None:
    lines = [
        *("import sys, time", "from invoke.exceptions import Exit", "from console.ending import ending", "try:"),
        *("    with ending(copied=False):", "        try:", "            print('up', flush=True)"),
        *("            time.sleep(60)", "        finally:", "            print('cleaning', flush=True)"),
        *("            time.sleep(60)", "except Exit as end:", "    sys.exit(end.code)"),
    ]
    command = [sys.executable, "-c", "\n".join(lines)]
    with subprocess.Popen(
        command, cwd=baked(), env=environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        for expected, number in (("up\n", signal.SIGINT), ("cleaning\n", second)):
            assert process.stdout.readline() == expected
            time.sleep(0.2)
            process.send_signal(number)
        _, errors = process.communicate(timeout=10)
    assert process.returncode == (130 if second == signal.SIGINT else 143)
    assert (errors.count("\n"), "interrupted" in errors) == (1, True), errors


def test_a_list_of_tasks_comes_at_once(baked: Bake) -> None:
    """Shell completion asks for it at each key: no package that takes long to import is imported for it."""
    lines = [
        *("import sys, tasks", "slow = {'rich', 'requests', 'pydantic', 'boto3', 'dstack'}"),
        "sys.exit(', '.join(sorted(slow & sys.modules.keys())) or 0)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=baked(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
