"""`inv deploy` and `inv service.deploy`: what the server is sent, in which order, and how they end."""

from __future__ import annotations

from typing import Any

import pytest
from answering import Fault
from person import DOMAIN, Person
from test_inv_plan import NEXT, changes

from console.errors import ExitCode

RESTART = {"stop_duration": "7m"}
CREATED = ["fleets/apply", "runs/apply"]
BEHIND_A_GATEWAY = ["gateways/apply", *CREATED]


def test_a_first_deploy_ends_when_the_endpoint_answers(person: Person) -> None:
    done = person.inv("deploy", "--yes")
    assert done.code == 0, done.errors
    assert person.dstack.changes == CREATED
    name = person.environment("dev").run_name
    assert f"service {name}: create" in done.output
    assert f"{name}: running, deployment 0, {person.dstack.url}/proxy/services/main/{name}/v1" in done.output
    assert "answers as" in done.output
    assert "deployment 0 submitted (create)" in done.errors


def _without_ages(value: Any) -> Any:
    """Return a status without what grows from one second to the next."""
    if isinstance(value, dict):
        return {key: _without_ages(inner) for key, inner in value.items() if key != "age_seconds"}
    return [_without_ages(inner) for inner in value] if isinstance(value, list) else value


def test_a_deploy_prints_the_status_as_json(person: Person) -> None:
    done = person.inv("deploy", "--yes", "--json")
    assert done.code == 0, done.errors
    assert _without_ages(done.json) == _without_ages(person.inv("status", "--json").json)
    assert f"/proxy/services/main/{done.json['run']}/v1/models" in person.dstack.paths


@pytest.mark.parametrize("task", ["deploy", "service.deploy"])
def test_a_second_deploy_changes_nothing_and_asks_nobody(deployed: Person, task: str) -> None:
    done = deployed.inv(task)
    assert done.code == 0, done.errors
    assert not deployed.dstack.changes
    assert "unchanged" in done.output


@pytest.mark.parametrize("task", ["deploy", "service.deploy"])
def test_a_dry_run_shows_the_plan_and_changes_nothing(person: Person, task: str) -> None:
    done = person.inv(task, "--dry-run", "--json")
    assert (done.code, changes(done.json)) == (0, {"fleet": "create", "service": "create"})
    assert "service" in person.inv(task, "--dry-run").output
    assert not person.dstack.changes


@pytest.mark.parametrize("task", ["deploy", "service.deploy"])
def test_nothing_is_deployed_without_a_yes(person: Person, task: str) -> None:
    assert person.inv(task).code == ExitCode.DECLINED
    assert person.inv(task, typed="n\n").code == ExitCode.DECLINED
    assert not person.dstack.changes
    assert person.inv(task, typed="y\n").code == 0
    assert person.dstack.changes == CREATED


@pytest.mark.parametrize(
    ("service", "change", "replicas"),
    [(NEXT, "rolling", 1), ({"replicas": 2}, "in place", 2)],
    ids=["rolling", "place"],
)
def test_a_change_is_a_new_deployment_of_the_same_run(
    deployed: Person, service: dict[str, Any], change: str, replicas: int
) -> None:
    deployed.write("dev", service=service)
    done = deployed.inv("deploy", "--yes", "--json")
    assert (done.code, done.json["deployment"], len(done.json["replicas"])) == (0, 1, replicas), done.errors
    assert {replica["deployment"] for replica in done.json["replicas"]} == {1}
    assert f"deployment 1 submitted ({change})" in done.errors
    assert deployed.dstack.changes == ["runs/apply"]


def test_a_restart_stops_the_run_first(deployed: Person) -> None:
    deployed.write("dev", service=RESTART)
    assert deployed.inv("deploy", "--yes").code == 0
    assert deployed.dstack.changes == ["runs/stop", "runs/apply"]


@pytest.mark.parametrize("task", ["deploy", "service.deploy"])
def test_a_restart_in_a_protected_environment_has_to_be_allowed(in_production: Person, task: str) -> None:
    in_production.write("prod", service=RESTART)
    for more in ([], ["--dry-run"]):
        refused = in_production.inv(task, "--yes", "--env", "prod", *more)
        assert refused.code == ExitCode.RESTART_REFUSED
        assert "stop_duration" in refused.errors
    assert not in_production.dstack.changes
    assert in_production.inv(task, "--yes", "--env", "prod", "--allow-restart").code == 0
    assert in_production.dstack.changes == ["runs/stop", "runs/apply"]


def test_without_an_offer_nothing_is_touched(person: Person) -> None:
    person.dstack.offers = []
    assert person.inv("deploy", "--yes").code == ExitCode.NO_CAPACITY
    assert not person.dstack.changes


def test_without_a_secret_nothing_is_touched(person: Person) -> None:
    person.write("dev", service={"env": {"KEY": "${{ secrets.absent }}"}})
    done = person.inv("deploy", "--yes")
    assert done.code == ExitCode.SECRET_MISSING
    assert "inv secrets.set absent" in done.errors
    assert not person.dstack.changes


def test_what_crashes_is_rolled_back_with_its_last_words_and_its_price(deployed: Person) -> None:
    deployed.write("dev", service=NEXT)
    deployed.dstack.crashing = True
    done = deployed.inv("deploy", "--yes")
    assert done.code == ExitCode.CRASHED
    assert "ValueError: no such flag" in done.errors
    assert "rolled back, what served before keeps serving" in done.errors
    assert "an hour; inv destroy --env dev ends it" in done.errors
    assert deployed.dstack.changes == ["runs/apply", "runs/apply"]


