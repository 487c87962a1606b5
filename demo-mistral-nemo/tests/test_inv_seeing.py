"""The tasks that show what runs and what happened: status in an incident, logs of several replicas, events, ui."""

from __future__ import annotations

import pytest
from person import Person

from console.errors import ExitCode
from deploy.reaching import Reached, Verdict

TOOL = {"type": "run", "id": "00000000-0000-4000-8000-000000000009", "name": "nemo"}


def event(number: int, message: str, at: str, actor: str | None = None) -> dict[str, object]:
    identifier = f"10000000-0000-4000-8000-{number:012}"
    return {"id": identifier, "message": message, "recorded_at": at, "actor_user": actor, "targets": [TOOL]}


def lose(person: Person, reason: str) -> None:
    """Let every replica end for this reason, and let nothing replace it."""
    [run] = person.dstack.runs.values()
    for attempt in run.active:
        attempt.reason = reason


def test_an_incident_has_reason_time_and_advice(deployed: Person) -> None:
    lose(deployed, "failed_to_start_due_to_no_capacity")
    done = deployed.inv("status")
    assert done.code == ExitCode.NOT_SERVING
    assert "serves since 2026-11-01 00:00 UTC" in done.errors
    assert "failed to start due to no capacity" in done.errors
    assert "inv offers --env dev" in done.errors
    found = deployed.inv("status", "--json")
    assert (found.code, found.json["serving"]) == (ExitCode.NOT_SERVING, False)
    assert found.json["incident"]["since"].startswith("2026-11-01T00:00:00")


def test_a_crash_sends_one_to_the_logs(deployed: Person) -> None:
    lose(deployed, "container_exited_with_error")
    done = deployed.inv("status")
    assert done.code == ExitCode.NOT_SERVING
    assert "container exited with error (code 1)" in done.errors
    assert "inv logs --env dev" in done.errors


def test_a_service_that_sleeps_has_no_incident(deployed: Person) -> None:
    deployed.write("dev", service={"replicas": 0})
    assert deployed.inv("deploy", "--yes").code == 0
    done = deployed.inv("status", "--json")
    assert (done.code, done.json["serving"], done.json["incident"]) == (0, False, None)


def test_after_a_failed_run_its_end_is_shown(deployed: Person) -> None:
    [run] = deployed.dstack.runs.values()
    lose(deployed, "failed_to_start_due_to_no_capacity")
    run.status = "failed"
    done = deployed.inv("status")
    assert done.code == ExitCode.NOT_DEPLOYED
    assert "its last run failed" in done.errors
    assert "failed to start due to no capacity" in done.errors
    assert "inv offers --env dev" in done.errors


def test_the_commit_that_was_deployed_is_shown(deployed: Person) -> None:
    [run] = deployed.dstack.runs.values()
    run.spec.configuration_path = f"{run.spec.configuration_path} commit={'ab' * 20} by=ann"
    assert deployed.inv("status", "--json").json["commit"] == "ab" * 20
    assert "commit abababababab," in deployed.inv("status").output


def test_gateway_and_records_are_looked_at(in_production: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str, str]] = []

    def answers(address: str, url: str, token: str) -> Reached:
        asked.append((address, url, token))
        return Reached(address, Verdict.ANSWERS if not asked[1:] else Verdict.SILENT, "timed out")

    monkeypatch.setattr("deploy.reaching.ask", answers)
    done = in_production.inv("status", "--json", "--env", "prod")
    assert done.code == 0, done.errors
    [gateway] = in_production.dstack.gateways.values()
    address, host = f"10.0.0.{gateway.addresses}", in_production.environment("prod").host
    assert asked == [(address, f"http://{host}/v1", "t0ken")]
    assert done.json["gateway"] == [{"address": address, "verdict": "answers", "detail": "timed out"}]
    assert done.json["records"] == f"{host} -> {address}"
    assert (
        f"gateway replica {address} does not answer (timed out)" in in_production.inv("status", "--env", "prod").output
    )


def test_records_that_lead_elsewhere_or_cannot_be_read_are_said_to_be_so(in_production: Person) -> None:
    in_production.records.sets.clear()
    assert "run `inv dns.update --env prod`" in in_production.inv("status", "--env", "prod").output
    in_production.write("prod", dns={"vpc_id": "vpc-0"})
    done = in_production.inv("status", "--env", "prod")
    assert "records: not verified: " in done.output
    assert done.code == 0, done.errors


@pytest.fixture
def two(deployed: Person) -> tuple[Person, list[str]]:
    """A person with two replicas; the ids of their attempts."""
    deployed.write("dev", service={"replicas": 2})
    assert deployed.inv("deploy", "--yes").code == 0
    [run] = deployed.dstack.runs.values()
    return deployed, [attempt.id for attempt in run.active]


