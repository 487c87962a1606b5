"""Each way in which a task can end: one line, and an exit code of its own."""

from __future__ import annotations

import os
import re
import signal

import pytest
from invoke.exceptions import Exit

from console.ending import ending
from console.errors import ExitCode, Failure, Terminated
from deploy.environments import merge


def end(error: BaseException, *, debug: bool = False) -> int:
    """The exit code of a task whose body raises `error`."""
    with pytest.raises(Exit) as ended, ending(copied=True, debug=debug):
        raise error
    return int(ended.value.code)


@pytest.fixture(autouse=True)
def keep_handlers() -> object:
    """An interrupted task leaves signals to the system, because Python is about to end."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_a_failure_is_a_line_with_its_notes(capsys: pytest.CaptureFixture[str]) -> None:
    failure = Failure(ExitCode.NO_CAPACITY, "no GPU to be had")
    failure.add_note("a machine runs, at $0.40 an hour")
    assert end(failure) == 26
    assert capsys.readouterr().err == "error: no GPU to be had\na machine runs, at $0.40 an hour\n"


@pytest.mark.parametrize(("interrupt", "code"), [(KeyboardInterrupt(), 130), (Terminated(), 143)])
def test_an_interrupt_is_a_line_with_its_notes(
    interrupt: KeyboardInterrupt, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt.add_note("a machine runs, at $0.40 an hour")
    assert end(interrupt) == code
    said = "interrupted; nothing was rolled back, running it again continues\na machine runs, at $0.40 an hour\n"
    assert capsys.readouterr().err == said


def test_sigterm_passes_through_the_body_as_an_interrupt() -> None:
    passed = []

    def body() -> None:
        with ending(copied=True):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            except KeyboardInterrupt as interrupt:
                passed.append(type(interrupt))
                raise

    with pytest.raises(Exit) as ended:
        body()
    assert (passed, ended.value.code) == ([Terminated], ExitCode.TERMINATED)


def test_afterwards_sigterm_does_what_it_did() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with ending(copied=True):
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_second_signal_while_cleaning_up_ends_it() -> None:
    def body() -> None:
        with ending(copied=True):
            try:
                raise KeyboardInterrupt
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Exit) as ended:
        body()
    assert ended.value.code == ExitCode.TERMINATED


def test_after_an_interrupt_python_itself_can_be_ended_without_a_traceback() -> None:
    end(KeyboardInterrupt())
    assert signal.getsignal(signal.SIGINT) == signal.SIG_DFL


def test_a_missing_package_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert end(ModuleNotFoundError("No module named 'yaml'", name="yaml")) == 20
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "No module named 'yaml'" in said
    assert "activate" in said


@pytest.mark.parametrize("error", [ZeroDivisionError("x\ny"), ModuleNotFoundError("x y", name="deploy.gone")])
def test_a_bug_is_one_line_that_says_where_to_report_it(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    error.add_note("a machine runs, at $0.40 an hour")
    assert end(error) == 1
    fault, note = capsys.readouterr().err.splitlines()
    assert fault.startswith("error: a fault in this repository's tasks")
    assert f"{type(error).__name__}: x y; report it with what `--debug` shows: https://" in fault
    assert note == "a machine runs, at $0.40 an hour"


def test_a_bug_is_reported_with_its_place(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Exit), ending(copied=True):
        merge({}, 3)  # type: ignore[arg-type]
    assert re.search(r"tasks at deploy/environments\.py, line \d+: AttributeError: ", capsys.readouterr().err)


def test_debugging_shows_the_traceback_of_a_bug_and_of_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert end(ZeroDivisionError("x"), debug=True) == 1
    said = capsys.readouterr().err
    assert said.count("Traceback") == 1
    assert "report it with the lines above: https://" in said
    assert end(Failure(ExitCode.NO_CAPACITY, "no GPU to be had"), debug=True) == 26
    assert capsys.readouterr().err == "error: no GPU to be had\n"


def test_a_full_disk_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert end(OSError(28, "No space left on device")) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_an_exit_of_the_task_itself_is_kept() -> None:
    assert end(Exit(code=10)) == 10


def test_the_workflows_page_shows_it_too(monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str]) -> None:
    page = os.path.join(tmp_path, "summary.md")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", page)
    end(KeyboardInterrupt())
    with open(page, encoding="utf-8") as written:
        assert "interrupted; nothing was rolled back" in written.read()


@pytest.mark.parametrize("page", ["missing/summary.md", "."])
def test_a_page_that_can_not_be_written_stops_nothing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: os.PathLike[str], page: str, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", os.path.join(tmp_path, page))
    with ending(copied=True):
        print("done")
    shown = capsys.readouterr()
    assert shown.out == "done\n"
    assert shown.err.startswith("warning: GITHUB_STEP_SUMMARY is ")
    assert shown.err.count("\n") == 1
