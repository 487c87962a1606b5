"""Offers that are asked for before a fleet exists, held against dstack's own plan for a fleet that does."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from dstack._internal.core.errors import ServerClientError
from dstack._internal.core.models.runs import RunSpec
from dstack._internal.server.services import backends, fleets
from dstack._internal.server.services.jobs.configurators.service import ServiceJobConfigurator
from dstack._internal.server.services.runs.plan import get_run_profile_and_requirements_in_fleet
from dstack._internal.server.services.runs.spec import validate_run_spec_and_set_defaults
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.test_documents import FLEET, SERVICE, fleet_spec, run_spec

DISTINCT = ("backends", "regions", "availability_zones", "instance_types")
assert backends  # imported first: the modules of the server import each other


def ranges(unit: str, *limits: int) -> st.SearchStrategy[str]:
    """Ranges over these limits, open or closed."""
    ends = st.tuples(st.sampled_from(limits), st.sampled_from(limits)).map(sorted)
    closed = ends.map(lambda two: f"{two[0]}{unit}..{two[1]}{unit}")
    return st.one_of(closed, st.sampled_from(limits).map(lambda low: f"{low}{unit}.."))


def some(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Mappings with any of these keys."""
    return st.fixed_dictionaries({}, optional=values)


RESOURCES = some(
    gpu=some(
        vendor=st.sampled_from(["nvidia", "amd"]),
        name=st.lists(st.sampled_from(["A40", "h100", "MI300X"]), min_size=1, max_size=2),
        memory=ranges("GB", 24, 48, 80),
        count=ranges("", 1, 2, 8),
        compute_capability=st.sampled_from([8.0, 9.0]),
    ),
    cpu=ranges("", 1, 4, 8),
    memory=ranges("GB", 8, 16, 64),
    disk=ranges("GB", 50, 100, 200),
    shm_size=st.sampled_from(["1GB", "2GB"]),
)
SHARED: dict[str, st.SearchStrategy[Any]] = {
    "backends": st.lists(st.sampled_from(["runpod", "vastai", "aws"]), min_size=1, max_size=2, unique=True),
    "regions": st.lists(st.sampled_from(["EU", "eu", "US"]), min_size=1, max_size=2),
    "availability_zones": st.lists(st.sampled_from(["a", "b"]), min_size=1, max_size=2),
    "instance_types": st.lists(st.sampled_from(["A40", "a40", "H100"]), min_size=1, max_size=2),
    "max_price": st.sampled_from([0.5, 1.0]),
    "backend_options": st.just([{"type": "vastai", "min_reliability": 0.9}])
    | st.just([{"type": "vastai", "offer_order": "price", "min_score": 3}])
    | st.just([{"type": "vastai", "offer_order": "score"}]),
}
ONCE: dict[str, st.SearchStrategy[Any]] = {
    "spot_policy": st.sampled_from(["spot", "on-demand", "auto"]),
    "reservation": st.sampled_from(["r", "s"]),
    "resources": RESOURCES,
}


def seen(spec: RunSpec, group: str | None) -> Any:
    """What dstack's server looks for when it places a replica of the group."""
    requirements = asyncio.run(ServiceJobConfigurator(spec, replica_group_name=group)._requirements(1))
    return SimpleNamespace(job_spec=SimpleNamespace(requirements=requirements))


def limits(profile: Any, requirements: Any) -> dict[str, Any]:
    """What of a profile and requirements decides on the offers."""
    fields = {field: getattr(profile, field) for field in DISTINCT}
    return {**fields, **requirements.model_dump()}


def grouped(group: dict[str, Any]) -> dict[str, Any]:
    return {"groups": [{"name": "one", "replicas": 1, "commands": ["c"]} | group]}


@given(
    service=some(**SHARED, **ONCE).map(lambda own: SERVICE | own)
    | st.tuples(some(**SHARED), some(**ONCE)).map(
        lambda two: {key: value for key, value in SERVICE.items() if key != "commands"} | two[0] | grouped(two[1])
    ),
    fleet=some(**SHARED, **ONCE),
)
@settings(max_examples=300)
def test_offers_of_any_fleet_for_what_is_asked_are_those_of_the_new_fleet(
    local: Any, service: dict[str, Any], fleet: dict[str, Any]
) -> None:
    """dstack's own plan for an existing fleet is the measure, field by field."""
    spec, rented = run_spec(service), fleet_spec(FLEET | fleet)
    group = "one" if "groups" in service else None
    try:
        validate_run_spec_and_set_defaults(SimpleNamespace(ssh_public_key="k"), spec)
        fleets._validate_fleet_spec_and_set_defaults(rented)
    except ServerClientError:
        assume(False)
    try:
        expected = limits(*get_run_profile_and_requirements_in_fleet(seen(spec, group), spec, rented))
        nothing = any(expected[field] == [] for field in DISTINCT) or expected["resources"]["gpu"]["name"] == []
    except ValueError:
        nothing = True
    conflict = local.combined.conflict(service, FLEET | fleet)
    assert bool(conflict) == nothing
    if not nothing:
        asked = run_spec(local.schema.offered(service, FLEET | fleet))
        validate_run_spec_and_set_defaults(SimpleNamespace(ssh_public_key="k"), asked)
        assert limits(asked.merged_profile, seen(asked, group).job_spec.requirements) == expected
