"""Runs `gh`, GitHub's command line, with the person's own sign-in."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from account.steps import StepRefused
from console.errors import ExitCode, Failure
from deploy.documents.files import Document
from deploy.environments import ROOT

SECONDS = 60  # for one call of gh
QUIET = {"GH_PROMPT_DISABLED": "1", "GH_NO_UPDATE_NOTIFIER": "1", "GH_DEBUG": "", "NO_COLOR": "1"}
NOISY = ("GH_FORCE_TTY", "CLICOLOR_FORCE", "DEBUG")  # they put colors or HTTP headers into what gh prints
NO_REPOSITORY = ("unable to expand placeholder", "unable to determine base repository")
PLAN = "GitHub has required reviewers for private repositories only in its Enterprise plan"


class Unavailable(Failure):
    """GitHub can't be asked from here: gh is missing or not signed in, or there is no repository on GitHub."""


class Refused(StepRefused):
    """GitHub refused one call, with an HTTP status. Other calls may still work."""

    def __init__(self, status: int, problem: str, remedy: str) -> None:
        super().__init__(ExitCode.ACCOUNT_REFUSED, problem, remedy)
        self.status = status


class Gh:
    """Calls GitHub's REST API through `gh`. Raises Unavailable, Refused, or another Failure with ACCOUNT_REFUSED."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or ROOT

    def get(self, path: str) -> Document:
        """Return one object."""
        found: Document = _documents(self._api("GET", path))[0]
        return found

    def all_of(self, path: str, key: str = "") -> list[Document]:
        """Return the objects of all pages. `key` names the list when a page is an object."""
        pages = _documents(self._run("api", "--paginate", f"{path}{'&' if '?' in path else '?'}per_page=30"))
        return [one for page in pages for one in (page[key] if key else page)]

    def send(self, method: str, path: str, body: Document | None = None) -> None:
        """Create, change or delete something. The body goes through standard input."""
        self._api(method, path, body)

    def set_secret(self, repository: str, environment: str, name: str, value: str) -> None:
        """Store a secret of a GitHub environment. The value goes through standard input, and gh encrypts it."""
        self._run("secret", "set", name, "--env", environment, "--repo", repository, given=value)

    def _api(self, method: str, path: str, body: Document | None = None) -> str:
        with_body = ("--input", "-") if body is not None else ()
        return self._run("api", "--method", method, path, *with_body, given=json.dumps(body) if with_body else "")

    def _run(self, *words: str, given: str = "") -> str:
        program = shutil.which("gh")
        if not program:
            problem = "gh, GitHub's command line, is not installed"
            raise Unavailable(ExitCode.ACCOUNT_REFUSED, problem, "install it from https://cli.github.com")
        try:
            done = subprocess.run(
                [program, *words],
                cwd=self.folder,
                env=_variables(os.environ),
                input=given,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _no_answer(f"gh had no answer after {SECONDS} seconds") from None
        except OSError as error:
            raise Unavailable(ExitCode.ACCOUNT_REFUSED, f"gh can't be started: {error.strerror or error}") from None
        if done.returncode:
            raise failure_of(done.returncode, done.stdout, done.stderr)
        return done.stdout


def failure_of(code: int, output: str, errors: str) -> Failure:
    """Return what it means that gh ended with this code and printed this."""
    said = " ".join(errors.split())[:300]
    if code < 0:
        return _no_answer(f"gh was ended by signal {-code}")
    if any(words in errors for words in NO_REPOSITORY):
        problem = "this folder is no clone of a repository on GitHub"
        return Unavailable(ExitCode.ACCOUNT_REFUSED, problem, "push it to GitHub: gh repo create --source . --push")
    status = int(found[1]) if (found := re.search(r"\bHTTP (\d{3})\b", errors)) else 0
    if code == 4 or status == 401:
        problem = "gh is not signed in to GitHub" if code == 4 else "GitHub does not take the token of gh (401)"
        return Unavailable(ExitCode.ACCOUNT_REFUSED, problem, "run gh auth login")
    if not 400 <= status < 500:
        return _no_answer(f"GitHub did not answer: {said}")
    return _refusal(status, _message(output) or said)


def _refusal(status: int, message: str) -> Failure:
    """Return what a status from 400 to 499 means."""
    if status == 429 or "rate limit" in message.lower():
        problem = f"GitHub's limit of requests is reached: {message}"
        return Failure(ExitCode.ACCOUNT_REFUSED, problem, "wait an hour and run it again, and it continues")
    remedies = {
        403: "ask an admin of the repository: `inv setup.github --print` prints the commands",
        404: "it does not exist, or you may not see it",
        409: "somebody else changed it meanwhile: run it again",
        422: PLAN if "billing plan" in message else "",
    }
    return Refused(status, f"GitHub refused ({status}): {message}", remedies.get(status, ""))


def _no_answer(problem: str) -> Failure:
    return Failure(ExitCode.ACCOUNT_REFUSED, problem, "run it again, and it continues")


def _message(output: str) -> str:
    """Return GitHub's own words in an answer, "" without any."""
    try:
        answer = json.loads(output)
        more = [one if isinstance(one, str) else one.get("message", "") for one in answer.get("errors") or ()]
        return " ".join([str(answer.get("message") or ""), *more]).strip()[:300]
    except (ValueError, AttributeError, TypeError):
        return ""


def _documents(text: str) -> list[Any]:
    """Return the JSON documents in `text`: gh prints one after the other when an answer has several pages."""
    decoder, found, rest = json.JSONDecoder(), [], text.strip()
    try:
        while rest:
            document, end = decoder.raw_decode(rest)
            found.append(document)
            rest = rest[end:].lstrip()
    except ValueError:
        found = []
    if not found:
        raise _no_answer(f"gh printed no JSON: {text[:100]!r}")
    return found


def _variables(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for gh: it asks nothing and prints what a program can read."""
    return {name: value for name, value in variables.items() if name not in NOISY} | QUIET
