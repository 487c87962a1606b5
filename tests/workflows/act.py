"""One event, as GitHub would react to it: `act` executes the workflow, and this reads what came of it.

Without Docker: a job is a process of this machine. act keeps to GitHub's rules for expressions, needs, matrices,
outputs, reusable workflows, summaries. It does not enforce permissions, environments and their secrets, required
inputs, or the values of a choice, and it ignores the filters of `on:`: the linters look at those.
"""

from __future__ import annotations

import json
import subprocess
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

RUNNERS = ("ubuntu-24.04", "self-hosted")
TIMEOUT_SECONDS = 400


@dataclass
class Job:
    """What became of one job; a job that was skipped is not there at all."""

    result: str = ""  # success or failure
    steps: dict[str, str] = field(default_factory=dict)  # name to success or failure; a skipped one is not there
    log: str = ""
    summary: str = ""  # Markdown, of all its steps
    outputs: dict[str, dict[str, str]] = field(default_factory=dict)  # of steps, by their ids
    annotations: list[str] = field(default_factory=list)  # "error: text", as the run's page lists them


@dataclass(frozen=True)
class Execution:
    """All that one event set off."""

    ok: bool
    jobs: dict[str, Job]  # by "workflow/job", of a reusable workflow by "job/workflow/job"
    written: str = field(repr=False)  # everything that act printed; nothing is masked in it

    def job(self, name: str) -> Job:
        """The one job whose label ends with `name`."""
        found = [label for label in self.jobs if label == name or label.endswith(f"/{name}")]
        assert len(found) == 1, f"{name}: {found}\n{self}"
        return self.jobs[found[0]]

    def __str__(self) -> str:
        """What a person would look at: results and logs, or why act did nothing."""
        logs = [f"--- {label}: {job.result}\n{job.log}" for label, job in self.jobs.items()]
        return "\n".join(logs) or self.written

    @property
    def summary(self) -> str:
        """Of all jobs: what the page of the run shows."""
        return "\n".join(job.summary for job in self.jobs.values() if job.summary)

    @property
    def annotations(self) -> list[str]:
        return [annotation for job in self.jobs.values() for annotation in job.annotations]


def run(
    folder: Path,
    event: str,
    workflow: str,
    *,
    payload: Mapping[str, Any],
    actions: Mapping[str, Path],
    secrets: Mapping[str, str],
    variables: Mapping[str, str],
    environ: Mapping[str, str],
    prefix: Sequence[str] = (),
) -> Execution:
    """Let `event` with `payload` happen to the repository in `folder`, and wait for `workflow`, a file's name.

    `actions` are the folders that stand in for `owner/name@ref`. Steps see `environ` and nothing else of this process:
    act hands on its own environment, so it gets no other. `prefix` is what it runs under.
    """
    settings = {"event": json.dumps(payload), "secrets": _dotenv(secrets), "variables": _dotenv(variables)}
    for name, text in settings.items():
        (folder.parent / name).write_text(text, "utf-8")
    command = [
        *prefix,
        str(Path(sysconfig.get_path("scripts")) / "act"),
        event,
        *("--workflows", f".github/workflows/{workflow}"),
        *("--eventpath", "../event", "--secret-file", "../secrets", "--var-file", "../variables"),
        *("--env-file", "/dev/null", "--input-file", "/dev/null", "--defaultbranch", "main"),
        *(word for runner in RUNNERS for word in ("--platform", f"{runner}=-self-hosted")),
        *(
            word
            for name, path in actions.items()
            for word in ("--local-repository", f"https://github.com/{name}={path}")
        ),
        *("--no-cache-server", "--action-offline-mode", "--pull=false", "--container-daemon-socket", "-"),
        "--no-skip-checkout",  # a job has the files that it checks out, as on GitHub
        "--insecure-secrets",  # what a mask would hide shall be seen
        "--json",
    ]
    done = subprocess.run(
        command,
        cwd=folder,
        env=dict(environ),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_SECONDS,
    )
    for name in settings:
        (folder.parent / name).unlink()
    return read(done.stdout + done.stderr, ok=done.returncode == 0)


def read(written: str, *, ok: bool) -> Execution:
    """What act's `--json` lines say."""
    jobs: dict[str, Job] = {}
    for line in written.splitlines():
        if not line.startswith("{") or "job" not in (entry := json.loads(line)):
            continue
        job = jobs.setdefault(entry["job"].strip(), Job())
        step, text = entry.get("step", ""), entry.get("msg", "")
        match entry.get("command"):
            case "summary":
                job.summary += entry["content"]
            case "set-output":
                job.outputs.setdefault(entry["stepID"][-1], {})[entry["name"]] = entry["arg"]
            case "error" | "warning" | "notice" as level:
                job.annotations.append(f"{level}: {entry['arg']}")
            case None if entry.get("raw_output"):
                job.log += text
        if entry.get("stage") == "Main" and "stepResult" in entry and len(entry["stepID"]) == 1:
            job.steps[step] = entry["stepResult"]
        job.result = entry.get("jobResult", job.result)
    return Execution(ok, jobs, written)


def is_hidden(line: str) -> bool:
    """Whether this line of act's is in no log of GitHub's: masks, and what the two actions hand on that log in."""
    by_login = any(f"/{name}@" in line for name in ("create-github-app-token", "configure-aws-credentials"))
    handed_on = any(f'"command":"{command}"' in line for command in ("set-env", "set-output"))
    return '"command":"add-mask"' in line or (by_login and handed_on)


def _dotenv(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={json.dumps(value)}\n" for name, value in values.items())
