"""The settings of a sandbox, and the state file that it writes for clients."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from sandbox.aws.aws_state import AwsState

STATE_FILE = "state.json"
CALLS_FILE = "calls.jsonl"


@dataclass(frozen=True)
class WorldSettings:
    """What the owner of a sandbox asks of its process."""

    folder: str
    sockets: str  # a folder for temporary files, with a short path
    load_seconds: float
    server: bool  # whether to start the dstack server, or only the clouds
    temporary: bool  # whether to remove the folder at the end
    engine: dict[str, str]  # variables of the pods that choose it; empty: the stand-in
    zone: str | None = None  # of the emulated AWS; None: without AWS
    alarm_speed: float = 1.0  # how many minutes of CloudWatch's alarms pass in a real one
    front: bool = False  # whether callers reach the dstack server through a proxy that faults can be on


@dataclass(frozen=True)
class WorldState:
    """The addresses and tokens. The file is written when the sandbox is ready, and removed when it ends."""

    url: str  # for callers of the dstack server: its own, or its front's; empty when only the clouds run
    server_url: str  # of the dstack server itself
    token: str  # of the dstack server's admin
    control_url: str
    control_token: str
    keys: dict[str, str]  # cloud: API key
    cloud_environ: dict[str, str]  # variables that lead a process to the emulated clouds
    aws: AwsState | None  # None: without AWS

    def save(self, folder: Path) -> None:
        """Write the file in one step, readable only by its owner."""
        draft = folder / f"{STATE_FILE}.new"
        draft.touch(mode=0o600)
        draft.write_text(json.dumps(asdict(self)))
        os.replace(draft, folder / STATE_FILE)

    @classmethod
    def load(cls, folder: Path) -> WorldState:
        """Read what save() wrote. Raises FileNotFoundError when no sandbox is ready in `folder`."""
        values = json.loads((folder / STATE_FILE).read_text())
        return cls(**values | {"aws": values["aws"] and AwsState(**values["aws"])})
