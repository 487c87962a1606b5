"""Reads text that people wrote with any editor or shell: .env files, and values from a pipe.

PowerShell's `>` writes UTF-16. Windows' Notepad writes a byte order mark before UTF-8. The first bytes of both tell.
"""

import codecs
from io import StringIO
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from console.errors import ExitCode, Failure

BYTE_ORDER_MARKS = {  # the longer ones first: UTF-32's begins like UTF-16's
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
    codecs.BOM_UTF8: "utf-8-sig",
}


def decode(data: bytes, where: str) -> str:
    """Return the text without its byte order mark. Without a mark, the text must be UTF-8.

    Fails with SETTINGS_INVALID and names `where`, the place of the text.
    """
    encoding = next((name for mark, name in BYTE_ORDER_MARKS.items() if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        problem = f"byte {error.start + 1} is not {error.encoding.upper()}"
    else:
        if "\0" not in text:
            return text
        problem = "it has zero bytes"  # UTF-16 without a mark
    raise Failure(ExitCode.SETTINGS_INVALID, f"{where} is not text in UTF-8: {problem}", "save it again as UTF-8")


def read_variables(path: Path) -> dict[str, str | None]:
    """Return the variables of a .env file, {} without such a file.

    Fails with SETTINGS_INVALID for a line that can't be read. python-dotenv itself would skip the line.
    """
    if path.is_dir() or not path.exists():
        return {}
    try:
        text = decode(path.read_bytes(), path.name)
    except OSError as error:
        problem = f"{path.name} can't be read: {error.strerror or error}"
        raise Failure(ExitCode.SETTINGS_INVALID, problem, "make it readable for your user") from None
    for binding in parse_stream(StringIO(text)):
        if binding.error:
            lines = binding.original.string
            number = binding.original.line + len(lines) - len(lines.lstrip("\r\n"))
            problem = f"{path.name}, line {number}, can't be read: a quote is left open, there or above"
            raise Failure(ExitCode.SETTINGS_INVALID, f"{problem}, or it is not NAME=value", "correct the line")
    return dotenv_values(stream=StringIO(text))
