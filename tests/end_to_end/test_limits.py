"""The offer that is shown is the offer that is rented, and none that costs more than the limit."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox import Sandbox
from tests.end_to_end.conftest import Make
from tests.end_to_end.project import refused


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        # the clouds have an A40 for 0.40, and the fleet none of them
        ("narrow", {"fleet": {"resources": {"gpu": "H100"}}}, "the cheapest offer is $1.89 an hour"),
        ("regions", {"fleet": {"regions": ["nowhere-1"]}}, "fleet.regions"),
        ("types", {"service": {"instance_types": ["gh200-of-nobody"]}}, "service.instance_types"),
    ],
)
def test_a_new_fleets_own_limits_count_before_anything_is_rented(
    make: Make, sandbox: Sandbox, name: str, settings: dict[str, Any], said: str
) -> None:
    environment = make(name, max_price_per_hour=0.9, **settings)
    before = sandbox.calls(writes=True)
    refused(environment.inv("deploy", "--yes"), 26, said)
    assert sandbox.calls(writes=True) == before
    assert environment.inv("destroy", "--dry-run").stdout.endswith("nothing that is billed for it\n")


def test_dstack_itself_keeps_to_the_limit_when_the_offers_change_meanwhile(make: Make, sandbox: Sandbox) -> None:
    """What is planned is sold out a moment later, and the next offer costs more than the limit."""
    environment = make("limited", max_price_per_hour=0.45, timeouts={"capacity": 20, "ready": 60})
    assert "runpod" in environment.inv("plan").stdout
    sandbox.faults.add(
        "error", "runpod", status=400, route="POST /v2/pods"
    )  # offers are listed, and nothing can be rented
    refused(environment.inv("deploy", "--yes"), 26, "stopped")
    assert environment.machines() == []
    assert [call for call in sandbox.calls(writes=True) if "asks" in call.path and "limited" in str(call)] == []
