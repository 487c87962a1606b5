"""What service and fleet allow together, as dstack's server combines the two."""

from __future__ import annotations

from typing import Any

import pytest

from console.errors import Failure
from deploy.documents.schema import narrowing, offered
from deploy.environments import Environment

SERVICE: dict[str, Any] = {"type": "service", "name": "a-b", "image": "a/b", "commands": ["c"], "port": 8000}
FLEET: dict[str, Any] = {"type": "fleet", "name": "a-b", "nodes": "0..3"}
GROUPED = {key: value for key, value in SERVICE.items() if key != "commands"}


@pytest.mark.parametrize(
    ("service", "fleet", "said"),
    [
        ({"spot_policy": "spot"}, {}, "service.spot_policy: 'spot', and fleet.spot_policy: on-demand (the default)"),
        ({}, {"spot_policy": "spot"}, "service.spot_policy: on-demand (the default), and fleet.spot_policy: 'spot'"),
        (
            {"backends": ["vastai"]},
            {"backends": ["runpod"]},
            "service.backends: ['vastai'], and fleet.backends: ['runpod']",
        ),
        ({"regions": ["EU"]}, {"regions": ["US"]}, "service.regions: ['EU'], and fleet.regions: ['US']"),
        ({"instance_types": ["a"]}, {"instance_types": ["b"]}, "service.instance_types"),
        ({"availability_zones": ["a"]}, {"availability_zones": ["b"]}, "service.availability_zones"),
        ({"reservation": "a"}, {"reservation": "b"}, "service.reservation: 'a', and fleet.reservation: 'b'"),
        (
            {"backend_options": [{"type": "vastai", "offer_order": "price"}]},
            {"backend_options": [{"type": "vastai", "offer_order": "score"}]},
            "service.backend_options",
        ),
        ({"resources": {"gpu": "A40"}}, {"resources": {"gpu": "H100"}}, "service.resources.gpu: 'A40', and fleet"),
        ({"resources": {"gpu": "24GB..48GB"}}, {"resources": {"gpu": "80GB.."}}, "service.resources.gpu"),
        ({"resources": {"disk": "200GB.."}}, {"resources": {"disk": "..100GB"}}, "service.resources.disk"),
        ({"resources": {"cpu": "2..4"}}, {"resources": {"cpu": "8.."}}, "service.resources.cpu"),
        ({"resources": {"memory": "..8GB"}}, {"resources": {"memory": "16GB.."}}, "service.resources.memory"),
    ],
)
def test_a_field_with_nothing_in_common_is_named_with_both_values(
    service: dict[str, Any], fleet: dict[str, Any], said: str
) -> None:
    with pytest.raises(Failure) as refused:
        offered(SERVICE | service, FLEET | fleet)
    assert said in str(refused.value)


def test_a_group_that_the_fleet_can_not_run_is_named() -> None:
    groups = [{"replicas": 1, "commands": ["c"]}, {"replicas": 1, "commands": ["c"], "spot_policy": "spot"}]
    with pytest.raises(Failure, match=r"service\.groups\[1\]\.spot_policy: 'spot', and fleet\.spot_policy: on-demand"):
        offered(GROUPED | {"groups": groups}, FLEET)


def test_offers_are_asked_for_with_the_limits_of_both() -> None:
    service = SERVICE | {
        "backends": ["runpod", "vastai"],
        "max_price": 2,
        "resources": {"gpu": "24GB..80GB", "disk": "50GB.."},
    }
    fleet = FLEET | {"backends": ["vastai"], "max_price": 1.5, "resources": {"gpu": "H100", "disk": "100GB.."}}
    found = offered(service, fleet | {"spot_policy": "auto", "regions": ["EU"]})
    assert (found["backends"], found["max_price"], found["regions"]) == (["vastai"], 1.5, ["EU"])
    assert found["spot_policy"] == "on-demand"
    gpu = found["resources"]["gpu"]
    assert (gpu["name"], gpu["memory"], gpu["count"]) == (["H100"], {"min": 24, "max": 80}, {"min": 1, "max": None})
    assert found["resources"]["disk"] == {"size": {"min": 100, "max": None}}
    assert found.items() >= {key: SERVICE[key] for key in ("name", "image", "commands", "port")}.items()
    assert service["resources"] == {"gpu": "24GB..80GB", "disk": "50GB.."}  # as it was


def test_each_group_is_asked_for_with_the_limits_of_the_fleet() -> None:
    groups = [{"replicas": 1, "commands": ["c"], "resources": {"gpu": gpu}} for gpu in ("24GB..", "80GB..")]
    for written in ({"groups": groups}, {"replicas": groups}):
        service = GROUPED | written | {"reservation": "r", "spot_policy": "spot"}
        found = offered(service, FLEET | {"resources": {"gpu": "48GB.."}, "spot_policy": "auto"})
        assert [group["resources"]["gpu"]["memory"]["min"] for group in found["groups"]] == [48, 80]
        assert [(group["spot_policy"], group["reservation"]) for group in found["groups"]] == [("spot", "r")] * 2
        assert not found.keys() & {"spot_policy", "reservation"}  # dstack takes them only at one level


def test_the_repositorys_own_documents_agree(environment: Environment) -> None:
    assert offered(environment.service, environment.fleet)["backends"] == environment.service["backends"]


@pytest.mark.parametrize(
    ("service", "fleet", "expected"),
    [
        ({}, {}, ()),
        ({"regions": ["EU"]}, {"max_price": 1}, ("service.regions", "fleet.max_price")),
        ({"instance_types": ["a"], "reservation": "r"}, {}, ("service.instance_types", "service.reservation")),
        ({"privileged": True, "docker": False}, {}, ("service.privileged",)),
        ({"volumes": ["a:/a"]}, {}, ("service.volumes",)),
        ({"volumes": [{"instance_path": "/a", "path": "/a", "optional": True}]}, {}, ()),
        ({"spot_policy": "spot"}, {"spot_policy": "auto"}, ("service.spot_policy",)),
        ({"backend_options": [{"type": "vastai", "min_reliability": 0.99}]}, {}, ("service.backend_options",)),
        ({"backend_options": [{"type": "vastai", "offer_order": "price"}]}, {}, ()),
        ({"instances": ["a"], "creation_policy": "reuse"}, {}, ("service.instances", "service.creation_policy")),
        ({"groups": [{"privileged": True}]}, {}, ("service.groups[0].privileged",)),
        ({}, {"resources": {"gpu": 1}, "blocks": 2}, ("fleet.resources", "fleet.blocks")),
    ],
)
def test_what_narrows_the_offers_is_named(
    service: dict[str, Any], fleet: dict[str, Any], expected: tuple[str, ...]
) -> None:
    assert narrowing(service, fleet) == expected
