"""`inv plan` and `inv render`, from what is typed to what the server is sent."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from answering import Fault
from person import Person
from stand_in.machines import CHEAP

from console.errors import ExitCode

KEYS = {"environment", "run", "commit", "interrupts", "price_per_hour", "price_change_per_hour", "removals", "offers"}
NEXT = {"env": {"ROLLOUT": "2"}}  # what new replicas are rolled out for


def changes(plan: Any) -> dict[str, str]:
    """What happens to each part of a plan in JSON."""
    return {name: part["change"] for name, part in plan.items() if name not in KEYS}


def test_a_plan_where_nothing_is_creates_everything_and_changes_nothing(person: Person) -> None:
    done = person.inv("plan", "--env", "prod", "--json")
    assert done.code == 0, done.errors
    assert done.json.keys() == KEYS | {"fleet", "gateway", "records", "service"}
    assert set(changes(done.json).values()) == {"create"}
    assert (done.json["price_per_hour"], done.json["price_change_per_hour"]) == (0.0, CHEAP[-1])
    assert [offer["gpu"] for offer in done.json["offers"]] == ["A40 48 GB", "L40S 48 GB"]
    assert not person.dstack.changes + person.records.written


def test_a_plan_is_shown_with_its_price_and_its_offers(person: Person) -> None:
    shown = person.inv("plan").output
    name = person.environment("dev").run_name
    assert f"fleet {name}: create" in shown
    assert f"service {name}: create" in shown
    assert "GPUs: $0.00 an hour -> $0.40 (+0.40)" in shown
    assert "A40 48 GB" in shown
    assert "gateway" not in shown


@pytest.mark.parametrize(
    ("service", "change", "code"),
    [
        ({}, "unchanged", 0),
        ({"replicas": 2}, "in place", ExitCode.CHANGES),
        (NEXT, "rolling", ExitCode.CHANGES),
        ({"stop_duration": "7m"}, "restart", ExitCode.INTERRUPTING_CHANGES),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_plan_says_what_a_change_does_to_replicas_that_run(
    person: Person, service: dict[str, Any], change: str, code: int
) -> None:
    assert person.inv("deploy", "--yes").code == 0
    before = list(person.dstack.changes)
    person.write("dev", service=service)
    done = person.inv("plan", "--json", "--detailed-exitcode")
    assert (done.code, changes(done.json)["service"]) == (code, change)
    assert done.json["interrupts"] is (change == "restart")
    [shown] = [line for line in person.inv("plan").output.splitlines() if line.startswith("service ")]
    assert shown.endswith(f": {change}")
    assert person.dstack.changes == before


def test_without_the_flag_changes_are_no_exit_code(person: Person) -> None:
    assert person.inv("plan").code == 0
    assert person.inv("plan", "--detailed-exitcode").code == ExitCode.CHANGES


def test_what_the_files_no_longer_name_is_planned_for_removal(person: Person) -> None:
    assert person.inv("deploy", "--yes", "--env", "prod").code == 0
    person.write("prod", gateway=None, dns=None)
    done = person.inv("plan", "--env", "prod", "--json", "--detailed-exitcode")
    assert [resource["kind"] for resource in done.json["removals"]] == ["records", "gateway"]
    assert done.code == ExitCode.INTERRUPTING_CHANGES
    assert "remove gateway" in person.inv("plan", "--env", "prod").output


def test_a_plan_without_an_offer_says_so(person: Person) -> None:
    person.dstack.offers = []
    done = person.inv("plan")
    assert done.code == 0
    assert "No offer on" in done.output
    assert person.inv("plan", "--json").json["price_change_per_hour"] is None


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        (Fault(403, b'{"detail": {"msg": "Invalid token", "code": null}}'), ExitCode.TOKEN_REFUSED, "DSTACK_TOKEN"),
        (Fault(404, b'{"detail": {"msg": "Not found", "code": null}}'), ExitCode.PROJECT_MISSING, "project 'main'"),
        (Fault(200, b"<html>Welcome</html>"), ExitCode.SERVER_UNREACHABLE, "no dstack server"),
        (Fault(400, b'{"detail": [{"msg": "Not today", "code": "error"}]}'), ExitCode.SERVER_REFUSED, "Not today"),
    ],
    ids=["token", "project", "web page", "refusal"],
)
def test_a_server_that_does_not_plan_is_quoted(person: Person, answer: Fault, code: int, said: str) -> None:
    person.dstack.faults.append(answer)
    done = person.inv("plan", "--json")
    assert (done.code, done.output) == (code, "")
    assert done.errors.startswith("error: ")
    assert said in done.errors


def test_a_server_that_is_not_there_is_named(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DSTACK_SERVER_URL", "http://127.0.0.1:1")
    done = person.inv("plan")
    assert done.code == ExitCode.SERVER_UNREACHABLE
    assert "no dstack server answers at http://127.0.0.1:1" in done.errors


def test_documents_are_rendered_as_they_are_sent(person: Person) -> None:
    person.write("prod", service=NEXT)
    done = person.inv("render", "--env", "prod")
    documents = {document["type"]: document for document in yaml.safe_load_all(done.output)}
    assert documents.keys() == {"fleet", "gateway", "service"}
    assert documents["service"]["env"]["ROLLOUT"] == "2"
    assert person.inv("render", "--env", "prod", "--json").json == documents
    assert not person.dstack.asked


def test_documents_that_dstack_does_not_take_are_not_rendered(person: Person) -> None:
    person.write("dev", service={"nonsense": 1})
    done = person.inv("render")
    assert (done.code, done.output) == (ExitCode.SETTINGS_INVALID, "")
    assert "nonsense" in done.errors
