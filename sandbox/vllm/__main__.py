"""`python -m sandbox.vllm` is the command `vllm` in a pod whose engine is the real one.

The command line reaches vLLM as the service has it, with one flag more. What else a machine without GPU and network
needs is said in variables, and the model's id leads to a folder of this machine, as in Hugging Face's own cache. A
service's `env` can set any of VLLM_DEFAULTS otherwise.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

VLLM_DEFAULTS = {
    "VLLM_CPU_KVCACHE_SPACE": "1",  # GiB; --gpu-memory-utilization would take that share of this machine's memory
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}
EAGER = "--enforce-eager"  # else vLLM compiles the model with g++, for minutes
_REVISION = "0" * 40
_SOCKET_CHARACTERS = 107  # unix(7), without the final zero
_SOCKET_NAME = 37  # vLLM's, in the folder for temporary files


def model_of(arguments: Sequence[str]) -> str | None:
    """The model's id in `serve ID …`; None when the command is another one."""
    return arguments[1] if arguments[:1] == ["serve"] and not arguments[1].startswith("-") else None


def lead_to(folder: Path, model_id: str, hub: Path) -> None:
    """Have `model_id` found in the cache `hub`, with `folder` as its only revision."""
    cached = hub / f"models--{model_id.replace('/', '--')}"
    for name in ("refs", "snapshots"):
        (cached / name).mkdir(parents=True, exist_ok=True)
    (cached / "refs" / "main").write_text(_REVISION)
    snapshot = cached / "snapshots" / _REVISION
    snapshot.unlink(missing_ok=True)
    snapshot.symlink_to(folder)


def main() -> None:
    arguments, installation, model = sys.argv[1:], os.environ["SANDBOX_VLLM"], Path(os.environ["SANDBOX_MODEL"])
    if os.environ.get("SANDBOX_LOAD_SECONDS") == "inf":  # the fault `unready`
        signal.pause()
    if len(os.environ["TMPDIR"]) + _SOCKET_NAME > _SOCKET_CHARACTERS:
        sys.exit(f"sandbox: {os.environ['TMPDIR']} is too long for vLLM's sockets; start with a shorter --folder")
    hub = Path.home() / "hub"
    if model_id := model_of(arguments):
        lead_to(model, model_id, hub)
        arguments.append(EAGER)
        print(f"sandbox: real vLLM on the CPU, with {EAGER}; {model_id} is the model in {model}", flush=True)
    if port := os.environ.get("SANDBOX_PORT"):  # without namespaces all pods share the loopback interface
        arguments += ["--host", "127.0.0.1", "--port", port]
    environ = VLLM_DEFAULTS | os.environ | {"HF_HUB_CACHE": str(hub)}
    environ.pop("PYTHONPATH")  # the sandbox's modules are for another interpreter
    os.execve(f"{installation}/bin/vllm", ["vllm", *arguments], environ)


if __name__ == "__main__":
    main()
