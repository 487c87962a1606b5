"""The command line that a rendered service gives to vLLM: the service's own script, run by a shell, says it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

SCRIPT = f"""#!{sys.executable}
import json, os, sys
open(os.environ["SAID"], "w").write(json.dumps(sys.argv[1:]))
"""


def of(service: Mapping[str, Any], folder: Path) -> list[str]:
    """What follows `vllm` when the service's commands run with its `env`, in `folder`."""
    program, said = folder / "vllm", folder / "said.json"
    program.write_text(SCRIPT)
    program.chmod(0o755)
    variables = {name: str(value) for name, value in service["env"].items()}
    environ = variables | {"PATH": f"{folder}:{os.environ['PATH']}", "SAID": str(said)}
    said.unlink(missing_ok=True)
    subprocess.run(["/bin/sh", "-c", "\n".join(service["commands"])], env=environ, check=True, timeout=30)
    arguments: list[str] = json.loads(said.read_text())
    return arguments
