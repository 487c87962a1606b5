"""How .env is read, whatever program wrote it, and the message when it can't be read."""

import codecs
from pathlib import Path

import pytest

from console.errors import ExitCode, Failure
from console.variables import decode, read_variables
from deploy.environments import variables_of

TEXT = "DSTACK_TOKEN=t0ken\r\n# a comment\r\nNAME='Zoë'\r\n"


@pytest.mark.parametrize(
    "data",
    [
        TEXT.encode(),
        codecs.BOM_UTF8 + TEXT.encode(),
        codecs.BOM_UTF16_LE + TEXT.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"),
        codecs.BOM_UTF32_LE + TEXT.encode("utf-32-le"),
    ],
    ids=["utf-8", "utf-8 with a mark", "utf-16 little", "utf-16 big", "utf-32"],
)
@pytest.mark.parametrize("name", [".env", ".env.prod"])
def test_every_marked_encoding_is_read(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert variables_of("prod", tmp_path, {}) == {"DSTACK_TOKEN": "t0ken", "NAME": "Zoë"}


@pytest.mark.parametrize("data", [TEXT.encode("latin-1"), "A=1".encode("utf-16-le"), codecs.BOM_UTF16_LE + b"x"])
def test_other_bytes_are_refused_with_the_files_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / ".env.prod").write_bytes(data)
    with pytest.raises(Failure, match=r"^\.env\.prod is not text in UTF-8: .*; save it again as UTF-8$") as failed:
        variables_of("prod", tmp_path, {})
    assert failed.value.code == ExitCode.SETTINGS_INVALID


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('DSTACK_TOKEN="t0ken\n', 1),
        ("A=1\n\n\nDSTACK_TOKEN='t0ken\nB=2\n", 4),
        ("A=1\nDSTACK_TOKEN t0ken\n", 2),
    ],
)
def test_a_line_that_can_not_be_read_is_named(tmp_path: Path, text: str, line: int) -> None:
    (tmp_path / ".env").write_text(text, encoding="utf-8")
    with pytest.raises(
        Failure, match=rf"^\.env, line {line}, can't be read: a quote is left open, .*; correct the line$"
    ) as failed:
        read_variables(tmp_path / ".env")
    assert failed.value.code == ExitCode.SETTINGS_INVALID
    assert "t0ken" not in str(failed.value)


def test_an_unreadable_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    (tmp_path / ".env").touch()
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(Failure, match=r"^\.env can't be read: Permission denied; make it readable"):
        read_variables(tmp_path / ".env")


def test_a_folder_of_that_name_is_no_file(tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert variables_of("prod", tmp_path, {}) == {}


def test_values_over_several_lines_and_without_a_value_are_kept(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text('KEY="a\nb"\nexport OTHER=1 # said\nNONE\n', encoding="utf-8")
    assert read_variables(tmp_path / ".env") == {"KEY": "a\nb", "OTHER": "1", "NONE": None}


def test_a_value_from_a_pipe_comes_without_its_mark() -> None:
    assert decode(codecs.BOM_UTF8 + b"hf_abc\n", "a value") == "hf_abc\n"
    assert decode(codecs.BOM_UTF16_LE + "hf_abc".encode("utf-16-le"), "a value") == "hf_abc"
