"""Stands in for `gh` in the tests of workflows: keeps issues, pull requests and comments in a JSON file.

Knows the commands and flags in COMMANDS as gh's manual has them (https://cli.github.com/manual), and no others. Like
the real one it wants a token and a repository to work in, makes no label that doesn't exist, and refuses a second pull
request for a branch. The workflow's own token may do what the job's `permissions` say, and no more than read where the
job is a fork's.

    python -m tests.workflows.gh STATE COMMAND SUBCOMMAND …

STATE is a JSON object: repository "owner/name"; tokens, logins by token; permissions by job; read_only, whether the
event is a fork's; labels; issues and pulls, objects by number. This writes the last three.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from fnmatch import fnmatchcase
from pathlib import Path
from shutil import copytree

from tests.workflows.github import Entry, Github, Refused

Handler = Callable[[Github, argparse.Namespace], object]  # returns what is printed; data as JSON


def text(asked: argparse.Namespace) -> str | None:
    """--body or --body-file; None when neither is given."""
    if asked.body_file is None:
        body: str | None = asked.body
        return body
    return sys.stdin.read() if asked.body_file == "-" else Path(asked.body_file).read_text("utf-8")


def listed(github: Github, asked: argparse.Namespace) -> list[Entry]:
    github.may({"issue": "issues", "pr": "pull-requests"}[asked.kind], write=False)
    found = []
    for entry in github.entries(asked.kind).values():
        names = {label["name"] for label in entry.get("labels", [])}
        of_branch = getattr(asked, "head", None) in (None, entry.get("headRefName"))
        if asked.state in ("all", entry["state"].lower()) and names.issuperset(asked.label) and of_branch:
            found.append({name: entry.get(name) for name in asked.json.split(",")})
    return found[::-1][: asked.limit]


def create(github: Github, asked: argparse.Namespace) -> str:
    github.may({"issue": "issues", "pr": "pull-requests"}[asked.kind])
    body = text(asked)
    if asked.title is None or body is None:
        raise Refused("must provide `--title` and `--body` (or `--fill`) when not running interactively")
    entry = {"title": asked.title, "body": body, "labels": github.labels(asked.label), "state": "OPEN", "comments": []}
    entry["author"] = {"is_bot": True, "login": f"app/{github.login}"}
    if asked.kind == "pr":
        entry |= {"headRefName": asked.head, "baseRefName": asked.base or "main", "author": github.login}
        if any(pull["headRefName"] == asked.head and pull["state"] == "OPEN" for pull in github.entries("pr").values()):
            raise Refused(f'a pull request for branch "{asked.head}" into branch "main" already exists')
        if subprocess.run(["git", "ls-remote", "--exit-code", "origin", asked.head], stdout=2).returncode:
            raise Refused("GraphQL: Head sha can't be blank, Head ref must be a branch (createPullRequest)")
    number = github.number()
    github.entries(asked.kind)[str(number)] = {"number": number} | entry
    return f"{github.url}/{'issues' if asked.kind == 'issue' else 'pull'}/{number}"


def edit(github: Github, asked: argparse.Namespace) -> None:
    github.may("issues")
    given = {"title": asked.title, "body": text(asked)}
    github.find(asked.kind, asked.number).update({name: value for name, value in given.items() if value is not None})


def comment(github: Github, asked: argparse.Namespace) -> None:
    github.may("pull-requests")
    body = text(asked)
    if body is None:
        raise Refused("flags required when not running interactively")
    add(github, github.find(asked.kind, asked.number), body)


def add(github: Github, entry: Entry, body: str) -> None:
    user = {"login": github.login, "type": "Bot"}
    entry["comments"].append({"id": github.number(), "user": user, "body": body})


def close(github: Github, asked: argparse.Namespace) -> None:
    github.may("issues")
    entry = github.find(asked.kind, asked.number)
    if asked.comment is not None:
        add(github, entry, asked.comment)
    entry["state"] = "CLOSED"


def label(github: Github, asked: argparse.Namespace) -> None:
    github.may("issues", "pull-requests")
    labels = github.state.setdefault("labels", [])
    if asked.name not in labels:
        labels.append(asked.name)
    elif not asked.force:
        raise Refused(f'label with name "{asked.name}" already exists; use `--force` to update it')


def download(github: Github, asked: argparse.Namespace) -> None:
    """Artifacts whose name matches, each into a folder of its own, as gh does for a pattern."""
    github.may("actions", write=False)
    stored = Path.home() / "artifacts"
    matching = [path for path in stored.glob("*") if fnmatchcase(path.name, asked.pattern)]
    if asked.run != os.environ["GITHUB_RUN_ID"] or not matching:
        raise Refused("no artifact matches any of the names or patterns provided")
    for path in matching:
        copytree(path, Path(asked.dir) / path.name)


def api(github: Github, asked: argparse.Namespace) -> object:
    """Lists comments and changes one; nothing else of GitHub's API."""
    issues = f"repos/{github.state['repository']}/issues/"
    match asked.method, asked.endpoint.removeprefix(issues).split("/"), asked.field:
        case "GET", [number, "comments"], None:
            github.may("issues", "pull-requests", write=False)
            return github.find("pr" if number in github.entries("pr") else "issue", number)["comments"]
        case "PATCH", ["comments", number], field if field.startswith("body="):
            github.may("issues", "pull-requests")
            content = field.removeprefix("body=")
            entries = [*github.entries("issue").values(), *github.entries("pr").values()]
            [one] = [one for entry in entries for one in entry["comments"] if str(one["id"]) == number]
            one["body"] = Path(content[1:]).read_text("utf-8") if content.startswith("@") else content
            return one
    raise Refused("gh: Not Found (HTTP 404)")


