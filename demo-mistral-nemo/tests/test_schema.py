"""What dstack would refuse, now or when it makes a replica, is refused here: with file, key and what to write."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import VARIABLES, Write

from console.errors import ExitCode, Failure
from deploy.documents import schema
from deploy.environments import ROOT, Environment, load
from operate import doctor

RUN = ["vllm serve a/b --port 8000"]
GROUPS = {"replicas": None, "commands": None, "spot_policy": None}


def check(root: Path, **documents: Any) -> Environment:
    """Check `dev` with these documents over those of the repository."""
    settings = {"server": {"project": "p"}, **documents}
    (root / "environments" / "dev.yml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    environment = load("dev", root, VARIABLES)
    schema.check(environment)
    return environment


def refusal(root: Path, **documents: Any) -> str:
    """Return the one line with which the check fails."""
    with pytest.raises(Failure) as refused:
        check(root, **documents)
    assert refused.value.code == ExitCode.SETTINGS_INVALID
    assert "\n" not in str(refused.value)
    assert str(refused.value).startswith("environments/dev.yml over dstack/")
    return str(refused.value)


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "environments").glob("*.yml")))
def test_every_environment_of_this_repository_is_taken(name: str) -> None:
    written = yaml.safe_load((ROOT / "environments" / f"{name}.yml").read_text(encoding="utf-8"))["server"]
    variables = {"DSTACK_TOKEN": "t"} | ({} if "url" in written else {"DSTACK_SERVER_URL": "http://127.0.0.1:1"})
    schema.check(load(name, ROOT, variables))


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"replica": 2}, "service.replica: dstack has no such key; did you mean replicas?"),
        (
            {"resources": {"gpu": {"nam": "A40"}}},
            "service.resources.gpu.nam: dstack has no such key; did you mean name?",
        ),
        ({"spot_policy": "sport"}, "service.spot_policy: Input should be 'spot', 'on-demand' or 'auto', is 'sport'"),
        ({"probes": [{"type": "http", "url": "health"}]}, "service.probes[0].url: Must start with `/`"),
        ({"registry_auth": {"username": "a"}}, "service.registry_auth.password: is missing"),
        ({"volumes": "data-${{ dstack.job_num }}"}, "service.volumes: Input should be a valid list"),
        ({"probes": "x"}, "service.probes: Input should be a valid list, is 'x'"),
        ({"tags": 3}, "service.tags: dstack can't read 3"),
        ({"backends": [["runpod"]]}, "service.backends[0]: Input should be"),
        ({"replicas": [1]}, "service.replicas[0]: Input should be a valid dictionary"),
        ({"replicas": None, "groups": 3}, "service.groups: Input should be a valid list, is 3"),
        ({"env": {"A": True}}, 'service.env.A: is true, and a variable is text; write it in quotes, e.g. A: "true"'),
        ({"env": {"A": [1]}}, "service.env.A: is [1], and a variable is text; write it in quotes"),
        ({"env": {"A": float("nan")}}, "service.env.A: nan can't be sent to dstack; write it in quotes"),
        ({"env": {"A": "a\0"}}, "service.env.A: has a character that can't be sent"),
        ({"commands": ["a\0b"]}, "service.commands[0]: has a character that can't be sent"),
        ({"env": {"A=B": "a"}}, "service.env: 'A=B' is not a name of a variable"),
        ({"env": {"": "a"}}, "service.env: '' is not a name of a variable"),
        ({"env": {1: "a"}}, "service.env: the key 1 is not text; write it in quotes"),
        ({"env": {"A": b"a"}}, "service.env.A: a value of type bytes can't be sent"),
        ({"tags": {"a": {1, 2}}}, "service.tags.a: a value of type set can't be sent"),
        ({"env": {"A": "\ud800"}}, "service.env.A: has a character that can't be sent"),
    ],
)
def test_what_dstacks_models_refuse_is_named_with_its_key(root: Path, service: dict[str, Any], said: str) -> None:
    assert said in refusal(root, service=service)


def test_a_variable_without_a_value_in_the_service_file_is_named(root: Path) -> None:
    path = root / "dstack" / "service.dstack.yml"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump(document | {"env": {"HF_TOKEN": None}}), encoding="utf-8")
    assert "service.env.HF_TOKEN: is null, and a variable is text" in refusal(root)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"files": ["a.txt:/a.txt"]}, "service.files: only `dstack apply` uploads files"),
        ({"repos": ["."]}, "service.repos: only `dstack apply` sends a repository"),
        ({"working_dir": "app"}, "service.working_dir: must be absolute, is 'app'; write e.g. /workspace"),
    ],
)
def test_what_only_dstack_apply_does_is_refused_by_name(root: Path, service: dict[str, Any], said: str) -> None:
    assert said in refusal(root, service=service)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"probes": [{"type": "http", "url": f"/{n}"} for n in range(11)]}, "service.probes: has 11 probes"),
        ({"probes": [{"type": "http", "timeout": "10m"}]}, "service.probes[0].timeout: is 600 s"),
        ({"entrypoint": "sh 'a"}, "service.entrypoint: can't be split into words"),
        ({"retry": {"duration": -1}}, "service.retry.duration: must not be negative"),
        ({"volumes": ["a:/x", "a:/y"]}, "service.volumes: a is mounted twice"),
        ({"volumes": ["a:/x//y"]}, None),
        (
            {"image": None, "resources": {"gpu": {"vendor": "amd", "compute_capability": None}}},
            "service.image: is missing",
        ),
        ({"commands": ["ping ${{ groups[1].replicas[0].IP_ADDRESS }}"]}, "service.commands[0]: Invalid reference"),
        ({"commands": ["ping ${{ groups[0].nodes[0].IP_ADDRESS }}"]}, "service.commands[0]: Illegal reference"),
        ({"commands": ["ping ${{ groups[0].replicas[0].IP_ADDRESS }}"]}, None),
    ],
)
def test_what_the_server_refuses_later_is_refused_here(root: Path, service: dict[str, Any], said: str | None) -> None:
    if said is None:
        check(root, service=service)
    else:
        assert said in refusal(root, service=service)


@pytest.mark.parametrize(
    ("service", "said"),
    [
        ({"env": {"A": "${{ secret.a }}"}}, "service.env.A: dstack does not know ${{ secret.a }}"),
        (
            {"spot_policy": "spot"},
            "service.spot_policy: 'spot', and fleet.spot_policy: 'on-demand' have nothing in common",
        ),
        ({"backends": ["aws"]}, "service.backends: ['aws'], and fleet.backends"),
        ({"resources": {"cpu": "arm:2.."}, "docker": True, "image": None}, "service.docker: dstack has Docker on x86"),
    ],
)
def test_references_and_the_fleets_limits_are_checked(root: Path, service: dict[str, Any], said: str) -> None:
    assert said in refusal(root, service=service)


def test_a_list_of_variables_is_refused(environment: Environment) -> None:
    """dstack takes A without a value in a list from the shell of whoever runs `dstack apply`."""
    with pytest.raises(Failure, match=r"service\.env: must be a mapping, is \['A'\]"):
        schema.check(replace(environment, service=environment.service | {"env": ["A"]}))


@pytest.mark.parametrize(
    ("fleet", "said"),
    [
        ({"nodez": 3}, "fleet.nodez: dstack has no such key; did you mean nodes?"),
        ({"nodes": {"min": 0, "max": 3, "target": 2}}, "fleet.nodes.target: must be 0"),
        ({"ssh_config": {"hosts": ["a"]}}, "fleet.ssh_config"),
        ({"env": {"A": "b"}}, "fleet.env"),
    ],
)
def test_a_wrong_fleet_is_named_with_its_key(root: Path, fleet: dict[str, Any], said: str) -> None:
    assert said in refusal(root, fleet=fleet)


@pytest.mark.parametrize(
    ("gateway", "said"),
    [
        ({"backend": "runpod"}, "gateway.backend: dstack has no gateways on runpod"),
        ({"backend": "azure"}, "gateway.public_ip: dstack has no private gateways on azure"),
        ({"replicas": 10}, "gateway.replicas: is 10, and dstack takes at most 9"),
        ({"certificate": {"type": "lets-encrypt"}}, "gateway.certificate: lets-encrypt needs a public address"),
        (
            {"certificate": {"type": "lets-encrypt"}, "public_ip": True, "replicas": 2},
            "lets-encrypt works with one replica",
        ),
        (
            {"certificate": {"type": "lets-encrypt"}, "public_ip": True, "load_balancer": {"type": "alb"}},
            "gateway.certificate: a load balancer on aws does not take lets-encrypt; write null or",
        ),
        ({"instance": "t3.small"}, "gateway.instance: dstack has no such key; did you mean instance_type?"),
    ],
)
def test_a_wrong_gateway_is_named_with_its_key(root: Path, gateway: dict[str, Any], said: str) -> None:
    assert said in refusal(root, gateway={"domain": "ai.test"} | gateway, dns={"vpc_id": "v"})


def test_https_without_a_line_is_true_behind_a_gateway_and_needs_a_certificate(root: Path) -> None:
    documents = {"gateway": {"domain": "ai.test"}, "dns": {"vpc_id": "v"}, "service": {"https": None}}
    assert "service.https: null means true" in refusal(root, **documents)


def without_model(root: Path, monkeypatch: pytest.MonkeyPatch, *, kind: str, model: Any = None) -> None:
    """Take the model's name out of the service of a model of this kind."""
    path, served = root / "dstack" / "service.dstack.yml", root / "model.json"
    document = yaml.safe_load(path.read_text(encoding="utf-8"))
    path.write_text(yaml.safe_dump({**document, "model": model}), encoding="utf-8")
    served.write_text(json.dumps({"kind": kind, "model": "a/b"}), encoding="utf-8")
    monkeypatch.setattr("capacity.served.PATH", served)


