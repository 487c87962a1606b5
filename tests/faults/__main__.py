"""Measure what callers lose when something fails, and write docs/faults.md: `python -m tests.faults [FAULT …]`.

Without names, all faults are measured. That takes about an hour and needs root, for the gateway's host.
"""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from sandbox import Sandbox
from tests.faults.faults import FAULTS
from tests.faults.measuring import Loss, Service, measure
from tests.faults.table import PAGE, with_rows

ROOT = Path(__file__).parents[2]
console = Console(highlight=False, soft_wrap=True)


def main(names: list[str]) -> int:
    if unknown := set(names) - FAULTS.keys():
        console.print(f"there is no fault {', '.join(sorted(unknown))}; choose from {', '.join(FAULTS)}")
        return 2
    with TemporaryDirectory() as folder, Sandbox(aws=True, load_seconds=1) as sandbox:
        if not sandbox.aws.has_hosts:
            console.print(sandbox.aws.notice)
            return 1
        service = deployed(Path(folder), sandbox)
        for name in names or FAULTS:
            began = time.monotonic()
            loss = measure(service, FAULTS[name].make)
            keep(name, loss)
            said = f"{loss.lost} of {loss.requests} requests lost in {loss.seconds:g} s"
            console.print(f"{FAULTS[name].name}: {said}; measured in {time.monotonic() - began:.0f} s")
    return 0


def deployed(folder: Path, sandbox: Sandbox) -> Service:
    """Return a new service of two replicas behind its gateway."""
    bake = [str(Path(sys.executable).with_name("cookiecutter")), str(ROOT), "--no-input", "--default-config"]
    subprocess.run([*bake, "-o", str(folder), "project_slug=mistral-nemo"], check=True, capture_output=True)
    service = Service(folder / "mistral-nemo", sandbox, "faults")
    service.put()
    service.deploy()
    service.await_whole()
    return service


def keep(name: str, loss: Loss) -> None:
    """Write one row at once: a later fault may end the command."""
    PAGE.write_text(with_rows(PAGE.read_text("utf-8"), {name: loss}), "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
