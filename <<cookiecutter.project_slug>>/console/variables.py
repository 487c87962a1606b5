"""Text that people wrote with any editor or shell: .env files, and values that come through a pipe.

PowerShell's `>` writes UTF-16, Windows' Notepad puts a byte order mark before UTF-8: both say so in their first bytes.
"""

import codecs
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from console.errors import ExitCode, Failure

MARKS = {  # the longer first: UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def decode(data: bytes, where: str) -> str:
    """Return the text, read as its byte order mark says, else as UTF-8; without that mark.

    Fails with SETTINGS_INVALID, naming `where` and the encoding that it must have.
    """
    encoding = next((name for mark, name in MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} is not {error.encoding.upper()}"
    else:
        if "\0" not in text:
            return text
        problem = "it has zero bytes"  # UTF-16 without a mark
    raise Failure(ExitCode.SETTINGS_INVALID, f"{where} is not text in UTF-8: {problem}; save it again as UTF-8")


def read_variables(path: Path) -> dict[str, str | None]:
    """Return the variables of a .env file; none where there is no such file.

    Fails with SETTINGS_INVALID, naming file and line: python-dotenv would leave a line out and go on.
    """
    if path.is_dir() or not path.exists():
        return {}
    try:
        text = decode(path.read_bytes(), path.name)
    except OSError as error:
        raise Failure(ExitCode.SETTINGS_INVALID, f"{path.name} can't be read: {error.strerror or error}") from None
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            lines = binding.original.string
            number = binding.original.line + len(lines) - len(lines.lstrip("\r\n"))
            why = "a quote is left open there or above it, or it is no NAME=value"
            raise Failure(ExitCode.SETTINGS_INVALID, f"{path.name}, line {number}, can't be read: {why}")
    return dotenv_values(stream=StringIO(text))
