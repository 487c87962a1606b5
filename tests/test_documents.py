"""What generated repositories refuse of a document, held against the installed dstack."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from dstack._internal.core.backends.base.compute import ComputeWithGatewaySupport, ComputeWithPrivateGatewaySupport
from dstack._internal.core.backends.configurators import list_available_configurator_classes
from dstack._internal.core.errors import ServerClientError
from dstack._internal.core.models.configurations import ServiceConfiguration
from dstack._internal.core.models.fleets import FleetSpec
from dstack._internal.core.models.gateways import GatewaySpec
from dstack._internal.core.models.runs import JobSpec, RunSpec
from dstack._internal.server.services import backends, fleets, gateways
from dstack._internal.server.services.jobs import interpolate_job_spec_secrets
from dstack._internal.server.services.runs.spec import validate_run_spec_and_set_defaults
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from tests.rendered import Bake, different_models

SERVICE: dict[str, Any] = {"type": "service", "name": "a-b", "commands": ["c"], "port": 8000}
FLEET: dict[str, Any] = {"type": "fleet", "name": "a-b", "nodes": "0..3"}
GATEWAY: dict[str, Any] = {"type": "gateway", "name": "a-b", "backend": "aws", "region": "r", "domain": "a.test"}
PROFILE = {"name": "default"}
assert backends  # imported first: the modules of the server import each other
PARTS = [
    "$",
    "$$",
    "${{",
    "}}",
    " ",
    "secrets.a",
    "secrets.",
    "secret.a",
    "env.A",
    "a",
    ".",
    "-",
    "groups[0].replicas[0].IP_ADDRESS",
]


def run_spec(document: dict[str, Any]) -> RunSpec:
    return RunSpec.model_validate({"run_name": document["name"], "configuration": document, "profile": PROFILE})


def fleet_spec(document: dict[str, Any]) -> FleetSpec:
    return FleetSpec.model_validate({"configuration": document, "profile": PROFILE})


def test_secrets_are_filled_in_where_dstack_fills_them_in() -> None:
    """Every text of a replica's specification is a reference; only `env` and `registry_auth` change."""
    reference = "${{ secrets.a }}"
    texts = dict.fromkeys(("job_name", "image_name", "working_dir", "home_dir"), reference)
    requirements: dict[str, Any] = {"resources": {}, "max_price": None, "spot": None}
    document: dict[str, Any] = texts | {"commands": [reference], "env": {"A": reference}, "requirements": requirements}
    document |= {"job_num": 0, "replica_num": 0, "registry_auth": {"username": reference, "password": reference}}
    probe = {"type": "http", "url": reference, "timeout": 1, "interval": 1, "ready_after": 1, "method": "get"}
    document |= {"app_specs": [], "probes": [probe], "user": None, "max_duration": None, "retry": None}
    spec = JobSpec.model_validate(document)
    before = spec.model_dump()
    interpolate_job_spec_secrets(spec, {"a": "known"})
    changed = {key for key, value in spec.model_dump().items() if value != before[key]}
    assert changed == {"env", "registry_auth"}


@given(text=st.lists(st.sampled_from(PARTS), max_size=9).map("".join))
@example(text="$a $${{ secret.a }}")
@example(text="$${{ secret.a }} ${{ secrets.a }}")
@settings(max_examples=400)
def test_a_variable_is_refused_where_dstack_would_end_the_run(local: Any, text: str) -> None:
    environment = {"env": {"A": text}}
    spec = SimpleNamespace(env={"A": text}, registry_auth=None)
    present = dict.fromkeys(local.references.referred(environment), "x")
    try:
        interpolate_job_spec_secrets(spec, present)
        ends = False
    except ValueError:
        ends = True
    assert (local.references.first_wrong("service", environment) is not None) == ends


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"retry": {"duration": -1}},
        {"retry": {"duration": "1h"}},
        {"volumes": ["a:/x"]},
        {"volumes": ["a:/x y"]},
        {"volumes": ["a:/"]},
        {"probes": [{"type": "http", "url": f"/{n}"} for n in range(10)]},
        {"probes": [{"type": "http", "url": f"/{n}"} for n in range(11)]},
        {"probes": [{"type": "http", "timeout": "5m"}]},
        {"probes": [{"type": "http", "timeout": "301s"}]},
        {"utilization_policy": {"min_gpu_utilization": 1, "time_window": "1h"}},
        {"utilization_policy": {"min_gpu_utilization": 1, "time_window": "2h"}},
        {"replicas": "0..1", "scaling": {"metric": "rps", "target": 1}, "schedule": {"cron": "0 8 * * *"}},
        {"replicas": "1..2", "scaling": {"metric": "rps", "target": 1}, "schedule": {"cron": "0 8 * * *"}},
        {"resources": {"gpu": "amd:1"}},
        {"resources": {"gpu": "MI300X"}},
        {"resources": {"gpu": "H100"}},
        {"resources": {"gpu": "NOBODYKNOWS"}},
        {"resources": {"gpu": "tpu"}},
        {"resources": {"gpu": "amd:0"}},
        {"resources": {"gpu": "MI300X"}, "image": "a/b"},
        {"resources": {"gpu": "MI300X"}, "docker": True},
        {"resources": {"cpu": "arm:2"}},
        {"resources": {"cpu": "arm:2"}, "image": "a/b"},
        {"resources": {"cpu": "arm:2"}, "docker": True},
        {"commands": None, "groups": [{"replicas": 1, "commands": ["a"], "resources": {"gpu": "MI300X"}}]},
        {"commands": None, "groups": [{"replicas": 1, "image": "a/b", "resources": {"gpu": "MI300X"}}]},
        {
            "commands": None,
            "groups": [{"replicas": 1, "docker": True, "commands": ["a"], "resources": {"cpu": "arm:2"}}],
        },
        {"commands": None, "image": "a/b", "groups": [{"replicas": 1, "resources": {"cpu": "arm:2"}}]},
        {"commands": ["a ${{ groups[0].replicas[0].IP_ADDRESS }}"]},
        {"commands": ["a ${{ groups[0].replicas[1].IP_ADDRESS }}"]},
        {"commands": ["a ${{ groups[1].replicas[0].IP_ADDRESS }}"]},
        {"commands": ["a ${{ groups[0].nodes[0].IP_ADDRESS }}"]},
        {"commands": ["a ${{ groups[0].IP }}"]},
        {"commands": ["a $${{ groups[0].IP }}"], "entrypoint": None},
        {"env": {"A": "${{ groups[0].replicas[0].IP_ADDRESS }}"}},
    ],
)
def test_a_service_is_refused_where_the_server_refuses_it(local: Any, changes: dict[str, Any]) -> None:
    document = {key: value for key, value in (SERVICE | changes).items() if value is not None}
    try:
        validate_run_spec_and_set_defaults(SimpleNamespace(ssh_public_key="k"), run_spec(document))
        refused = False
    except ServerClientError:
        refused = True
    wrong = local.references.first_wrong("service", document)
    if not refused and wrong and "only `dstack apply` replaces" in wrong.text:
        return  # an escape, which nobody would take away
    assert bool(wrong or local.server_rules.first_problem("service", document)) == refused


