"""GitHub, as far as the workflows see it: a repository to push to, events, issues and comments, roles to assume.

What a job reaches is all here, in one folder: `remote.git` is https://github.com/acme/<name>, `github.json` what `gh`
sees and writes, `home` the runner's HOME with artifacts in it, `bin` what its PATH has beside the system's programs.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml

from tests.rendered import ROOT
from tests.workflows import act

HERE = Path(__file__).parent
OWNER = "acme"
TOKEN = "ghs_of-the-workflow"  # github.token
PULL = "7"
APP_TOKEN = "ghs_of-the-app"
APP_KEY = "-----BEGIN RSA PRIVATE KEY----- of the app -----END RSA PRIVATE KEY-----"
GIT = ("git", "-c", "user.name=Ada", "-c", "user.email=ada@example.com", "-c", "init.defaultBranch=main")
UNKNOWN_TO_ACT = "\n      deployment: false"  # GitHub shows no deployment of such a job; it runs alike
# Whoever isn't Ada needs the app's token: the workflow's own may not push files of workflows.
PRE_RECEIVE = """#!/bin/sh
test "$HOME" = '{ada}' && exit 0
export GIT_TERMINAL_PROMPT=0
printf 'protocol=https\\nhost=github.com\\n\\n' | git credential fill | grep -qx 'password={token}'
"""
# Of a shell that a step runs in: act would give it a terminal, GitHub's runner doesn't.
BASH = '#!/bin/bash\nset -o pipefail\n/bin/bash "$@" < /dev/null 2>&1 | cat\n'


@dataclass
class Forge:
    """One repository on GitHub, made from the files of `project`; the folder is the test's own."""

    folder: Path
    project: Path
    secrets: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)  # where the world is, for the runners
    prefix: Sequence[str] = ()  # what the runners run under
    executions: list[act.Execution] = field(default_factory=list, repr=False)
    published: list[str] = field(default_factory=list, repr=False)  # what artifacts held
    sessions: dict[str, str] = field(default_factory=dict)  # the secret variables of all roles

    def __post_init__(self) -> None:
        self.work = self.folder / "work"
        self._home = self.folder / "home"
        self._tools = self._home / ".cache" / "act" / "tool_cache"
        for made in (self._tools / "uv", self._tools / "sessions", self._tools / "app-tokens", self.folder / "bin"):
            made.mkdir(parents=True)
        self.url = f"https://github.com/{OWNER}/{self.project.name}"
        remote = self.folder / "remote.git"
        self._leads = f'[url "{remote}"]\n  insteadOf = {self.url}\n'
        (self.folder / ".gitconfig").write_text(self._leads, "utf-8")
        (self._tools / "app-tokens" / sha256(APP_KEY.encode()).hexdigest()).write_text(APP_TOKEN, "utf-8")
        self._program("bash", BASH)
        self._program("gh", _python("gh", self.folder / "github.json"))
        self._program(self._tools / "uv" / "uv", _python("uv"))
        self._program(self._tools / "uv" / "uvx", _python("uv", "tool", "run"))
        subprocess.run([*GIT, "init", "--quiet", "--bare", str(remote)], check=True)
        subprocess.run([*GIT, "-C", str(remote), "config", "uploadpack.allowAnySHA1InWant", "true"], check=True)
        self._program(remote / "hooks" / "pre-receive", PRE_RECEIVE.format(ada=self.folder, token=APP_TOKEN))
        shutil.copytree(self.project, self.work)
        self.git("init", "--quiet")
        self.git("remote", "add", "origin", self.url)
        self.state = {
            "repository": f"{OWNER}/{self.project.name}",
            "tokens": {TOKEN: "github-actions[bot]", APP_TOKEN: "app"},
        }
        self.push("as it was generated")

    @property
    def state(self) -> dict[str, Any]:
        """What `gh` sees and writes: see gh.py."""
        state: dict[str, Any] = json.loads((self.folder / "github.json").read_text("utf-8"))
        return state

    @state.setter
    def state(self, state: Mapping[str, Any]) -> None:
        (self.folder / "github.json").write_text(json.dumps(state), "utf-8")

    def role(self, name: str, session: Mapping[str, str]) -> None:
        """Let AWS hand out `session`, variables, for the role with this name."""
        self.sessions |= {name: value for name, value in session.items() if "SECRET" in name or "TOKEN" in name}
        lines = [f"{variable}={value}\n" for variable, value in session.items()]
        (self._tools / "sessions" / name).write_text("".join(lines), "utf-8")

    def git(self, *words: str) -> str:
        """Run git in the working copy, which is Ada's."""
        environ = {"HOME": str(self.folder), "PATH": os.defpath}
        done = subprocess.run([*GIT, *words], cwd=self.work, env=environ, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, files: Mapping[str, str | Mapping[str, Any]]) -> None:
        """Write files of the working copy, by their paths: text, or what shall be YAML."""
        for name, content in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content if isinstance(content, str) else yaml.safe_dump(content), "utf-8")

    def push(self, message: str, branch: str = "main") -> str:
        """Commit all files to `branch` and push it. Returns the commit."""
        self.git("checkout", "--quiet", "-B", branch)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--allow-empty", "--message", message)
        self.git("push", "--quiet", "--force", "origin", branch)
        return self.git("rev-parse", "HEAD")

    def run(self, event: str, workflow: str, *, trusted: bool = True, **payload: Any) -> act.Execution:
        """Let `event` happen to the commit that is checked out; `payload` is merged over what every event has.

        GitHub hands no secrets to what isn't `trusted`, and a token that may only read.
        """
        document = yaml.safe_load((self.work / ".github" / "workflows" / workflow).read_text("utf-8"))
        everybody = document.get("permissions", {})
        permissions = {name: job.get("permissions", everybody) for name, job in document["jobs"].items()}
        self.state = self.state | {"read_only": not trusted, "permissions": permissions}
        shutil.rmtree(self._home / "artifacts", ignore_errors=True)  # they belong to a run
        (self._home / ".gitconfig").write_text(self._leads, "utf-8")
        repository = {"full_name": f"{OWNER}/{self.project.name}", "default_branch": "main", "html_url": self.url}
        for path in self._workflows():
            path.write_text(path.read_text("utf-8").replace(UNKNOWN_TO_ACT, ""), "utf-8")
        execution = act.run(
            self.work,
            event,
            workflow,
            payload={"repository": repository, "ref": "refs/heads/main"} | payload,
            actions=self._actions(),
            secrets={"GITHUB_TOKEN": TOKEN} | (self.secrets if trusted else {}),
            variables=self.variables,
            environ={
                "HOME": str(self._home),
                "PATH": f"{self.folder / 'bin'}:{os.defpath}",
                "PYTEST_DEBUG_TEMPROOT": str(self._home),  # apart from the folder that this very pytest cleans up
            }
            | self.environ,
            prefix=self.prefix,
        )
        self.git("checkout", "--quiet", "--force", "HEAD")
        self.executions.append(execution)
        artifacts = [path for path in (self._home / "artifacts").rglob("*") if path.is_file()]
        self.published += [path.read_text("utf-8") for path in artifacts]
        return execution

    def propose(self, workflow: str, *, author: str = "ada", fork: bool = False) -> act.Execution:
        """Open or update pull request 7 with the files of the working copy, from a fork or from a branch here."""
        sha = self.push("a proposal", branch="proposal")
        state = self.state
        pull = {"state": "OPEN", "headRefName": "proposal", "baseRefName": "main", "comments": []}
        self.state = state | {"pulls": {PULL: pull} | state.get("pulls", {})}
        owner = author if fork else OWNER
        event = {
            "number": int(PULL),
            "draft": False,
            "head": {
                "ref": "proposal",
                "sha": sha,
                "repo": {"full_name": f"{owner}/{self.project.name}", "fork": fork},
            },
            "base": {"ref": "main", "repo": {"full_name": f"{OWNER}/{self.project.name}", "fork": False}},
            "user": {"login": author},
        }
        trusted = not fork and author != "dependabot[bot]"
        try:
            return self.run(
                "pull_request", workflow, trusted=trusted, action="opened", number=int(PULL), pull_request=event
            )
        finally:
            self.git("checkout", "--quiet", "--force", "main")

    @property
    def comments(self) -> list[str]:
        """Of the pull request, oldest first."""
        return [comment["body"] for comment in self.state["pulls"][PULL]["comments"]]

    def leaks(self) -> list[str]:
        """Names of secrets that are in a log, a summary, an output, an issue, a comment, a branch or an artifact."""
        logs = [line for run in self.executions for line in run.written.splitlines() if not act.is_hidden(line)]
        said = {name: value for name, value in self.state.items() if name != "tokens"}
        history = self.git("-C", str(self.folder / "remote.git"), "log", "--all", "--patch", "--format=%B")
        public = "\n".join([*logs, json.dumps(said), *self.published, history])
        hidden = self.secrets | {"GITHUB_TOKEN": TOKEN, "the app's token": APP_TOKEN} | self.sessions
        return [name for name, value in hidden.items() if value in public]

    def _actions(self) -> dict[str, Path]:
        """The stand-in of each remote action that the repository uses, by `owner/name@ref`."""
        documents = [yaml.safe_load(path.read_text("utf-8")) for path in self._workflows()]
        remote = {name for name in _values(documents, "uses") if not name.startswith("./")}
        return {name: HERE / "actions" / name.split("/")[1].partition("@")[0] for name in remote}

    def _workflows(self) -> Iterator[Path]:
        """Files of workflows and local actions."""
        return (self.work / ".github").rglob("*.yml")

    def _program(self, name: str | Path, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(text, "utf-8")
        path.chmod(0o755)


def _values(document: Any, wanted: str) -> Iterator[Any]:
    """All values that a key has, anywhere in a document."""
    if isinstance(document, list):
        document = dict(enumerate(document))
    for key, value in document.items() if isinstance(document, dict) else ():
        if key == wanted:
            yield value
        yield from _values(value, wanted)


def _python(module: str, *words: str | Path) -> str:
    """A program that runs a module of this package with the interpreter of the tests."""
    command = shlex.join([sys.executable, "-P", "-m", f"tests.workflows.{module}", *map(str, words)])
    return f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {command} "$@"\n'
