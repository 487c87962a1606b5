"""What a person is asked: values, codes and a yes. Nobody being there to ask is an answer too."""

import sys
from getpass import getpass

from console.errors import ExitCode, Failure
from console.terminal import progress
from console.variables import decode


def ask_secret(name: str) -> str:
    """Return a value typed without echo, or piped in, without white space around it.

    Fails with SETTINGS_INVALID when there is none, when it is no text, and after Ctrl-D.
    """
    if _somebody_is_there():
        value = _typed(f"{name}: ")
    elif sys.stdin is None:  # closed: inv secrets.set NAME <&-
        value = ""
    else:
        value = decode(sys.stdin.buffer.read(), f"the value of {name}")
    if not (value := value.strip()):
        message = f"no value for {name}; type it, or pipe it in: inv secrets.set {name} < file"
        raise Failure(ExitCode.SETTINGS_INVALID, message)
    return value


def ask_code(prompt: str) -> str:
    """Return a one-time code that AWS asks for. Fails with DNS_REFUSED when nobody is there to type it."""
    code = _typed(prompt).strip() if _somebody_is_there() else ""
    if not code:
        why = f"AWS asks for a code ({prompt.strip().rstrip(':')}), and nobody is there to type it"
        fix = "run it on a terminal, or put keys of a session into AWS_ACCESS_KEY_ID and the like"
        raise Failure(ExitCode.DNS_REFUSED, f"{why}; {fix}")
    return code


def confirm(question: str, *, yes: bool) -> None:
    """Return when it may go on. Fails with DECLINED when the answer is no, or when nobody is there to ask."""
    if yes:
        return
    if not _somebody_is_there():
        raise Failure(ExitCode.DECLINED, "nobody to ask; add --yes if you mean it")
    progress.print(f"{question} [bold]\\[y/N][/] ", end="")
    answer = sys.stdin.readline()
    if not answer.endswith("\n"):  # Ctrl-D leaves the cursor behind the question
        progress.print()
    if answer.strip().lower() not in ("y", "yes"):
        raise Failure(ExitCode.DECLINED, "declined; nothing was changed")


def _somebody_is_there() -> bool:
    return sys.stdin is not None and sys.stdin.isatty()


def _typed(prompt: str) -> str:
    """What is typed without echo; nothing after Ctrl-D."""
    try:
        return getpass(prompt)
    except EOFError:
        progress.print()
        return ""
