"""What a person sees of a service that runs, and of one whose machines are gone: with the real server."""

from __future__ import annotations

import json
import subprocess

from tests.end_to_end.conftest import Make
from tests.end_to_end.project import refused
from tests.sandbox.deployment import wait_for


def test_logs_events_and_metrics_of_two_replicas_and_an_incident(make: Make) -> None:
    environment = make("seen", service={"replicas": 2}, fleet={"nodes": "0..3"})
    environment.deploy()

    def both_write() -> bool:
        lines = environment.inv("logs").stdout.splitlines()
        return {line.partition(" | ")[0] for line in lines} == {"0", "1"}

    wait_for(both_write, 60)  # the server fetches what a container wrote every few seconds
    logs = environment.inv("logs")
    assert '{"monitor":' not in logs.stdout
    assert "vLLM API server version" in environment.inv("logs", "--replica", "1", "--since", "1h").stdout
    assert environment.inv("logs", "--replica", "1", "--since", "0s").stdout == ""

    events = json.loads(environment.inv("events", "--json").stdout)
    assert "admin" in {event["actor"] for event in events}
    assert any(event["message"].startswith("Run submitted") for event in events)
    assert events == sorted(events, key=lambda event: event["at"])
    assert environment.inv("ui", "--print").stdout.startswith(f"{environment.sandbox.url}/projects/")

    measured = environment.inv("metrics", "--json")
    assert measured.returncode == 0, measured.stderr
    assert [replica["replica"] for replica in json.loads(measured.stdout)["replicas"]] == [0, 1]

    assert environment.status()["serving"]
    for cloud in ("runpod", "vastai"):
        environment.sandbox.faults.set_capacity(cloud, available=False)
    for pod in environment.machines():
        environment.sandbox.kill_pod(pod)
    wait_for(lambda: not environment.status()["serving"], 60)
    refused(environment.inv("status"), 46, "serves now: replica ", "served before", "inv logs --env seen")

    def without_offers() -> subprocess.CompletedProcess[str] | None:
        """What `inv status` says once it is the offers; the other replica may still be said to be unreachable."""
        done = environment.inv("status")
        return done if "offers, all failed" in done.stderr else None

    refused(wait_for(without_offers, 400), 46, "serves since", "inv offers --env seen")