def test_logs_of_all_replicas_are_merged_by_time_without_the_monitors_lines(two: tuple[Person, list[str]]) -> None:
    person, (first, second) = two
    monitor = '{"monitor": {"running": 1}}\n'
    person.dstack.logs = {
        first: [("2026-11-01T00:00:01Z", "a1\na"), ("2026-11-01T00:00:03Z", f"2\n{monitor}")],
        second: [("2026-11-01T00:00:02Z", f"{monitor}b1\n"), ("2026-11-01T00:00:04Z", "b2")],
    }
    assert person.inv("logs").output == "0 | a1\n0 | a2\n1 | b1\n1 | b2\n"
    assert person.inv("logs", "--replica", "1").output == "b1\nb2\n"
    assert person.inv("logs", "--lines", "1").output == "0 | a2\n1 | b2\n"


def test_logs_since_a_time_leave_out_what_is_older(two: tuple[Person, list[str]]) -> None:
    person, (first, second) = two
    person.dstack.logs = {first: [("2026-11-01T00:00:01Z", "old\n"), ("2999-01-01T00:00:00Z", "new\n")], second: []}
    assert person.inv("logs", "--since", "10m").output == "new\n"


@pytest.mark.parametrize("since", ["10", "m", "1w", "-5m", "ten", "9999999m"])
def test_a_span_that_cannot_be_read_is_refused(deployed: Person, since: str) -> None:
    done = deployed.inv("logs", f"--since={since}")
    assert done.code == ExitCode.SETTINGS_INVALID
    assert "write e.g. 30s, 10m, 2h or 1d" in done.errors


def test_logs_go_on_until_the_run_is_over(two: tuple[Person, list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    person, (first, second) = two
    person.dstack.logs = {first: [("2026-11-01T00:00:01Z", "a1\n")], second: []}
    [run] = person.dstack.runs.values()

    def later(seconds: float) -> None:
        person.dstack.logs[first].append(("2026-11-01T00:00:02Z", "a2\n"))
        person.dstack.logs[second].append(("2026-11-01T00:00:03Z", "b1 without an end"))
        run.status = "terminating"

    monkeypatch.setattr("operate.logs.time.sleep", later)
    done = person.inv("logs", "--follow")
    assert (done.code, done.output) == (0, "0 | a1\n0 | a2\n1 | b1 without an end\n")


def test_following_ends_with_130_after_ctrl_c(deployed: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("operate.logs.time.sleep", interrupted)
    assert deployed.inv("logs", "--follow").code == ExitCode.INTERRUPTED


def test_events_of_run_gateway_and_fleet_are_listed_the_newest_last(in_production: Person) -> None:
    dstack = in_production.dstack
    [run], [gateway], [fleet] = dstack.runs.values(), dstack.gateways.values(), dstack.fleets.values()
    changed = event(1, "Run updated. Changed fields: configuration_path", "2026-11-03T00:00:00Z", "ann")
    dstack.events[run.id] = [changed]
    dstack.events[gateway.id] = [event(2, "Gateway created", "2026-11-01T00:00:00Z"), changed]
    dstack.events[fleet.id] = [event(3, "Fleet created", "2026-11-02T00:00:00Z")]
    done = in_production.inv("events", "--json", "--env", "prod")
    assert done.code == 0, done.errors
    assert [one["message"].split()[0] for one in done.json] == ["Gateway", "Fleet", "Run"]
    assert [one["actor"] for one in done.json] == ["dstack", "dstack", "ann"]
    shown = in_production.inv("events", "--env", "prod").output
    assert "Changed fields: configuration_path" in shown.splitlines()[-1]
    assert "ann" in shown


@pytest.mark.parametrize("task", ["events", "ui"])
def test_nothing_happened_where_nothing_was_deployed(person: Person, task: str) -> None:
    done = person.inv(task)
    assert (done.code, done.output) == (ExitCode.NOT_DEPLOYED, "")


def test_the_page_of_the_service_is_opened_or_printed(deployed: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda url: not opened.append(url))  # type: ignore[func-returns-value]
    [run] = deployed.dstack.runs.values()
    url = f"{deployed.dstack.url}/projects/main/runs/{run.id}"
    assert deployed.inv("ui").output == ""
    assert opened == [url]
    assert deployed.inv("ui", "--print").output == f"{url}\n"
    assert opened == [url]
    monkeypatch.setattr("webbrowser.open", lambda url: False)
    assert deployed.inv("ui").output == f"{url}\n"
