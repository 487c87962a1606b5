"""The changes to environments/prod.yml that docs/runbook/ names: each can be deployed, in the file as generated."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import VARIABLES, read_yaml

from console.errors import Failure
from deploy.changes import IN_PLACE
from deploy.documents import schema
from deploy.environments import Environment, load, merge

IN_PLACE_REPAIRS: dict[str, dict[str, Any]] = {
    "no replica": {"service": {"replicas": 0, "scaling": None}},
    "a fixed number": {"service": {"replicas": 2, "scaling": None}},
    "more replicas at least": {"service": {"replicas": "2..4"}},
    "more replicas at most": {"service": {"replicas": "1..6"}, "fleet": {"nodes": "0..8"}},
    "a higher limit for the price": {"max_price_per_hour": 9.5},
    "two instances of the gateway": {"gateway": {"replicas": 2}},
    "recovery without a person": {"recovery": "automatic"},
}


def edited(root: Path, changes: dict[str, Any]) -> Environment:
    path = root / "environments" / "prod.yml"
    written = merge(read_yaml(path), {name: value for name, value in changes.items() if name != "service"})
    service = written["service"] | changes.get("service", {})  # as somebody types it: null stays in the file
    path.write_text(yaml.safe_dump(written | {"service": service}), "utf-8")
    return load("prod", root, VARIABLES)


@pytest.mark.parametrize("repair", IN_PLACE_REPAIRS)
def test_a_repair_of_the_runbook_is_taken_and_replaces_no_replica(root: Path, prod: Environment, repair: str) -> None:
    after = edited(root, IN_PLACE_REPAIRS[repair])
    schema.check(after)
    keys = prod.service.keys() | after.service.keys()
    assert {key for key in keys if prod.service.get(key) != after.service.get(key)} <= IN_PLACE
    assert after != prod


def test_a_fixed_number_beside_scaling_is_refused_with_the_reason(root: Path) -> None:
    with pytest.raises(Failure, match="To use `scaling`, `replicas` must be set to a range"):
        schema.check(edited(root, {"service": {"replicas": 0}}))
