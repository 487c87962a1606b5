"""A git repository with a user's commands and edits, and what happens to templates and projects."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.rendered import files

TEMPLATE = "<<cookiecutter.project_slug>>"
SERVICE = "dstack/service.dstack.yml"


class Repository:
    """A git repository, with a user's commands and edits."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder, self.home = folder, home

    def run(self, *words: str, code: int = 0) -> str:
        """What a command says; fails unless it ends with `code`. No ~/.cookiecutterrc and ~/.gitconfig but its own."""
        who = {f"GIT_{role}_{key}": "user@host" for role in ("AUTHOR", "COMMITTER") for key in ("NAME", "EMAIL")}
        environ = {"PATH": os.environ["PATH"], "HOME": str(self.home), **who}
        done = subprocess.run(words, cwd=self.folder, env=environ, capture_output=True, text=True)
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def cruft(self, *words: str, code: int = 0) -> str:
        return self.run(sys.executable, "-m", "cruft", *words, code=code)

    def files(self) -> dict[str, str]:
        """Text by path, of what is committed but for cruft's own file."""
        return {name: self.read(name) for name in self.run("git", "ls-files").splitlines() if name != ".cruft.json"}

    def commit(self, message: str = "work") -> None:
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

    def edit(self, name: str, old: str, new: str) -> None:
        assert old in self.read(name), f"{name} has no {old!r}"
        (self.folder / name).write_text(self.read(name).replace(old, new), "utf-8")

    def changed(self) -> set[str]:
        """Files that differ from the last commit, other than cruft's own."""
        status = self.run("git", "status", "--porcelain", "--untracked-files=all")
        return {line[3:].split(" -> ")[-1] for line in status.splitlines()} - {".cruft.json"}


def release(template: Repository, tag: str = "v1.1.0") -> None:
    template.commit(tag)
    template.run("git", "tag", tag)


def update(project: Repository, tag: str = "v1.1.0") -> str:
    return project.cruft("update", "--skip-apply-ask", "--checkout", tag)


def made_without_cruft(template: Repository) -> dict[str, str]:
    """What the template renders to now, by file."""
    template.run(sys.executable, "-m", "cookiecutter", ".", "--no-input", "--output-dir", str(template.home / "plain"))
    return files(template.home / "plain" / "mistral-nemo")
