"""The whole life of a service in a few minutes, without an account: `inv demo`.

Nothing here is faked but the clouds: the commands that it runs are those that a person types in a generated repository,
against a real dstack server.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import requests
import yaml
from rich.console import Console
from rich.markup import escape

from sandbox import PodInfo, Sandbox

DEMO = Path(__file__).parents[1] / "demo-mistral-nemo"
console = Console(highlight=False, soft_wrap=True)


def main() -> int:
    """Run the demo. Returns its exit code: 0 when every step did what it says."""
    started = time.monotonic()
    with TemporaryDirectory(prefix="demo-") as folder:
        project = Path(shutil.copytree(DEMO, Path(folder) / DEMO.name))
        step("Starting the sandbox", "a real dstack server, with RunPod and Vast.ai emulated on this machine")
        with Sandbox() as sandbox:
            try:
                answered = play(sandbox, project, started)
            except StepError as failure:
                console.print(f"[bold red]The demo failed:[/] {escape(str(failure))}")
                return 1
    took = time.monotonic() - started
    console.print(f"\n[bold green]Done[/] in {took:.0f} s; the first answer came after {answered:.0f} s.")
    console.print("No GPU was rented: clouds, pods and the model's answers were stand-ins, everything else was real.")
    return 0


class StepError(Exception):
    """A step did not do what it says."""


def play(sandbox: Sandbox, project: Path, started: float) -> float:
    """The steps between start and end of the sandbox. Returns the seconds until the first answer."""
    step("Deploying demo-mistral-nemo", "fleet, service, and the wait until it answers; all in `inv deploy`")
    inv(sandbox, project, "deploy", "--yes")
    step("Asking it a question", "what a backend does: one HTTP request with a dstack token")
    ask(sandbox, project)
    answered = time.monotonic() - started
    step("Where it runs, and what it costs", "prices are those of the sandbox's inventory")
    inv(sandbox, project, "status")

    pod = newest(sandbox)
    step(f"Taking {pod.cloud}'s capacity away", "and deploying a changed setting: the new replica has to go elsewhere")
    sandbox.capacity(pod.cloud, available=False)
    set_engine_flag(project / "environments" / "sandbox.yml", "MAX_NUM_SEQS", "64")
    inv(sandbox, project, "deploy", "--yes")
    if newest(sandbox).cloud == pod.cloud:
        raise StepError(f"the service is still on {pod.cloud}")
    ask(sandbox, project)
    inv(sandbox, project, "status")

    step("Destroying everything", "run, machines, fleet")
    inv(sandbox, project, "destroy", "--yes")
    if left := [pod.id for pod in sandbox.pods() if pod.running]:
        raise StepError(f"these machines are still running: {', '.join(left)}")
    return answered


def newest(sandbox: Sandbox) -> PodInfo:
    """The machine that was rented last: after a rollout the one before may still be finishing its streams."""
    return max(sandbox.pods(), key=lambda pod: pod.started)


def step(title: str, text: str) -> None:
    console.print(f"\n[bold cyan]── {title}[/] [dim]{text}[/]")


def inv(sandbox: Sandbox, project: Path, *words: str) -> None:
    """One `inv` command in the project, shown as typed."""
    command = ["inv", *words, "--env", "sandbox"]
    console.print(f"[bold]$ {shlex.join(command)}[/]")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("DSTACK_")}
    run = subprocess.run([sys.executable, "-m", "invoke", *command[1:]], cwd=project, env=variables | sandbox.environ)
    if run.returncode:
        raise StepError(f"`{shlex.join(command)}` ended with {run.returncode}")


def ask(sandbox: Sandbox, project: Path) -> None:
    """Send a chat and show the answer."""
    service = yaml.safe_load((project / "dstack" / "service.dstack.yml").read_text(encoding="utf-8"))
    url = f"{sandbox.url}/proxy/services/{sandbox.project}/{service['name']}-sandbox/v1/chat/completions"
    question = "Which sauce goes with nemo?"
    body = {"model": service["model"], "messages": [{"role": "user", "content": question}]}
    answer = requests.post(url, json=body, headers={"Authorization": f"Bearer {sandbox.token}"}, timeout=60)
    if not answer.ok:
        raise StepError(f"{url} answered {answer.status_code}: {answer.text[:200]}")
    console.print(f"[dim]POST {url}[/]")
    text = answer.json()["choices"][0]["message"]["content"]
    console.print(f"  [bold]you:[/] {question}\n  [bold]it:[/]  {escape(text)}")


def set_engine_flag(path: Path, name: str, value: str) -> None:
    """Change one flag of the engine in an environment's file, as a person would in an editor."""
    environment = yaml.safe_load(path.read_text(encoding="utf-8"))
    environment["service"]["env"][name] = value
    path.write_text(yaml.safe_dump(environment, sort_keys=False), encoding="utf-8")
    console.print(f"[dim]environments/{path.name}: service.env.{name}: {value}[/]")


if __name__ == "__main__":
    sys.exit(main())