def test_a_first_deploy_that_crashes_leaves_nothing_running(person: Person) -> None:
    person.dstack.crashing = True
    assert person.inv("deploy", "--yes").code == ExitCode.CRASHED
    assert person.dstack.changes == [*CREATED, "runs/stop"]
    assert person.inv("status").code == ExitCode.NOT_DEPLOYED


def test_an_endpoint_that_does_not_answer_fails_the_deploy(person: Person) -> None:
    path = f"/proxy/services/main/{person.environment('dev').run_name}/v1/models"
    person.dstack.bodies[path] = Fault(500, b"CUDA error")
    done = person.inv("deploy", "--yes")
    assert done.code == ExitCode.SMOKE_FAILED
    assert "CUDA error" in done.errors
    assert "inv destroy --env dev ends it" in done.errors


def test_who_is_overtaken_during_the_smoke_test_does_not_claim_success(person: Person) -> None:
    name = person.environment("dev").run_name

    def overtaken(body: Any) -> Any:
        person.dstack.runs[name].deployment += 1
        return {"data": [{"id": person.dstack.model}]}

    person.dstack.bodies[f"/proxy/services/main/{name}/v1/models"] = overtaken
    assert person.inv("deploy", "--yes").code == ExitCode.PLAN_OUTDATED


def test_a_sleeping_deployment_is_deployed_without_a_smoke_test(person: Person) -> None:
    person.write("prod", service={"replicas": "0..1", "scaling": {"metric": "rps", "target": 1}})
    done = person.inv("deploy", "--yes", "--env", "prod")
    assert done.code == 0, done.errors
    assert "asleep" in done.output
    assert not [path for path in person.dstack.paths if path.endswith("/v1/models")]


def test_behind_a_gateway_the_gateway_comes_first_and_the_records_point_at_it(person: Person) -> None:
    done = person.inv("deploy", "--yes", "--env", "prod")
    assert done.code == 0, done.errors
    assert person.dstack.changes == BEHIND_A_GATEWAY
    host = f"{person.environment('prod').run_name}.{DOMAIN}"
    assert person.records.values(f"{host}.", "A") == ["10.0.0.10"]
    assert f"http://{host}/v1 answers as" in done.output
    again = person.inv("deploy", "--env", "prod")
    assert again.code == 0
    assert person.dstack.changes == BEHIND_A_GATEWAY


def test_the_service_alone_leaves_gateway_and_records_as_they_are(in_production: Person) -> None:
    in_production.write("prod", gateway={"replicas": 2}, service=NEXT)
    in_production.records.sets.clear()
    done = in_production.inv("service.deploy", "--yes", "--env", "prod", "--json")
    assert (done.code, done.json["deployment"]) == (0, 1), done.errors
    assert in_production.dstack.changes == ["runs/apply"]
    assert not in_production.records.sets


def test_a_deploy_outside_of_the_vpc_is_done_and_not_verified(person: Person) -> None:
    person.resolve("")
    done = person.inv("deploy", "--yes", "--env", "prod")
    assert done.code == ExitCode.NOT_VERIFIED
    assert person.dstack.changes == BEHIND_A_GATEWAY


def test_another_gateway_replaces_the_one_in_use(in_production: Person) -> None:
    name, before = in_production.environment("prod").run_name, list(in_production.dstack.runs.values())
    in_production.write("prod", gateway={"instance_type": "t3.large"})
    planned = in_production.inv("plan", "--env", "prod", "--detailed-exitcode")
    assert planned.code == ExitCode.CHANGES
    assert f"gateway {name}-gw-b: replace" in planned.output
    done = in_production.inv("deploy", "--yes", "--env", "prod")
    assert done.code == 0, done.errors
    assert in_production.dstack.changes == ["gateways/apply", "runs/apply", "gateways/delete"]
    assert in_production.dstack.gateways.keys() == {f"{name}-gw-b"}
    assert in_production.records.values(f"{name}.{DOMAIN}.", "A") == ["10.0.0.20"]
    assert list(in_production.dstack.runs.values()) == before  # in place
    assert in_production.inv("plan", "--env", "prod", "--detailed-exitcode").code == 0


def test_a_gateway_whose_replacement_callers_notice_has_to_be_allowed(in_production: Person) -> None:
    in_production.write("prod", gateway={"instance_type": "t3.large"}, dns=None)
    assert in_production.inv("plan", "--env", "prod", "--detailed-exitcode").code == ExitCode.INTERRUPTING_CHANGES
    allowed = ("--yes", "--env", "prod", "--allow-removal")
    assert in_production.inv("deploy", *allowed).code == ExitCode.GATEWAY_RECREATION_REFUSED
    assert not in_production.dstack.changes
    assert in_production.inv("deploy", *allowed, "--allow-recreation").code == 0


def test_a_gateway_that_somebody_deleted_is_replaced_under_the_other_name(in_production: Person) -> None:
    name = in_production.environment("prod").run_name
    in_production.dstack.gateways.clear()
    done = in_production.inv("deploy", "--yes", "--env", "prod")
    assert done.code == 0, done.errors
    assert in_production.dstack.gateways.keys() == {f"{name}-gw-b"}
    assert in_production.dstack.changes == ["gateways/apply", "runs/apply"]
    assert in_production.records.values(f"{name}.{DOMAIN}.", "A") == ["10.0.0.20"]


def test_a_removal_has_to_be_allowed_and_comes_after_the_service(in_production: Person) -> None:
    in_production.write("prod", gateway=None, dns=None)
    assert in_production.inv("deploy", "--yes", "--env", "prod").code == ExitCode.REMOVAL_REFUSED
    assert not in_production.dstack.changes
    done = in_production.inv("deploy", "--yes", "--env", "prod", "--allow-removal")
    assert done.code == 0, done.errors
    assert in_production.dstack.changes == ["runs/apply", "gateways/delete"]
    assert not in_production.records.sets
