"""What is asked, and that no answer counts as an answer."""

from __future__ import annotations

import codecs
import io
import sys

import pytest

from console import prompts
from console.errors import ExitCode, Failure


class Typing(io.StringIO):
    """A terminal on which this is typed."""

    def isatty(self) -> bool:
        return True


def pipe(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data), encoding="ascii")


@pytest.mark.parametrize("data", [b"hf_abc\n", codecs.BOM_UTF8 + b"hf_abc\r\n", "\ufeffhf_abc".encode("utf-16-le")])
def test_a_value_comes_from_a_pipe_as_it_was_meant(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", pipe(data))
    assert prompts.ask_secret("hf_token") == "hf_abc"


def test_a_value_keeps_its_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", pipe("-----BEGIN\nkéy\n-----END\n".encode()))
    assert prompts.ask_secret("key") == "-----BEGIN\nkéy\n-----END"


@pytest.mark.parametrize("stdin", [None, pipe(b""), pipe(b" \n"), pipe(b"\xff\xfe\xff"), Typing("")])
def test_no_value_is_refused(monkeypatch: pytest.MonkeyPatch, stdin: io.TextIOBase | None) -> None:
    def ctrl_d(prompt: str) -> str:
        raise EOFError

    monkeypatch.setattr(sys, "stdin", stdin)
    monkeypatch.setattr(prompts, "getpass", ctrl_d)
    with pytest.raises(Failure) as failed:
        prompts.ask_secret("hf_token")
    assert failed.value.code == ExitCode.SETTINGS_INVALID
    assert "hf_token" in str(failed.value)


@pytest.mark.parametrize("stdin", [None, pipe(b"y\n"), Typing(""), Typing("n\n"), Typing("\n")])
def test_without_a_yes_nothing_continues(monkeypatch: pytest.MonkeyPatch, stdin: io.TextIOBase | None) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(Failure) as failed:
        prompts.confirm("Deploy this?", yes=False)
    assert failed.value.code == ExitCode.DECLINED


def test_after_ctrl_d_the_answer_stands_on_a_line_of_its_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", Typing(""))
    with pytest.raises(Failure):
        prompts.confirm("Deploy this?", yes=False)
    assert capsys.readouterr().err == "Deploy this? [y/N] \n"


@pytest.mark.parametrize("typed", ["y\n", "YES\n"])
def test_a_yes_continues(monkeypatch: pytest.MonkeyPatch, typed: str) -> None:
    monkeypatch.setattr(sys, "stdin", Typing(typed))
    prompts.confirm("Deploy this?", yes=False)


@pytest.mark.parametrize("stdin", [None, pipe(b"123456\n")])
def test_a_code_is_typed_by_a_person_or_refused(monkeypatch: pytest.MonkeyPatch, stdin: io.TextIOBase | None) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)
    with pytest.raises(Failure, match=r"AWS asks for a code \(Enter MFA code for arn\)") as failed:
        prompts.ask_code("Enter MFA code for arn: ")
    assert failed.value.code == ExitCode.DNS_REFUSED
    monkeypatch.setattr(sys, "stdin", Typing())
    monkeypatch.setattr(prompts, "getpass", lambda prompt: "123456")
    assert prompts.ask_code("Enter MFA code for arn: ") == "123456"
