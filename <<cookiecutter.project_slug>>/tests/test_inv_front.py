"""`inv gateway.…` and `inv dns.…`: what they send to the server and to Route 53, and how they end."""

from __future__ import annotations

import pytest
from person import DOMAIN, Person

from console.errors import ExitCode

PROD = ("--env", "prod")


@pytest.fixture
def behind_a_gateway(person: Person) -> Person:
    """A person whose `prod` has its gateway, and nothing else."""
    done = person.inv("gateway.deploy", *PROD)
    assert done.code == 0, done.errors
    person.dstack.asked.clear()
    return person


def host(person: Person) -> str:
    return f"{person.environment('prod').run_name}.{DOMAIN}"


def test_a_gateway_is_deployed_and_waited_for(person: Person) -> None:
    done = person.inv("gateway.deploy", *PROD)
    assert done.code == 0, done.errors
    name = person.environment("prod").run_name
    assert done.output == f"gateway {name}: running, 1 of 1 replicas running, 10.0.0.10\n"
    assert person.dstack.changes == ["gateways/apply"]
    again = person.inv("gateway.deploy", "--json", *PROD)
    assert (again.json["status"], again.json["targets"]) == ("running", ["10.0.0.10"])
    assert person.dstack.changes == ["gateways/apply"]


def test_an_environment_without_a_gateway_has_none_to_deploy(person: Person) -> None:
    done = person.inv("gateway.deploy")
    assert (done.code, person.dstack.changes) == (0, [])
    assert "has no gateway: nothing to do" in done.errors


def test_a_gateway_that_the_file_no_longer_names_keeps_its_service(behind_a_gateway: Person) -> None:
    behind_a_gateway.write("prod", gateway=None, dns=None)
    assert behind_a_gateway.inv("gateway.deploy", *PROD).code == ExitCode.REMOVAL_REFUSED
    assert not behind_a_gateway.dstack.changes


def test_a_gateway_without_records_is_not_replaced_unless_allowed(behind_a_gateway: Person) -> None:
    behind_a_gateway.write("prod", gateway={"instance_type": "t3.large"}, dns=None)
    refused = behind_a_gateway.inv("gateway.deploy", *PROD)
    assert refused.code == ExitCode.GATEWAY_RECREATION_REFUSED
    assert "instance_type" in refused.errors
    assert not behind_a_gateway.dstack.changes
    assert behind_a_gateway.inv("gateway.deploy", "--allow-recreation", *PROD).code == 0
    assert behind_a_gateway.dstack.changes == ["gateways/apply", "gateways/delete"]


def test_a_gateway_with_records_is_replaced_in_three_steps(behind_a_gateway: Person) -> None:
    """The gateway's job may not write records, the records' job may not delete gateways."""
    name = behind_a_gateway.environment("prod").run_name
    assert behind_a_gateway.inv("dns.update", *PROD).code == 0
    behind_a_gateway.write("prod", gateway={"instance_type": "t3.large"})
    created = behind_a_gateway.inv("gateway.deploy", *PROD)
    assert created.code == 0, created.errors
    assert "`inv dns.update --env prod` moves the service and its records there" in created.errors
    assert behind_a_gateway.dstack.gateways.keys() == {name, f"{name}-gw-b"}
    assert behind_a_gateway.inv("gateway.status", "--json", *PROD).json["others"] == [f"{name}-gw-b"]
    assert f"gateway {name}-gw-b: running" in behind_a_gateway.inv("gateway.status", *PROD).output
    assert behind_a_gateway.inv("dns.update", *PROD).code == 0
    assert behind_a_gateway.records.values(f"{host(behind_a_gateway)}.", "A") == ["10.0.0.20"]
    assert behind_a_gateway.inv("gateway.deploy", *PROD).code == 0
    assert behind_a_gateway.dstack.gateways.keys() == {f"{name}-gw-b"}
    assert behind_a_gateway.dstack.changes == ["gateways/apply", "gateways/delete"]


def test_a_gateway_that_dstack_does_not_take_is_refused_before_it_is_sent(person: Person) -> None:
    person.write("prod", gateway={"nonsense": 1})
    assert person.inv("gateway.deploy", *PROD).code == ExitCode.SETTINGS_INVALID
    assert not person.dstack.asked


def test_a_deploy_of_a_gateway_that_fails_says_what_is_billed(behind_a_gateway: Person) -> None:
    behind_a_gateway.dstack.gateways[behind_a_gateway.environment("prod").run_name].status = "failed"
    done = behind_a_gateway.inv("gateway.deploy", *PROD)
    assert done.code == ExitCode.GATEWAY_FAILED
    assert "is billed by aws" in done.errors


def test_the_status_of_a_gateway_has_its_addresses(behind_a_gateway: Person) -> None:
    name = behind_a_gateway.environment("prod").run_name
    assert behind_a_gateway.inv("gateway.status", *PROD).output.endswith("1 of 1 replicas running, 10.0.0.10\n")
    found = behind_a_gateway.inv("gateway.status", "--json", *PROD).json
    assert found.keys() == {"name", "status", "targets", "replicas", "others"}
    assert (found["name"], found["status"], found["targets"]) == (name, "running", ["10.0.0.10"])


