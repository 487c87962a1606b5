"""`inv gateway.check` and `inv gateway.recover`: what they say, what they change, and when they refuse."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from answering import Fault
from dstack._internal.core.models.gateways import LetsEncryptGatewayCertificate
from person import DOMAIN, Person

from console.errors import ExitCode
from deploy.reaching import Reached, Verdict

PROD = ("--env", "prod")
RECOVER = ("gateway.recover", "--yes", *PROD)
SCALED = ["gateways/apply", "gateways/apply"]
BROKEN = Fault(500, b"CUDA error")
PROJECT_ID = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def served(in_production: Person) -> Person:
    """A person whose `prod` runs behind a gateway with one replica, and may be recovered automatically."""
    in_production.write("prod", recovery="automatic")
    in_production.records.hosts = lambda: in_production.dstack.replicas
    return in_production


@pytest.fixture
def lost(served: Person) -> Person:
    """A person whose gateway's only instance was terminated."""
    terminate(served, "10.0.0.10")
    return served


def terminate(person: Person, *addresses: str) -> None:
    person.records.states |= {f"i-{address}": "terminated" for address in addresses}


def name(person: Person) -> str:
    return person.environment("prod").run_name


def record(person: Person) -> list[str]:
    return person.records.values(f"{name(person)}.{DOMAIN}.", "A")


def happened(person: Person, *messages: str, gateway: str = "") -> None:
    """Let dstack know of these events of the gateway, the last one a minute ago."""
    target = {"type": "gateway", "project_id": PROJECT_ID, "project_name": "main", "id": PROJECT_ID}
    now = datetime.now(UTC)
    person.dstack.events[PROJECT_ID] = [
        {
            "id": f"10000000-0000-4000-8000-{ago:012}",
            "message": message,
            "recorded_at": (now - timedelta(minutes=ago)).isoformat(),
            "actor_user_id": None,
            "actor_user": None,
            "is_actor_user_deleted": None,
            "targets": [target | {"name": gateway or name(person)}],
        }
        for ago, message in enumerate(reversed(messages), start=1)
    ]


def test_a_healthy_gateway_is_left_alone(served: Person) -> None:
    checked = served.inv("gateway.check", *PROD)
    assert (checked.code, "the name answers" in checked.output) == (0, True), checked.output + checked.errors
    done = served.inv(*RECOVER)
    assert (done.code, "nothing to recover" in done.errors) == (0, True)
    assert served.dstack.changes == []


def test_a_terminated_instance_is_replaced_by_another_replica(lost: Person) -> None:
    checked = lost.inv("gateway.check", "--json", *PROD)
    assert (checked.code, checked.json["code"]) == (ExitCode.GATEWAY_DEAD, ExitCode.GATEWAY_DEAD)
    assert checked.json["replicas"] == [{"address": "10.0.0.10", "ec2": "ended", "answer": "answers"}]
    done = lost.inv(*RECOVER)
    assert done.code == 0, done.errors
    assert lost.dstack.changes == SCALED
    assert record(lost) == ["10.0.0.11"]
    assert lost.inv("plan", "--detailed-exitcode", *PROD).code == 0


def test_one_of_two_is_replaced_and_its_address_leaves_the_record_first(served: Person) -> None:
    served.write("prod", gateway={"replicas": 2})
    assert served.inv("deploy", "--yes", *PROD).code == 0
    served.dstack.asked.clear()
    terminate(served, "10.0.0.11")
    assert served.inv("gateway.check", *PROD).code == ExitCode.GATEWAY_DEGRADED
    done = served.inv(*RECOVER)
    assert done.code == 0, done.errors
    steps = done.errors
    assert steps.index("point the record at 10.0.0.10:") < steps.index("add replicas (4 in total)")
    assert record(served) == ["10.0.0.12", "10.0.0.13"]
    assert served.dstack.changes == SCALED


