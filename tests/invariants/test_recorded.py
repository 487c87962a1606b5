"""The stand-in answers as the real server did: `recorded/` has its answers, and RECORD=yes writes them again."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox import Sandbox
from tests.invariants.person import server
from tests.invariants.scenario import Exchange, Scenario, masked, shape, values
from tests.invariants.stand_in.server import URL
from tests.invariants.stand_in.state import PROJECT

RECORDED = Path(__file__).parent / "recorded"
UNKNOWN = {".job_runtime_data.", ".job_connection_info."}  # parts of paths that the stand-in leaves out


def recorded() -> list[Exchange]:
    """What the real server answered, in the scenario's order."""
    return [Exchange(**json.loads(file.read_text("utf-8"))) for file in sorted(RECORDED.glob("*.json"))]


def played() -> list[Exchange]:
    """What the stand-in answers."""
    stand_in = server()

    def post(path: str, body: dict[str, Any]) -> tuple[int, Any]:
        content = json.dumps(body).encode()
        host, path = URL.removeprefix("http://"), f"/api/project/{PROJECT}/{path}"
        status, _, answer = stand_in.answer(host, path, "anna", content)
        return status, json.loads(answer) if answer else "an empty answer"

    def wait(holds: Callable[[], bool]) -> None:
        for _ in range(600):
            if holds():
                return
            stand_in.advance(1.0)
        raise AssertionError("not within ten minutes")

    return [mask(exchange) for exchange in Scenario(post, wait).play()]


def mask(exchange: Exchange) -> Exchange:
    return Exchange(exchange.name, exchange.path, exchange.status, masked(exchange.answer))


def differences(real: Exchange, other: Exchange) -> dict[str, Any]:
    """Values that differ, and paths of the real answer that the other one lacks or has with another type."""
    wanted, got = values(real), values(other)
    found = {key: (wanted[key], got.get(key)) for key in wanted if wanted[key] != got.get(key)}
    kinds = shape(other.answer)
    lacking = {path: kind for path, kind in shape(real.answer).items() if kinds.get(path) != kind}
    lacking = {path: kind for path, kind in lacking.items() if not any(part in path for part in UNKNOWN)}
    return found | ({"shape": lacking} if lacking else {})


def test_the_stand_in_answers_as_the_real_server_did() -> None:
    found = {real.name: differences(real, ours) for real, ours in zip(recorded(), played(), strict=True)}
    assert {name: differing for name, differing in found.items() if differing} == {}


@pytest.mark.server
def test_the_real_server_answers_as_recorded() -> None:
    with Sandbox(load_seconds=0.5) as sandbox:
        headers = {"Authorization": f"Bearer {sandbox.token}"}

        def post(path: str, body: dict[str, Any]) -> tuple[int, Any]:
            url = f"{sandbox.url}/api/project/{PROJECT}/{path}"
            answer = requests.post(url, json=body, headers=headers, timeout=60)
            return answer.status_code, answer.json() if answer.content else "an empty answer"

        def wait(holds: Callable[[], bool]) -> None:
            end = time.monotonic() + 300
            while not holds():
                assert time.monotonic() < end, "not within five minutes"
                time.sleep(0.5)

        now = [mask(exchange) for exchange in Scenario(post, wait).play()]
    if os.environ.get("RECORD") == "yes":
        RECORDED.mkdir(exist_ok=True)
        for number, exchange in enumerate(now):
            file = RECORDED / f"{number:02}-{exchange.name.replace(' ', '-')}.json"
            file.write_text(json.dumps(vars(exchange), indent=1) + "\n", "utf-8")
    found = {before.name: differences(before, after) for before, after in zip(recorded(), now, strict=True)}
    assert {name: differing for name, differing in found.items() if differing} == {}
