"""What exists is found by owner and name, whatever the files say, and is removed in an order that leaves nothing."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import job, run, run_json

from console.errors import ExitCode, Failure
from deploy import cloudwatch, existing, removal, route53
from deploy.dstack.answers import Fleet, Run
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment
from deploy.gateway_choice import gateways_of

MARK = "dstack/service.dstack.yml#nemo/prod"


def gateway(domain: str = "ai.internal") -> Gateway:
    configuration = {"domain": domain, "region": "eu-central-1", "backend": "aws"}
    listed = [{"status": "running", "hostname": "10.0.0.5"}]
    return Gateway.model_validate({"status": "running", "configuration": configuration, "replicas": listed})


def named(name: str, mark: str = MARK, **values: Any) -> Run:
    found = run(job(), **values)
    found.run_spec |= {"run_name": name, "configuration_path": mark}
    return found


class Server:
    """A dstack project with these runs, fleets and gateways, by name; a name in `broken` can't be removed."""

    def __init__(self, runs: dict[str, Run], fleets: dict[str, Fleet], gateways: dict[str, Gateway]) -> None:
        self.runs, self.kept, self.gateways = runs, fleets, gateways
        self.broken: set[str] = set()
        self.done: list[str] = []

    def run(self, name: str) -> Run | None:
        return self.runs.get(name)

    def active_runs(self) -> list[Run]:
        return [found for found in self.runs.values() if found.active]

    def fleets(self) -> list[Fleet]:
        return list(self.kept.values())

    def gateway(self, name: str) -> Gateway | None:
        return self.gateways.get(name)

    def exists(self, kind: str, name: str) -> bool:
        return name in (self.kept if kind == "fleet" else self.gateways)

    def stop_run(self, name: str) -> None:
        self.done.append(f"run {name}")

    def wait_gone(self, *_: object) -> None:
        """It is gone."""

    def delete(self, kind: str, name: str, notify: Any) -> None:
        if f"{kind} {name}" in self.broken:
            raise Failure(ExitCode.SERVER_UNREACHABLE, f"{kind} {name}: 502")
        self.done.append(f"{kind} {name}")