def test_alarms_follow_the_new_instance(lost: Person) -> None:
    lost.write("prod", alarms={})
    assert lost.inv(*RECOVER).code == 0
    assert {alarm.split("/")[2] for alarm in lost.records.alarms} == {"i-10.0.0.11"}
    lost.records.alarms.clear()  # a recovery that was killed before it came to them
    assert "bring the alarms" in lost.inv("gateway.recover", "--dry-run", *PROD).errors
    assert lost.inv(*RECOVER).code == 0
    assert len(lost.records.alarms) == 5


def test_what_it_would_do_is_shown_and_not_done(lost: Person) -> None:
    done = lost.inv("gateway.recover", "--dry-run", *PROD)
    assert (done.code, "add replicas (2 in total)" in done.errors) == (0, True)
    assert lost.dstack.changes == []


def test_without_a_terminal_the_file_has_to_allow_it(lost: Person) -> None:
    lost.write("prod", recovery="manual")
    refused = lost.inv(*RECOVER)
    assert (refused.code, "recovery: automatic" in refused.errors) == (ExitCode.DECLINED, True)
    assert lost.inv("gateway.recover", *PROD, typed="n\n").code == ExitCode.DECLINED
    assert lost.dstack.changes == []
    assert lost.inv("gateway.recover", *PROD, typed="y\n").code == 0


def test_by_itself_it_recovers_once_an_hour(lost: Person) -> None:
    happened(lost, *["Gateway updated. Changed fields: replicas"] * 2)
    refused = lost.inv(*RECOVER)
    assert (refused.code, "within the last hour" in refused.errors) == (ExitCode.GATEWAY_DEAD, True)
    assert lost.dstack.changes == []
    assert lost.inv("gateway.recover", *PROD, typed="y\n").code == 0


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_gateway_that_is_gone_is_created_under_the_other_name(served: Person, interrupted: bool) -> None:
    pods = list(served.dstack.runs.values())
    del served.dstack.gateways[name(served)]
    assert served.inv("gateway.check", *PROD).code == ExitCode.GATEWAY_DEAD
    if interrupted:  # after the gateway runs
        served.dstack.bodies["runs/apply"] = Fault(403, b'{"detail": [{"msg": "Access denied"}]}')
        assert served.inv(*RECOVER).code == ExitCode.TOKEN_REFUSED
        del served.dstack.bodies["runs/apply"]
        happened(served, "Gateway deleted", "Gateway created. Status: SUBMITTED", gateway=f"{name(served)}-gw-b")
    done = served.inv(*RECOVER)
    assert done.code == 0, done.errors
    assert served.dstack.gateways.keys() == {f"{name(served)}-gw-b"}
    assert served.dstack.changes[0] == "gateways/apply"
    assert served.dstack.changes.count("gateways/apply") == 1
    assert record(served) == ["10.0.0.20"]
    assert list(served.dstack.runs.values()) == pods
    assert served.inv("gateway.recover", "--dry-run", *PROD).errors.count("nothing to recover") == 1


def test_a_gateway_that_was_taken_down_is_not_recovered(served: Person) -> None:
    assert served.inv("gateway.destroy", "--yes", "--allow-outage", *PROD).code == 0
    served.dstack.asked.clear()
    refused = served.inv(*RECOVER)
    assert (refused.code, "inv deploy --env prod" in refused.errors) == (ExitCode.GATEWAY_DEAD, True)
    served.records.refusing["ListResourceRecordSets"] = "Throttling"  # now nobody knows that it was taken down
    assert served.inv(*RECOVER).code == ExitCode.DNS_REFUSED
    assert served.dstack.changes == []


