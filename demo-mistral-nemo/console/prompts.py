"""Asks a person for a value, a code or a yes, and fails when nobody can answer."""

import sys
from getpass import getpass

from rich.markup import escape

from console.errors import ExitCode, Failure
from console.terminal import progress
from console.variables import decode


def ask_secret(name: str) -> str:
    """Return a value that is typed without echo, or piped in. White space around it is removed.

    Fails with SETTINGS_INVALID without a value, after Ctrl-D, and for a value that is not text.
    """
    if _is_terminal():
        value = _type_hidden(f"{name}: ")
    elif sys.stdin is None:  # closed: inv secrets.set NAME <&-
        value = ""
    else:
        value = decode(sys.stdin.buffer.read(), f"the value of {name}")
    if not (value := value.strip()):
        remedy = f"type it, or pipe a file in: `inv secrets.set {name}`"
        raise Failure(ExitCode.SETTINGS_INVALID, f"no value for {name}", remedy)
    return value


def ask_code(prompt: str) -> str:
    """Return a one-time code that AWS asks for. Fails with DNS_REFUSED when nobody can type it."""
    code = _type_hidden(prompt).strip() if _is_terminal() else ""
    if not code:
        problem = f"AWS asks for a code ({prompt.strip().rstrip(':')}), and nobody can type it here"
        remedy = "run it on a terminal, or set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN"
        raise Failure(ExitCode.DNS_REFUSED, problem, remedy)
    return code


def at_terminal() -> bool:
    """Return whether somebody can type here."""
    return _is_terminal()


def confirm(question: str, *, yes: bool) -> None:
    """Return when the answer is yes. Fails with DECLINED when it is no, or when nobody can answer."""
    if yes:
        return
    if not _is_terminal():
        problem = "this asks for confirmation, and there is no terminal to answer on"
        raise Failure(ExitCode.DECLINED, problem, "add --yes to go on without asking")
    progress.print(f"{question} [bold]\\[y/N][/] ", end="")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
        progress.print()
    if answer.strip().lower() not in ("y", "yes"):
        raise Failure(ExitCode.DECLINED, "declined, nothing was changed")


def ask_text(question: str, default: str, *, flag: str) -> str:
    """Return what is typed, or `default` after Enter and where nobody can type.

    Fails with DECLINED when there is no answer and no default. `flag`: what to type instead of an answer.
    """
    if _is_terminal():
        progress.print(escape(f"{question}{f' [{default}]' if default else ''}: "), end="")
        answer = sys.stdin.readline()
        if not answer.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
            progress.print()
        if given := answer.strip() or default:
            return given
    elif default:
        return default
    raise Failure(ExitCode.DECLINED, f"no answer to: {question}", f"give it as {flag}, or on a terminal")


def _is_terminal() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _type_hidden(prompt: str) -> str:
    """Return what is typed without echo, "" after Ctrl-D."""
    try:
        return getpass(prompt)
    except EOFError:
        progress.print()
        return ""


def ask_hidden(name: str) -> str | None:
    """Return what is typed without echo, "" for Enter or Ctrl-D; None when nobody can type."""
    return _type_hidden(f"{name}: ").strip() if _is_terminal() else None