class Zones:
    """Route 53: hosts that have records of this project."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = set(hosts)
        self.deleted: list[str] = []

    def holding(self, domain: str, region: str, run_name: str, project: str) -> list[route53.Zone]:
        host = f"{run_name}.{domain}"
        return [route53.Zone(None, "Z1", host, f"{project}/{run_name}")] if host in self.hosts else []

    def delete(self, zone: route53.Zone, notify: Any) -> None:
        self.deleted.append(zone.host)


@pytest.fixture
def service(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """An environment `prod` of the repository `nemo`, whose file has neither gateway nor records nor alarms."""
    monkeypatch.setattr(cloudwatch, "store_of", lambda *_: SimpleNamespace(read=frozenset))
    bare = replace(environment, gateway=None, dns=None, alarms=None)
    return replace(bare, run_name="nemo", project="main", service_id="nemo")


@pytest.fixture
def zones(monkeypatch: pytest.MonkeyPatch) -> Zones:
    found = Zones("nemo.ai.internal", "talk.ai.internal")
    monkeypatch.setattr(route53, "holding", found.holding)
    monkeypatch.setattr(route53, "delete", found.delete)
    return found


def words(found: Any) -> list[str]:
    return [f"{resource.kind} {resource.name}" for resource in found]


def fleet(name: str, mark: str = MARK) -> Fleet:
    return Fleet(name=name, spec={"configuration_path": mark}, status="active")


def forgotten(server: Any, service: Environment, name: str = "nemo") -> list[str]:
    return words(existing.forgotten(server, service, server.run(name), gateways_of(server, service), lambda line: None))


def test_a_gateway_that_the_file_no_longer_has_is_removed_with_its_records(service: Environment, zones: Zones) -> None:
    server = Server({"nemo": named("nemo")}, {"nemo": fleet("nemo")}, {"nemo": gateway()})
    assert forgotten(server, service) == ["records nemo.ai.internal", "gateway nemo"]


def test_what_the_file_names_is_not_removed(service: Environment, zones: Zones) -> None:
    server = Server({"nemo": named("nemo")}, {"nemo": fleet("nemo")}, {"nemo": gateway()})
    complete = replace(service, gateway={"domain": "ai.internal", "region": "eu-central-1"}, dns=dns_section())
    assert forgotten(server, complete) == []


def dns_section() -> Any:
    from deploy.settings import Dns

    return Dns(vpc_id="vpc-1")


def test_records_in_a_zone_that_the_file_no_longer_has_are_removed(service: Environment, zones: Zones) -> None:
    elsewhere = replace(service, gateway={"domain": "new.internal", "region": "eu-central-1"}, dns=dns_section())
    served = named("nemo", service={"url": "http://nemo.ai.internal"})
    served.run_spec["configuration"]["gateway"] = "nemo"
    server = Server({"nemo": served}, {}, {"nemo": gateway("new.internal")})
    assert forgotten(server, elsewhere) == ["records nemo.ai.internal"]


def test_an_earlier_name_of_the_service_is_known_by_its_mark(service: Environment, zones: Zones) -> None:
    runs = {"talk": named("talk"), "other": named("other", "dstack/service.dstack.yml#other/prod")}
    runs |= {"dev": named("dev", "dstack/service.dstack.yml#nemo/dev"), "plain": named("plain", "x.yml")}
    server = Server(runs, {"talk": fleet("talk"), "older": fleet("older")}, {"talk": gateway()})
    expected = ["run talk", "fleet older", "fleet talk", "records talk.ai.internal", "gateway talk"]
    assert forgotten(server, service) == expected


def test_without_a_mark_of_its_own_nothing_is_taken_for_an_earlier_name(service: Environment, zones: Zones) -> None:
    server = Server({"talk": named("talk", "dstack/service.dstack.yml")}, {}, {})
    assert forgotten(server, replace(service, service_id="")) == []


def test_who_may_not_read_route_53_still_sees_the_rest(service: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> list[route53.Zone]:
        raise Failure(ExitCode.DNS_REFUSED, "no credentials")

    monkeypatch.setattr(route53, "holding", refused)
    server = Server({}, {}, {"nemo": gateway()})
    assert forgotten(server, service) == ["gateway nemo"]


def test_gpus_go_first_and_records_before_the_address_is_freed(service: Environment, zones: Zones) -> None:
    server: Any = Server({"nemo": named("nemo")}, {"nemo": fleet("nemo")}, {"nemo": gateway()})
    found = existing.existing_resources(server, service)
    assert words(found) == ["run nemo", "fleet nemo", "records nemo.ai.internal", "gateway nemo"]
    removal.remove(server, service, found, lambda line: None)
    assert (server.done, zones.deleted) == (["run nemo", "fleet nemo", "gateway nemo"], ["nemo.ai.internal"])


def test_both_gateways_of_a_replacement_are_found_also_under_an_earlier_name(
    service: Environment, zones: Zones
) -> None:
    both = {"nemo": gateway(), "nemo-gw-b": gateway()}
    server: Any = Server({"talk": named("talk")}, {}, both | {"talk-gw-b": gateway()})
    gateways = ["gateway nemo", "gateway nemo-gw-b", "gateway talk-gw-b"]
    found = words(existing.existing_resources(server, service))
    assert found == ["run talk", "records nemo.ai.internal", "records talk.ai.internal", *gateways]
    assert forgotten(server, service) == found
    found = words(existing.resources_of(server, service, lambda line: None, "records", "gateway"))
    assert found == ["records nemo.ai.internal", "gateway nemo", "gateway nemo-gw-b"]


def test_who_may_only_change_records_is_not_asked_for_rights_on_alarms(
    service: Environment, zones: Zones, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cloudwatch, "store_of", lambda *_: pytest.fail("CloudWatch was asked"))
    server: Any = Server({}, {}, {"nemo": gateway()})
    found = words(existing.resources_of(server, service, lambda line: None, "records"))
    assert found == ["records nemo.ai.internal"]
    with pytest.raises(pytest.fail.Exception):
        existing.existing_resources(server, service)


def test_what_can_not_be_removed_keeps_none_of_the_others(service: Environment, zones: Zones) -> None:
    server: Any = Server({"nemo": named("nemo")}, {"nemo": fleet("nemo")}, {"nemo": gateway()})
    server.broken = {"fleet nemo"}
    with pytest.raises(Failure, match="502") as failed:
        removal.remove(server, service, existing.existing_resources(server, service), lambda line: None)
    assert failed.value.code == ExitCode.SERVER_UNREACHABLE
    assert (server.done, zones.deleted) == (["run nemo", "gateway nemo"], ["nemo.ai.internal"])


def test_the_mark_names_repository_and_environment(service: Environment) -> None:
    assert service.marked("dstack/service.dstack.yml") == MARK
    assert service.owns(MARK)
    assert service.owns(f"{MARK} more=later")
    assert not any(service.owns(path) for path in (None, "", "dstack/service.dstack.yml", f"{MARK}x"))


def test_a_mark_is_no_change_of_a_service() -> None:
    from deploy.changes import differences

    before = run_json()["run_spec"]
    assert not list(differences(before, before | {"configuration_path": MARK}))