def test_a_gateway_that_takes_no_second_replica_is_replaced_by_another_one(
    served: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.reaching.ANSWER_SECONDS", 0.1)  # nothing here speaks TLS
    made = served.dstack.gateways[name(served)].configuration
    made.certificate, made.public_ip = LetsEncryptGatewayCertificate(), True
    served.write("prod", gateway={"certificate": {"type": "lets-encrypt"}, "public_ip": True})
    terminate(served, "10.0.0.10")
    done = served.inv(*RECOVER)
    assert served.dstack.changes == ["gateways/apply", "runs/apply", "gateways/delete"], done.errors
    assert done.errors.index("needs the record first") < done.errors.index("register the service")
    assert served.dstack.gateways.keys() == {f"{name(served)}-gw-b"}
    assert record(served) == ["10.0.0.20"]


@pytest.mark.parametrize("call", ["ListResourceRecordSets", "ChangeResourceRecordSets"])
def test_while_route_53_refuses_the_gateway_is_recovered_and_the_record_follows_later(lost: Person, call: str) -> None:
    lost.records.refusing[call] = "Throttling"
    done = lost.inv(*RECOVER)
    assert (done.code, "the recovery goes on" in done.errors) == (ExitCode.DNS_REFUSED, True), done.errors
    assert "fix it or wait, then run it again" in done.errors
    assert lost.dstack.changes == SCALED
    assert record(lost) == ["10.0.0.10"]
    lost.records.refusing.clear()
    assert lost.inv("gateway.check", *PROD).code == ExitCode.GATEWAY_DEAD
    assert lost.inv(*RECOVER).code == 0
    assert record(lost) == ["10.0.0.11"]


def test_replicas_that_serve_stay_while_route_53_refuses(served: Person) -> None:
    served.write("prod", gateway={"replicas": 2})
    assert served.inv("deploy", "--yes", *PROD).code == 0
    served.dstack.asked.clear()
    terminate(served, "10.0.0.11")
    served.records.refusing["ChangeResourceRecordSets"] = "Throttling"
    assert served.inv(*RECOVER).code == ExitCode.DNS_REFUSED
    assert served.dstack.changes == ["gateways/apply"]
    assert "10.0.0.10" in served.dstack.replicas.values()


def test_without_ec2s_word_nothing_is_changed(lost: Person) -> None:
    lost.records.refusing["DescribeInstances"] = "AccessDenied"
    refused = lost.inv(*RECOVER)
    assert (refused.code, "policies/recover.json" in refused.errors) == (ExitCode.ACCOUNT_REFUSED, True)
    checked = lost.inv("gateway.check", *PROD)
    assert (checked.code, "policies/recover.json" in checked.errors) == (0, True)
    assert lost.dstack.changes == []


def test_an_impaired_instance_is_waited_for(served: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    served.records.states["i-10.0.0.10"] = "stopping"
    checked = served.inv("gateway.check", *PROD)
    assert (checked.code, "wait: EC2 recovers it" in checked.output) == (ExitCode.GATEWAY_DEAD, True)
    served.write("prod", timeouts={"gateway": 1})
    waited = served.inv(*RECOVER)
    assert (waited.code, "was not recovered within 2 s" in waited.errors) == (ExitCode.GATEWAY_FAILED, True)
    assert served.dstack.changes == []


def test_outside_of_the_vpc_the_verdict_is_not_verified(served: Person) -> None:
    served.resolve("")
    checked = served.inv("gateway.check", *PROD)
    said = checked.output.replace("\n", " ")
    assert (checked.code, "nothing of gateway" in said) == (ExitCode.NOT_VERIFIED, True)


def test_a_service_that_does_not_answer_is_not_the_gateways_fault(served: Person) -> None:
    served.dstack.bodies["/v1/models"] = BROKEN
    assert served.inv("gateway.check", *PROD).code == ExitCode.SERVICE_AT_FAULT


@pytest.mark.parametrize("wrong", [{"gateway": None, "dns": None}, {"recovery": "always"}])
def test_what_can_not_be_recovered_is_refused(served: Person, wrong: dict[str, Any]) -> None:
    served.write("prod", **wrong)
    assert served.inv(*RECOVER).code == ExitCode.SETTINGS_INVALID
    assert served.inv("gateway.recover", "--yes").code == ExitCode.SETTINGS_INVALID  # dev has no gateway
    assert served.dstack.changes == []


def test_status_names_the_check_where_a_replica_does_not_answer(
    served: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "gateway.check" not in served.inv("status", *PROD).output
    dead = [Reached("10.0.0.10", Verdict.SILENT)]
    monkeypatch.setattr("operate.surroundings.ask_gateway", lambda *_: dead)
    shown = served.inv("status", *PROD).output.replace("\n", " ")
    assert "10.0.0.10 does not answer; see `inv gateway.check --env prod`" in shown
