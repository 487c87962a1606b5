"""What generated repositories rely on in the pinned dstack. An upgrade that changes it turns these tests red."""

from __future__ import annotations

import inspect
import re
from datetime import timedelta
from typing import Any

import pytest
import yaml
from dstack._internal.core.backends.vastai import compute as vastai
from dstack._internal.core.models import configurations, fleets, instances, runs
from dstack._internal.core.models.backends.base import BackendType
from dstack._internal.core.models.common import CoreModel
from dstack._internal.core.services import is_valid_dstack_resource_name
from dstack._internal.server.background.pipeline_tasks import jobs_submitted
from dstack._internal.server.background.pipeline_tasks.common import get_provisioning_timeout
from dstack._internal.server.background.pipeline_tasks.instances.common import TERMINATION_RETRY_MAX_DURATION
from dstack._internal.server.services import gateways as gateway_services
from dstack._internal.server.services.runs import spec
from pydantic import AliasChoices

from tests.rendered import Bake


def test_what_is_changed_in_place_is_what_dstack_says(deploy: Any) -> None:
    """dstack keeps one list; the part above its comment "rolling deployment" is changed in place."""
    updatable = spec._CONF_UPDATABLE_FIELDS + spec._TYPE_SPECIFIC_CONF_UPDATABLE_FIELDS["service"]
    assert set(updatable) >= deploy.changes.IN_PLACE
    rolling = "port probes resources volumes docker files image user privileged entrypoint working_dir python nvcc"
    rest = set(updatable) - deploy.changes.IN_PLACE
    assert rest == {*rolling.split(), "single_branch", "env", "shell", "commands"}


def test_what_is_changed_in_place_at_a_gateway_is_what_dstack_says(deploy: Any) -> None:
    assert gateway_services._CONF_UPDATABLE_FIELDS == deploy.changes.GATEWAY_IN_PLACE


@pytest.mark.parametrize("name", ["a", "ab", "a" * 41, "a" * 42, "Ab", "1a", "a-b", "a_b", "-a"])
def test_names_are_accepted_as_dstack_accepts_them(deploy: Any, name: str) -> None:
    assert bool(deploy.environments.DSTACK_NAME.fullmatch(name)) == is_valid_dstack_resource_name(name)


def test_statuses_and_reasons_are_spelled_as_dstack_spells_them(deploy: Any) -> None:
    finished = {status.value for status in runs.RunStatus.finished_statuses()}
    assert finished == deploy.dstack.answers.FINISHED
    available = {one.value for one in instances.InstanceAvailability if one.is_available()}
    assert available == deploy.dstack.answers.AVAILABLE
    reasons = {reason.value for reason in runs.JobTerminationReason}
    assert {"container_exited_with_error", "failed_to_start_due_to_no_capacity"} <= reasons
    assert "Secrets interpolation error" in inspect.getsource(jobs_submitted)


def test_what_offers_are_held_against_is_what_dstack_asks_of_clouds(capacity: Any) -> None:
    """Literals in its code of Vast.ai; RunPod's hosts are asked for the same CUDA."""
    asked = inspect.getsource(vastai)
    assert f'"cuda_max_good": {{"gte": {capacity.problems.HOST_CUDA}}}' in asked
    assert f'"inet_down": {{"gt": {capacity.problems.DOWNLOAD_MBIT}}}' in asked
    for cloud, minutes in capacity.problems.START_MINUTES.items():
        assert get_provisioning_timeout(BackendType(cloud), "") == timedelta(minutes=minutes)


def test_dstack_tries_to_release_a_machine_for_longer_than_a_destroy_waits(deploy: Any) -> None:
    assert timedelta(minutes=15) == TERMINATION_RETRY_MAX_DURATION  # docs/runbook/orphaned-machine.md says so
    assert timedelta(seconds=deploy.environments.Timeouts().stop) < TERMINATION_RETRY_MAX_DURATION


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        ("Run", runs.Run),
        ("RunPlan", runs.RunPlan),
        ("Job", runs.Job),
        ("Submission", runs.JobSubmission),
        ("Machine", runs.JobProvisioningData),
        ("Machine", instances.InstanceOfferWithAvailability),
        ("Gpu", instances.Gpu),
        ("ResourcePlan", fleets.FleetPlan),
    ],
)
def test_every_field_that_is_read_is_one_that_dstack_sends(deploy: Any, answer: str, model: type[CoreModel]) -> None:
    schema = model.model_json_schema(mode="serialization")
    optional = {"availability"} if model is runs.JobProvisioningData else set()
    for name, field in getattr(deploy.dstack.answers, answer).model_fields.items():
        paths = [path for path in aliases(field.validation_alias or name) if sent(schema, schema, path)]
        assert paths or name in optional, f"{answer}.{name}"


def aliases(alias: Any) -> list[list[str]]:
    """Where pydantic looks for a field: paths of keys, without indices."""
    match alias:
        case str():
            return [[alias]]
        case AliasChoices():
            return [path for choice in alias.choices for path in aliases(choice)]
        case _:
            return [[part for part in alias.path if isinstance(part, str)]]


def sent(schema: Any, at: Any, path: list[str]) -> bool:
    """Whether a JSON schema has something at `path`, through references, unions and lists."""
    if "$ref" in at:
        return sent(schema, schema["$defs"][at["$ref"].rsplit("/", 1)[1]], path)
    if not path:
        return True
    branches = [*at.get("anyOf", []), *at.get("allOf", []), *([at["items"]] if "items" in at else [])]
    below = at.get("properties", {}).get(path[0])
    return any(sent(schema, branch, path) for branch in branches) or (
        below is not None and sent(schema, below, path[1:])
    )


@pytest.mark.parametrize("row", [0, 1, 2])
def test_every_documented_variant_of_the_gateway_is_accepted_by_dstack(deploy: Any, baked: Bake, row: int) -> None:
    """The table's cells, as somebody copies them into an environment's file."""
    table = (baked() / "docs" / "production.md").read_text("utf-8").split("| variant |")[1]
    written = yaml.safe_load("\n".join(re.findall(r"`((?:gateway|dns): \{[^`]*)`", table.splitlines()[2 + row])))
    merged = deploy.environments.merge(
        yaml.safe_load((baked() / "dstack" / "gateway.dstack.yml").read_text("utf-8")), written["gateway"]
    )
    assert configurations.parse_apply_configuration(merged).type == "gateway"
    dns = deploy.environments.Dns(**written.get("dns", {"vpc_id": "vpc-1"}))
    service, fleet = {"type": "service", "gateway": "g"}, {"type": "fleet", "nodes": "0..3"}
    assert deploy.documents.checks.first_problem(service, fleet, merged, dns) is None