def setup_git(github: Github, _: argparse.Namespace) -> None:
    helper = ["credential.https://github.com.helper", "!gh auth git-credential"]
    subprocess.run(["git", "config", "--global", *helper], check=True)


def git_credential(github: Github, asked: argparse.Namespace) -> str:
    return f"username=x-access-token\npassword={github.token}" if asked.operation == "get" else ""


SHOWN = "--json --jq"
BODY = "--body --body-file"
# Arguments by position without dashes; flags that take a value; `!` flags without one; `*` flags given repeatedly.
COMMANDS: dict[str, tuple[Handler, str]] = {
    "api": (api, "endpoint --method --field --jq --paginate! --silent!"),
    "auth git-credential": (git_credential, "operation"),
    "auth setup-git": (setup_git, ""),
    "issue close": (close, "number --comment --reason"),
    "issue create": (create, f"--title {BODY} --label*"),
    "issue edit": (edit, f"number --title {BODY}"),
    "issue list": (listed, f"--label* --state --limit {SHOWN}"),
    "label create": (label, "name --color --description --force!"),
    "pr comment": (comment, f"number {BODY}"),
    "pr create": (create, f"--head --base --title {BODY} --label*"),
    "pr list": (listed, f"--head --base --label* --state --limit {SHOWN}"),
    "run download": (download, "run --pattern --dir"),
}
DEFAULTS = {"--state": "open", "--method": "GET", "--dir": "."}


def parse(words: list[str]) -> argparse.Namespace:
    name = " ".join(words[:2]) if words[0] != "api" else "api"
    if name not in COMMANDS:
        raise Refused(f"this stand-in for gh does not know: gh {name}")
    handler, arguments = COMMANDS[name]
    parser = argparse.ArgumentParser(f"gh {name}", allow_abbrev=False)
    parser.set_defaults(handler=handler, kind=words[0])
    for argument in [*arguments.split(), *(["--repo"] if words[0] != "auth" else [])]:
        if argument.endswith("!"):
            parser.add_argument(argument[:-1], action="store_true")
        elif argument.endswith("*"):
            parser.add_argument(argument[:-1], action="append", default=[])
        elif argument == "--limit":
            parser.add_argument(argument, type=int, default=30)
        else:
            parser.add_argument(argument, default=DEFAULTS.get(argument))
    return parser.parse_args(words[len(name.split()) :])


def filtered(document: str, expression: str) -> str:
    """What --jq does: strings come without quotes."""
    done = subprocess.run(
        ["jq", "--raw-output", "--compact-output", expression], input=document, capture_output=True, text=True
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout.rstrip("\n")


def main(path: Path, words: list[str]) -> int:
    state = json.loads(path.read_text("utf-8"))
    try:
        asked = parse(words)
        given = asked.kind == "auth" or asked.repo or os.environ.get("GH_REPO") or Path(".git").exists()
        if not given:
            raise Refused("failed to run git: fatal: not a git repository (or any of the parent directories): .git")
        answer = asked.handler(Github(state), asked)
        shown = answer if isinstance(answer, str) else json.dumps(answer) if answer is not None else ""
        shown = filtered(shown, asked.jq) if getattr(asked, "jq", None) else shown
        print(end="" if getattr(asked, "silent", False) or not shown else f"{shown}\n")
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return refusal.code
    finally:
        path.write_text(json.dumps(state), "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2:]))
