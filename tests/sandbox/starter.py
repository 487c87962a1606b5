"""A process that starts pods, for tests that kill it or run it as another user.

`starter.py FOLDER COUNT PUBLIC-KEY`; prints {"isolated": whether the pods have namespaces, "ports": [their SSH ports]}
and waits for the end of its input, when it kills the pods in order.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

from sandbox.pods import isolation
from sandbox.pods.pod import Pod, PodSpec


async def main() -> None:
    folder, count, public_key = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    pods = []
    for number in range(count):
        spec = PodSpec(f"pod{number}", folder / f"pod{number}", (public_key,), "L4", 1, 24, 8, 32, load_seconds=0.0)
        pods.append(await Pod.start(spec))
    print(json.dumps({"isolated": bool(isolation.command()), "ports": [pod.port for pod in pods]}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for pod in pods:
        await pod.kill()


asyncio.run(main())
