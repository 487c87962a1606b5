"""The whole life of a service in a few minutes, without an account: `inv demo`, and `inv demo --env prod`.

Only the clouds are emulated. The demo runs the commands that a person types in a generated repository, against a real
dstack server. With `--env prod` the gateway is real as well, on a host that boots.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.markup import escape

from demo_stage import Stage, StepError, console
from sandbox import PodInfo, Sandbox
from sandbox.errors import SandboxError

DEMO = Path(__file__).parent / "demo-mistral-nemo"
HEALING_SECONDS = 180  # after a recovery, the gateway answers within about 30 s
DEAD = 48  # the exit code of `inv gateway.check` while nothing of the gateway serves


def main() -> int:
    """Run the demo of the environment in the first argument. Return 0 when every step succeeded."""
    started, environment = time.monotonic(), sys.argv[1] if len(sys.argv) > 1 else "sandbox"
    if environment not in PLAYS:
        console.print(f"there is no demo of {environment!r}; choose one of: {', '.join(PLAYS)} (inv demo --env NAME)")
        return 2
    with TemporaryDirectory(prefix="demo-") as folder:
        project = Path(shutil.copytree(DEMO, Path(folder) / DEMO.name))
        step("Starting the sandbox", "a real dstack server, with RunPod and Vast.ai emulated on this machine")
        try:
            with Sandbox(aws=environment == "prod") as sandbox:
                answered = PLAYS[environment](Stage(sandbox, project, environment), started)
        except (StepError, SandboxError) as failure:
            console.print(f"[bold red]The demo failed:[/] {escape(str(failure))}")
            return 1
    took = time.monotonic() - started
    console.print(f"\n[bold green]Done[/] in {took:.0f} s; the first answer came after {answered:.0f} s.")
    console.print("No GPU was rented: clouds, pods and the model's answers were stand-ins, everything else was real.")
    return 0


def play(stage: Stage, started: float) -> float:
    """Run the demo of `sandbox`: one replica, and a cloud without capacity. Return the seconds until the answer."""
    step("Deploying demo-mistral-nemo", "`inv deploy` creates fleet and service; waits for an answer")
    answered = deploy_and_ask(stage, started)
    step("Where it runs, and what it costs", "the prices are from the sandbox's inventory")
    stage.inv("status")

    pod = newest(stage.sandbox)
    step(f"Taking {pod.cloud}'s capacity away", "a change still plans with its offers: it is full only when one rents")
    stage.sandbox.faults.set_capacity(pod.cloud, available=False)
    stage.edit(**{"service.env.MAX_NUM_SEQS": 64})
    stage.inv("deploy", "--yes")
    if newest(stage.sandbox).cloud == pod.cloud:
        raise StepError(f"the service is still on {pod.cloud}")
    stage.ask()
    stage.inv("status")
    destroy(stage)
    return answered


def play_private(stage: Stage, started: float) -> float:
    """Run the demo of `prod`: a bad change, and a private gateway whose instance is terminated.

    Return the seconds until the answer.
    """
    sandbox = stage.sandbox
    if not sandbox.aws.has_hosts:
        raise StepError(sandbox.aws.notice)
    zone = sandbox.aws.snapshot_zone()
    step("Filling in environments/prod.yml", "with the dstack project, the region and the VPC, as a team would")
    values = {"server.project": sandbox.project, "dns.vpc_id": sandbox.aws.vpc_id}
    values |= {"gateway.region": sandbox.aws.environ["AWS_DEFAULT_REGION"]}
    values |= {"recovery": "automatic"}  # the demo has no terminal, perhaps
    stage.edit(**values, **{"service.env.HF_TOKEN": None})  # the stand-in for vLLM downloads nothing
    stage.start_repository()

    step("Deploying demo-mistral-nemo", "`inv deploy` creates fleet, gateway, records, service; waits for an answer")
    answered = deploy_and_ask(stage, started)
    for command in ("status", "gateway.status", "dns.show"):
        stage.inv(command)
    go_back(stage)
    recover(stage)
    step("Deploying again", "nothing differs, so nothing changes")
    stage.inv("deploy", "--yes")
    destroy(stage)
    if left := [each.id for each in sandbox.aws.instances() if each.state != "terminated"]:
        raise StepError(f"these instances are still there: {', '.join(left)}")
    if sandbox.aws.snapshot_zone() != zone:
        raise StepError("the zone is not as it was before")
    return answered


PLAYS = {"sandbox": play, "prod": play_private}


def deploy_and_ask(stage: Stage, started: float) -> float:
    """Deploy and ask a question. Return the seconds from `started` to the answer."""
    stage.inv("deploy", "--yes")
    step("Asking it a question", "as a backend does: one HTTP request with a dstack token")
    stage.ask()
    return time.monotonic() - started


def go_back(stage: Stage) -> None:
    """Deploy a change that passes its probes and is bad all the same, and go back to the deployment before."""
    step("Deploying a bad change", "it starts and passes its probes, but longer requests are refused")
    stage.edit(**{"service.env.MAX_MODEL_LEN": 4096})
    stage.git("commit", "--quiet", "--all", "--message", "Shorter requests")
    stage.inv("deploy", "--yes")
    step("Going back", "the history names each commit, and `inv rollback` deploys the one before")
    stage.inv("history")
    stage.inv("rollback", "--yes")
    stage.inv("history")
    stage.ask()
    stage.git("revert", "--no-edit", "HEAD")  # otherwise the next deploy repeats the change


def recover(stage: Stage) -> None:
    """Terminate the instance of the gateway, and recover it."""
    [gateway] = [each for each in stage.sandbox.aws.instances() if each.state == "running"]
    step("Terminating the gateway's instance", "dstack still calls it running, so `inv` looks at EC2")
    stage.sandbox.aws.terminate(gateway.id)
    ended = time.monotonic()
    stage.inv("gateway.check", code=DEAD)
    step("Recovering the gateway", "a new instance; no GPU is released, and the service keeps running")
    stage.inv("gateway.recover", "--yes")
    recovered = time.monotonic()
    while "choices" not in stage.answer():
        if time.monotonic() - recovered > HEALING_SECONDS:
            raise StepError(f"no answer {HEALING_SECONDS} s after the recovery")
        time.sleep(1)
    console.print(f"answered again {time.monotonic() - ended:.0f} s after the instance was terminated")


def destroy(stage: Stage) -> None:
    step("Destroying everything", "run, machines, fleet" + (", records, gateway" if stage.private else ""))
    stage.inv("destroy", "--yes", *(["--allow-outage"] if stage.private else []))  # prod is protected
    if left := [pod.id for pod in stage.sandbox.pods() if pod.running]:
        raise StepError(f"these machines are still running: {', '.join(left)}")


def newest(sandbox: Sandbox) -> PodInfo:
    """Return the machine that was rented last. After a rollout, the previous one may still be finishing its streams."""
    return max(sandbox.pods(), key=lambda pod: pod.started)


def step(title: str, text: str) -> None:
    console.print(f"\n[bold cyan]── {title}[/] [dim]{text}[/]")


if __name__ == "__main__":
    sys.exit(main())