def test_no_gateway_has_a_status_too(person: Person) -> None:
    name = person.environment("prod").run_name
    assert person.inv("gateway.status", *PROD).output == f"gateway {name}: none\n"
    assert person.inv("gateway.status", "--json", *PROD).json == {
        "name": name,
        "status": "absent",
        "targets": [],
        "others": [],
    }


def test_records_are_deleted_before_their_gateway_and_only_where_that_is_allowed(behind_a_gateway: Person) -> None:
    assert behind_a_gateway.inv("dns.update", *PROD).code == 0
    assert behind_a_gateway.inv("gateway.destroy", "--yes", *PROD).code == ExitCode.RESTART_REFUSED
    assert behind_a_gateway.inv("gateway.destroy", "--allow-outage", *PROD).code == ExitCode.DECLINED
    assert not behind_a_gateway.dstack.changes
    done = behind_a_gateway.inv("gateway.destroy", "--allow-outage", "--yes", *PROD)
    assert done.code == 0, done.errors
    assert behind_a_gateway.dstack.changes == ["gateways/delete"]
    assert not behind_a_gateway.records.sets
    deleted = [line for line in done.errors.splitlines() if line.endswith(": deleted")]
    assert [line.split()[2] for line in deleted] == ["record", "gateway"]


def test_records_are_written_once(behind_a_gateway: Person) -> None:
    done = behind_a_gateway.inv("dns.update", *PROD)
    assert done.code == 0, done.errors
    assert done.errors.endswith(f"record {host(behind_a_gateway)} -> 10.0.0.10: written\n")
    assert behind_a_gateway.records.values(f"{host(behind_a_gateway)}.", "A") == ["10.0.0.10"]
    written = list(behind_a_gateway.records.written)
    assert "unchanged" in behind_a_gateway.inv("dns.update", *PROD).errors
    assert behind_a_gateway.records.written == written


def test_a_dry_run_writes_no_record(behind_a_gateway: Person) -> None:
    done = behind_a_gateway.inv("dns.update", "--dry-run", *PROD)
    assert done.code == 0
    assert "would be written" in done.errors
    assert not behind_a_gateway.records.written


def test_a_record_of_another_owner_is_adopted_only_with_the_flag(behind_a_gateway: Person) -> None:
    name = f"{host(behind_a_gateway)}."
    behind_a_gateway.records.add(name, "A", "10.9.9.9")
    done = behind_a_gateway.inv("dns.update", *PROD)
    assert done.code == ExitCode.DNS_REFUSED
    assert "--adopt" in done.errors
    assert behind_a_gateway.records.values(name, "A") == ["10.9.9.9"]
    assert behind_a_gateway.inv("dns.update", "--adopt", *PROD).code == 0
    assert behind_a_gateway.records.values(name, "A") == ["10.0.0.10"]


def test_without_a_gateway_there_is_nothing_to_point_at(person: Person) -> None:
    assert person.inv("dns.update", *PROD).code == ExitCode.DNS_REFUSED
    assert person.inv("dns.update").code == 0  # which has no dns
    assert person.inv("dns.show").code == ExitCode.SETTINGS_INVALID


def test_records_are_shown(behind_a_gateway: Person) -> None:
    name = host(behind_a_gateway)
    assert behind_a_gateway.inv("dns.show", *PROD).output == f"{name}: no records\n"
    assert behind_a_gateway.inv("dns.show", "--json", *PROD).json == []
    behind_a_gateway.inv("dns.update", *PROD)
    assert f"{name}. 30 A 10.0.0.10\n" in behind_a_gateway.inv("dns.show", *PROD).output
    found = {record["type"]: record for record in behind_a_gateway.inv("dns.show", "--json", *PROD).json}
    assert found.keys() == {"A", "TXT"}
    assert (found["A"]["name"], found["A"]["ttl"], found["A"]["values"]) == (f"{name}.", 30, ["10.0.0.10"])


def test_records_that_may_not_be_read_are_a_refusal_of_aws(person: Person) -> None:
    person.records.denied = True
    done = person.inv("dns.show", *PROD)
    assert done.code == ExitCode.DNS_REFUSED
    assert "AWS refused looking for the zone" in done.errors


def test_records_are_deleted_where_that_is_allowed_and_the_gateway_stays(behind_a_gateway: Person) -> None:
    behind_a_gateway.inv("dns.update", *PROD)
    assert behind_a_gateway.inv("dns.delete", "--yes", *PROD).code == ExitCode.RESTART_REFUSED
    assert behind_a_gateway.inv("dns.delete", "--allow-outage", *PROD).code == ExitCode.DECLINED
    assert behind_a_gateway.records.sets
    done = behind_a_gateway.inv("dns.delete", "--allow-outage", "--yes", *PROD)
    assert done.code == 0, done.errors
    assert f"record {host(behind_a_gateway)}: deleted" in done.errors
    assert not behind_a_gateway.records.sets
    assert not behind_a_gateway.dstack.changes
    assert behind_a_gateway.inv("dns.delete", "--allow-outage", "--yes", *PROD).code == 0
