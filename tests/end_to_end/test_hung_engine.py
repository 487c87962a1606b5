"""An engine that hangs while its replica's /health stays 200: only that replica is replaced."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.end_to_end.behind import Behind
from tests.sandbox.deployment import wait_for

pytestmark = pytest.mark.gateway
HANG_SECONDS = 15  # the default is 120


def test_one_of_two_engines_that_hangs_is_replaced_alone(
    project: Path, vpc: Sandbox, record_property: Callable[[str, object], None]
) -> None:
    chat = Behind(project, vpc, "hang")
    chat.write(service={"env": {"HANG_SECONDS": str(HANG_SECONDS)}})
    chat.settle(replicas=2)
    chat.deploy()
    hung, healthy = chat.machines()
    with chat.load(callers=4) as answers:
        wait_for(lambda: len(answers) > 20, 60)
        assert not [answer.failure for answer in answers if answer.failure]
        vpc.hang_engine(hung)
        began = time.monotonic()
        wait_for(lambda: hung not in chat.machines(), 180)
        ended = time.monotonic()
        wait_for(lambda: len(chat.machines()) == 2 and len(chat.ready()) == 2, 240)
        replaced = time.monotonic()
        wait_for(lambda: sum(answer.began > replaced for answer in answers) > 20, 60)
    lost = [answer for answer in answers if answer.failure]
    measured = {
        "requests": len(answers),
        "requests lost": len(lost),
        "seconds until the hung replica ended": round(ended - began),
        "seconds until two replicas were ready": round(replaced - began),
        "seconds to the last lost request": round(max((answer.ended for answer in lost), default=began) - began),
    }
    print(measured, {answer.failure for answer in lost})
    for name, value in measured.items():
        record_property(name, value)
    assert healthy in chat.machines()
    assert chat.status()["deployment"] == 0
    assert not [answer.failure for answer in lost if answer.began > replaced]