@pytest.mark.parametrize(
    "changes", [{}, {"env": {"A": "b"}}, {"ssh_config": {"hosts": ["a"]}}, {"blocks": 2}, {"reservation": "a"}]
)
def test_a_fleet_is_refused_where_the_server_refuses_it(local: Any, changes: dict[str, Any]) -> None:
    try:
        fleets._validate_fleet_spec_and_set_defaults(fleet_spec(FLEET | changes))
        refused = False
    except ServerClientError:
        refused = True
    assert bool(local.server_rules.first_problem("fleet", FLEET | changes)) == refused


@given(
    changes=st.fixed_dictionaries(
        {
            "backend": st.sampled_from(["aws", "gcp", "runpod"]),
            "public_ip": st.booleans(),
            "replicas": st.sampled_from([None, 1, 2, 9, 10]),
            "load_balancer": st.sampled_from([None, {"type": "alb"}]),
            "certificate": st.sampled_from(
                [None, {"type": "lets-encrypt"}, {"type": "acm", "arn": "a"}, {"type": "gcp-cm", "name": "a"}]
            ),
        }
    )
)
@settings(max_examples=300)
def test_a_gateway_is_refused_where_the_server_refuses_it(local: Any, changes: dict[str, Any]) -> None:
    assume(changes["backend"] in {configurator.TYPE.value for configurator in list_available_configurator_classes()})
    document = GATEWAY | changes
    try:
        gateways._validate_gateway_configuration(GatewaySpec.model_validate({"configuration": document}).configuration)
        refused = False
    except ServerClientError:
        refused = True
    assert bool(local.server_rules.first_problem("gateway", document)) == refused


def test_clouds_with_gateways_are_those_of_dstack(local: Any) -> None:
    """As far as the libraries of a cloud are installed here."""
    for configurator in list_available_configurator_classes():
        compute, cloud = configurator.BACKEND_CLASS.COMPUTE_CLASS, configurator.TYPE.value
        rules = local.server_rules
        assert issubclass(compute, ComputeWithGatewaySupport) == (cloud in rules.GATEWAY_CLOUDS), cloud
        assert issubclass(compute, ComputeWithPrivateGatewaySupport) == (cloud in rules.PRIVATE_GATEWAY_CLOUDS), cloud


@pytest.mark.parametrize("model_id", [*different_models(), "somebody/Chat-70B"])
def test_every_model_is_deployed_by_documents_that_dstack_takes(local: Any, baked: Bake, model_id: str) -> None:
    """In each environment that comes with the repository."""
    project = baked(model_id=model_id)
    model = yaml.safe_load((project / "dstack" / "service.dstack.yml").read_text("utf-8")).get("model")
    for path in (project / "environments").glob("*.yml"):
        variables = {"DSTACK_TOKEN": "t"} | (
            {} if "url" in yaml.safe_load(path.read_text("utf-8"))["server"] else {"DSTACK_SERVER_URL": "http://a"}
        )
        environment = local.environments.load(path.stem, project, variables)
        if model is None:  # these modules are a chat's, which demand the key
            environment.service["model"] = "a/b"
        local.schema.check(environment)
        asked = ServiceConfiguration.model_validate(local.schema.offered(environment.service, environment.fleet))
        assert asked.backends


def test_an_environment_is_loaded_without_dstack(baked: Bake) -> None:
    """`inv status`, `logs` and `destroy` do not pay the second that its models take."""
    code = "import sys; from deploy import api, environments, rollout; from operate import doctor, status\n"
    code += "environments.load('dev', variables={'DSTACK_TOKEN': 't'})\n"
    code += "print(sorted(name for name in sys.modules if name.split('.')[0] == 'dstack'))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(baked()), capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
