"""Stands in for `gh` in the tests of workflows: keeps issues, pull requests and comments in a JSON file.

Knows the commands and flags below as gh's manual has them (https://cli.github.com/manual), and refuses all others. Like
the real one it wants a token and a repository to work in, makes no label that doesn't exist, edits only comments of its
own user, refuses a second pull request for a branch, and is refused by GitHub where its token may only read.

    gh.py STATE COMMAND SUBCOMMAND …

STATE is a JSON object: repository "owner/name"; tokens, logins by token; read_only, whether the tokens are a fork's;
labels; issues and pulls, objects by number; calls, what was asked. This writes the last four.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Entry = dict[str, Any]  # an issue or a pull request, its keys as --json names them
Handler = Callable[["Github", argparse.Namespace], str | None]


class Refused(Exception):  # noqa: N818
    """What gh prints before it ends with `code`."""

    def __init__(self, message: str, code: int = 1) -> None:
        super().__init__(message)
        self.code = code


class Github:
    """The repository, as the token's user sees it."""

    def __init__(self, state: Entry) -> None:
        token = os.environ.get("GH_TOKEN") or os.environ.get("GITHUB_TOKEN")
        if not token:
            message = "To use GitHub CLI in a GitHub Actions workflow, set the GH_TOKEN environment variable."
            raise Refused(message, 4)
        if token not in state["tokens"]:
            raise Refused("HTTP 401: Bad credentials (https://api.github.com/graphql)")
        self.login = state["tokens"][token]
        self.state = state
        self.url = f"https://github.com/{state['repository']}"

    def entries(self, kind: str) -> dict[str, Entry]:
        entries: dict[str, Entry] = self.state.setdefault({"issue": "issues", "pr": "pulls"}[kind], {})
        return entries

    def find(self, kind: str, number: str) -> Entry:
        try:
            return self.entries(kind)[number.rpartition("/")[2]]
        except KeyError:
            raise Refused(
                f"GraphQL: Could not resolve to an issue or pull request with the number of {number}."
            ) from None

    def may_write(self) -> None:
        if self.state.get("read_only"):
            raise Refused("GraphQL: Resource not accessible by integration")

    def add(self, kind: str, entry: Entry) -> str:
        """File a new issue or pull request; returns its URL."""
        number = 1 + max(map(int, [*self.entries("issue"), *self.entries("pr")]), default=0)
        url = f"{self.url}/{'issues' if kind == 'issue' else 'pull'}/{number}"
        filed = {"number": number, "state": "OPEN", "author": {"login": self.login}, "url": url, "comments": []}
        self.entries(kind)[str(number)] = filed | entry
        return url

    def labels(self, names: list[str]) -> list[Entry]:
        """Raises Refused for a label that nobody made."""
        for name in names:
            if name not in self.state.get("labels", []):
                raise Refused(f"could not add label: '{name}' not found")
        return [{"name": name} for name in names]


def text(asked: argparse.Namespace) -> str | None:
    """--body or --body-file; None when neither is given."""
    if asked.body_file is None:
        body: str | None = asked.body
        return body
    return sys.stdin.read() if asked.body_file == "-" else Path(asked.body_file).read_text("utf-8")


def listed(github: Github, asked: argparse.Namespace) -> str:
    """list: those in a state, with all labels, of a branch."""
    wanted = [label for labels in asked.label for label in labels.split(",")]
    found = []
    for entry in github.entries(asked.kind).values():
        names = {label["name"] for label in entry.get("labels", [])}
        of_branch = getattr(asked, "head", None) in (None, entry.get("headRefName"))
        if asked.state in ("all", entry["state"].lower()) and names.issuperset(wanted) and of_branch:
            found.append(entry)
    return shown(found[::-1][: asked.limit], asked)


def view(github: Github, asked: argparse.Namespace) -> str:
    return shown(github.find(asked.kind, asked.number), asked)


def shown(found: Any, asked: argparse.Namespace) -> str:
    """What --json and --jq make of it."""
    if not asked.json:
        raise Refused("this stand-in for gh shows JSON only: --json")
    fields = asked.json.split(",")
    rows = [{name: entry.get(name) for name in fields} for entry in (found if isinstance(found, list) else [found])]
    document = json.dumps(rows if isinstance(found, list) else rows[0])
    if not asked.jq:
        return document
    done = subprocess.run(["jq", "-rc", asked.jq], input=document, capture_output=True, text=True)
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout.rstrip("\n")


def create(github: Github, asked: argparse.Namespace) -> str:
    github.may_write()
    body = text(asked)
    if asked.title is None or body is None:
        raise Refused("must provide `--title` and `--body` (or `--fill`) when not running interactively")
    entry = {"title": asked.title, "body": body, "labels": github.labels(asked.label)}
    if asked.kind == "pr":
        entry |= {"headRefName": asked.head, "baseRefName": asked.base or "main"}
        for other in github.entries("pr").values():
            if other["state"] == "OPEN" and other["headRefName"] == asked.head:
                raise Refused(
                    f'a pull request for branch "{asked.head}" already exists:\n{github.url}/pull/{other["number"]}'
                )
        subprocess.run(["git", "ls-remote", "--exit-code", "origin", f"refs/heads/{asked.head}"], check=True, stdout=2)
    return github.add(asked.kind, entry)


