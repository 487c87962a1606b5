"""What a pod is asked to be; read on both sides of its wall, so it imports nothing heavy."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class PodSpec:
    """One emulated machine of a GPU cloud."""

    id: str  # the cloud's id of this machine
    folder: Path  # state and logs of only this pod; created by Pod.start()
    authorized_keys: tuple[str, ...]  # OpenSSH public keys of the dstack server and the user
    gpu_name: str
    gpu_count: int
    gpu_memory_gib: int  # of one GPU
    cpus: int
    memory_gib: int  # of the machine, not of its GPUs
    load_seconds: float = 2.0  # how long the stand-in engine "loads weights" before it answers
    ready: bool = True  # False: the engine never finishes loading (a fault)
    engine: dict[str, str] = field(default_factory=dict)  # variables that choose one, see sandbox/vllm; empty: stand-in
    host: str = "127.0.0.1"  # address the SSH listener is bound to, outside the pod's namespace

    @property
    def hang_file(self) -> Path:
        """The file whose presence lets the pod's engine hang."""
        return self.folder / "hang"

    def save(self) -> None:
        """Write the spec into the pod's folder, where the process inside the pod finds it."""
        (self.folder / "spec.json").write_text(json.dumps(asdict(self) | {"folder": str(self.folder)}))

    @classmethod
    def load(cls, folder: Path) -> PodSpec:
        """Read what save() wrote."""
        values = json.loads((folder / "spec.json").read_text())
        return cls(**values | {"folder": folder, "authorized_keys": tuple(values["authorized_keys"])})