@pytest.mark.parametrize("model", [None, "", {}])
def test_a_chat_service_without_a_model_is_refused_before_it_is_rented_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, model: Any
) -> None:
    without_model(root, monkeypatch, kind="chat", model=model)
    assert "service.model: " in refusal(root)
    assert load("dev", root, VARIABLES)  # `inv destroy` still ends it


def test_a_service_that_draws_has_no_model_key(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    without_model(root, monkeypatch, kind="pictures")
    assert check(root).service["model"] is None
    without_model(root, monkeypatch, kind="paintings")
    assert "capacity/model.json: kind 'paintings'" in refusal(root)


def test_a_service_of_groups_needs_room_for_all_of_them(root: Path) -> None:
    groups = [{"name": name, "replicas": 2, "commands": RUN} for name in ("small", "big")]
    service = GROUPS | {"groups": groups}
    assert "fleet.nodes: 0..4 is too small for the 4 replicas of service.groups" in refusal(
        root, service=service, fleet={"nodes": "0..4"}
    )
    check(root, service=service, fleet={"nodes": "0..5"})
    written_before = {"replicas": [{"count": 4, "commands": RUN}], "commands": None, "spot_policy": None}
    assert "write 0..5" in refusal(root, service=written_before, fleet={"nodes": "0..4"})
    groups[0]["replicas"] = True
    assert "service.groups: True is not a number or a range" in refusal(root, service=service)


def test_groups_scale_behind_a_gateway_only(root: Path) -> None:
    scaling = {"metric": "rps", "target": 5}
    group = {"replicas": "1..2", "commands": RUN, "scaling": scaling}
    service = GROUPS | {"groups": [group]}
    assert "service.groups: 1..2: replicas scale behind a gateway only" in refusal(root, service=service)
    check(root, service=service | {"gateway": "g"})
    del group["scaling"]
    assert "`scaling`" in refusal(root, service=service | {"gateway": "g"})


def test_doctor_names_the_key(environment: Environment) -> None:
    wrong = replace(environment, service=environment.service | {"replica": 2})
    with pytest.raises(Failure, match=r"service\.replica: dstack has no such key"):
        list(doctor.examine(wrong))


def test_a_check_changes_no_document(root: Path) -> None:
    environment = check(root, fleet={"nodes": {"min": 0, "max": 3}})
    assert environment.fleet["nodes"] == {"min": 0, "max": 3}


def test_a_date_or_a_time_is_text(root: Path, write: Write) -> None:
    dates = "A: 2026-11-26, B: 2026-31-12, C: !!timestamp 2026-31-12"
    text = f"{{server: {{project: p}}, service: {{env: {{{dates}, D: 12:30:00, E: 1:30.5, F: 9, G: 0.5}}}}}}"
    write("environments/dev.yml", text)
    environment = load("dev", root, VARIABLES)
    schema.check(environment)
    env = environment.service["env"]
    assert [env[key] for key in "ABC"] == ["2026-11-26", "2026-31-12", "2026-31-12"]
    assert [env[key] for key in "DEFG"] == ["12:30:00", "1:30.5", 9, 0.5]