def edit(github: Github, asked: argparse.Namespace) -> str:
    github.may_write()
    entry, body = github.find(asked.kind, asked.number), text(asked)
    entry |= {"title": asked.title} if asked.title is not None else {}
    entry |= {"body": body} if body is not None else {}
    entry["labels"] = entry.get("labels", []) + github.labels(asked.add_label)
    return str(entry.get("url", ""))


def comment(github: Github, asked: argparse.Namespace) -> str:
    github.may_write()
    comments, body = github.find(asked.kind, asked.number)["comments"], text(asked)
    if body is None:
        raise Refused("flags required when not running interactively")
    own = [one for one in comments if one["author"]["login"] == github.login]
    if asked.edit_last and own:
        own[-1]["body"] = body
    elif asked.edit_last and not asked.create_if_none:
        raise Refused("no comments found for current user")
    else:
        comments.append({"id": f"IC_{len(comments)}", "author": {"login": github.login}, "body": body})
    return f"{github.url}/issues/{asked.number}#issuecomment"


def close(github: Github, asked: argparse.Namespace) -> None:
    github.may_write()
    entry = github.find(asked.kind, asked.number)
    if asked.comment is not None:
        entry["comments"].append({"id": "IC_closed", "author": {"login": github.login}, "body": asked.comment})
    entry["state"] = "CLOSED"


def label(github: Github, asked: argparse.Namespace) -> None:
    github.may_write()
    labels = github.state.setdefault("labels", [])
    if asked.name in labels and not asked.force:
        raise Refused(
            f'label with name "{asked.name}" already exists; use `--force` to update its color and description'
        )
    labels.append(asked.name)


def parser() -> argparse.ArgumentParser:
    """The commands and flags of gh that this knows."""
    gh = argparse.ArgumentParser("gh", allow_abbrev=False)
    kinds = gh.add_subparsers(dest="kind", required=True)
    for kind in ("issue", "pr"):
        verbs = kinds.add_parser(kind).add_subparsers(required=True)

        def command(name: str, handler: Handler, *arguments: str, verbs: Any = verbs) -> argparse.ArgumentParser:
            made: argparse.ArgumentParser = verbs.add_parser(name, allow_abbrev=False)
            made.set_defaults(handler=handler)
            made.add_argument("-R", "--repo")
            for argument in arguments:
                made.add_argument(argument)
            return made

        lists, views = command("list", listed), command("view", view, "number")
        lists.add_argument("-s", "--state", default="open", choices=["open", "closed", "all"])
        lists.add_argument("-L", "--limit", type=int, default=30)
        creates, edits = command("create", create), command("edit", edit, "number")
        comments, closes = command("comment", comment, "number"), command("close", close, "number")
        closes.add_argument("-c", "--comment")
        for made in (lists, views):
            made.add_argument("--json")
            made.add_argument("-q", "--jq")
        for made in (lists, creates):
            made.add_argument("-l", "--label", action="append", default=[])
        if kind == "pr":
            for made in (lists, creates):
                made.add_argument("-H", "--head", required=made is creates)
                made.add_argument("-B", "--base")
        else:
            closes.add_argument("-r", "--reason", choices=["completed", "not planned", "duplicate"])
        for made in (creates, edits):
            made.add_argument("-t", "--title")
        edits.add_argument("--add-label", action="append", default=[])
        for made in (creates, edits, comments):
            body = made.add_mutually_exclusive_group()
            body.add_argument("-b", "--body")
            body.add_argument("-F", "--body-file")
        comments.add_argument("--edit-last", action="store_true")
        comments.add_argument("--create-if-none", action="store_true")
    labels = kinds.add_parser("label").add_subparsers(required=True).add_parser("create", allow_abbrev=False)
    labels.set_defaults(handler=label)
    labels.add_argument("name")
    labels.add_argument("-f", "--force", action="store_true")
    for flag in ("-R --repo", "-c --color", "-d --description"):
        labels.add_argument(*flag.split())
    return gh


def main(path: Path, words: list[str]) -> int:
    asked = parser().parse_args(words)
    state = json.loads(path.read_text("utf-8"))
    state.setdefault("calls", []).append(words)
    try:
        if not (asked.repo or os.environ.get("GH_REPO") or Path(".git").exists()):
            raise Refused("failed to run git: fatal: not a git repository (or any of the parent directories): .git")
        answer = asked.handler(Github(state), asked)
        if answer:
            print(answer)
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return refusal.code
    finally:
        path.write_text(json.dumps(state), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
