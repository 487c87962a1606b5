"""The stage of the demo: its repository, and the commands that a person types in it."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests
import yaml
from rich.console import Console
from rich.markup import escape

from sandbox import Sandbox

QUESTION = "Which sauce goes with nemo?"
COMMITTER = (("user.name", "You"), ("user.email", "you@example.com"), ("commit.gpgsign", "false"))
console = Console(highlight=False, soft_wrap=True)


class StepError(Exception):
    """A step of the demo failed."""


@dataclass(frozen=True)
class Stage:
    """The demo's repository, one of its environments, and the sandbox that it is deployed to."""

    sandbox: Sandbox
    project: Path
    environment: str

    @property
    def service(self) -> dict[str, Any]:
        text = (self.project / "dstack" / "service.dstack.yml").read_text(encoding="utf-8")
        document: dict[str, Any] = yaml.safe_load(text)
        return document

    @property
    def private(self) -> bool:
        """Whether only callers in the VPC reach the service."""
        return self.environment == "prod"

    @property
    def url(self) -> str:
        name = self.service["name"]
        if self.private:
            return f"http://{name}.{self.sandbox.aws.zone}/v1/chat/completions"
        return f"{self.sandbox.url}/proxy/services/{self.sandbox.project}/{name}-{self.environment}/v1/chat/completions"

    def edit(self, **changes: Any) -> None:
        """Change values of the environment's file, by their dotted keys, as a person would in an editor."""
        path = self.project / "environments" / f"{self.environment}.yml"
        settings = yaml.safe_load(path.read_text(encoding="utf-8"))
        for key, value in changes.items():
            place = settings
            *above, last = key.split(".")
            for word in above:
                place = place.setdefault(word, {})
            place[last] = value
            console.print(f"[dim]environments/{path.name}: {key}: {json.dumps(value)}[/]")
        path.write_text(yaml.safe_dump(settings, sort_keys=False), encoding="utf-8")

    def inv(self, *words: str, code: int = 0) -> None:
        """Run one `inv` command in the project, which has to end with `code`. Print it as a person would type it."""
        command = ["inv", *words, "--env", self.environment]
        console.print(f"[bold]$ {shlex.join(command)}[/]")
        variables = {name: value for name, value in os.environ.items() if not name.startswith("DSTACK_")}
        beside = self.sandbox.aws.command_beside(self.project) if self.private else []
        words = (*beside, str(Path(sys.executable).with_name("inv")), *command[1:])
        done = subprocess.run(words, cwd=self.project, env=variables | self.sandbox.environ)
        if done.returncode != code:
            raise StepError(f"`{shlex.join(command)}` exited with {done.returncode}")

    def start_repository(self) -> None:
        """Make the project a git repository with one commit, as a team does after generation."""
        for words in (("init", "--quiet", "--initial-branch", "main"), *(("config", *pair) for pair in COMMITTER)):
            self.git(*words, shown=False)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "As generated")

    def git(self, *words: str, shown: bool = True) -> None:
        """Run one `git` command in the project, and print it as a person would type it."""
        command = shlex.join(["git", *words])
        if shown:
            console.print(f"[bold]$ {command}[/]")
        done = subprocess.run(("git", *words), cwd=self.project, capture_output=True, text=True)
        if done.returncode:
            raise StepError(f"`{command}` exited with {done.returncode}: {done.stderr.strip()}")

    def ask(self) -> None:
        """Send a chat and print the answer."""
        console.print(f"[dim]POST {self.url}[/]")
        answer = self.answer()
        try:
            text = json.loads(answer)["choices"][0]["message"]["content"]
        except (ValueError, KeyError):
            raise StepError(f"{self.url} answered {answer[:200]!r}") from None
        console.print(f"  [bold]you:[/] {QUESTION}\n  [bold]it:[/]  {escape(text)}")

    def answer(self) -> str:
        """Return the endpoint's answer to a chat, sent from where its callers are; empty when it can't be reached."""
        body = {"model": self.service["model"], "messages": [{"role": "user", "content": QUESTION}]}
        if not self.private:
            headers = {"Authorization": f"Bearer {self.sandbox.token}"}
            return requests.post(self.url, json=body, headers=headers, timeout=60).text
        headers_file = self.project / ".env.headers"  # curl reads it, so the token appears in no process list
        headers_file.write_text(f"Authorization: Bearer {self.sandbox.token}\nContent-Type: application/json\n")
        words = ("curl", "-s", "-m", "20", "-H", f"@{headers_file}", "-d", json.dumps(body), self.url)
        return self.sandbox.aws.inside(*words).stdout
