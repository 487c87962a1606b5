"""What a file no longer names is found by owner and name, shown, and removed: else it would be billed unseen."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import Sandbox
from tests.end_to_end.behind import Behind, alive
from tests.end_to_end.project import Environment, refused
from tests.sandbox.deployment import wait_for


@pytest.fixture
def renamed(project: Path, sandbox: Sandbox, tmp_path: Path) -> Iterator[Environment]:
    """An environment in a clone of its own, whose service is going to be renamed."""
    shutil.copytree(project, tmp_path / "clone")
    environment = Environment(tmp_path / "clone", sandbox, "renamed")
    environment.write(protected=True)
    yield environment
    environment.inv("destroy", "--yes", "--allow-outage")


def test_a_service_under_an_earlier_name_is_removed_when_the_new_one_answers(
    renamed: Environment, sandbox: Sandbox
) -> None:
    renamed.deploy()
    old = renamed.machines()
    for kind in ("service", "fleet"):
        path = renamed.project / "dstack" / f"{kind}.dstack.yml"
        path.write_text(path.read_text("utf-8").replace("mistral-nemo\n", "talk\n").replace("[mistral-nemo]", "[talk]"))
    plan = renamed.inv("plan")
    assert "service talk-renamed: create" in plan.stdout
    assert "remove run mistral-nemo-renamed (running, $0.40 an hour)" in plan.stdout
    assert "remove fleet mistral-nemo-renamed" in plan.stdout
    refused(renamed.inv("deploy", "--yes"), 42, "run mistral-nemo-renamed", "--allow-removal")
    assert renamed.machines() == old

    renamed.deploy("--allow-removal")
    wait_for(lambda: renamed.machines() == [], 120)
    assert [pod.run for pod in sandbox.pods() if pod.running and "renamed" in (pod.run or "")] == ["talk-renamed"]
    assert renamed.inv("plan", "--detailed-exitcode").returncode == 0
    done = renamed.inv("destroy", "--yes", "--allow-outage")
    assert done.returncode == 0, done.stderr
    assert "nothing is billed any more" in done.stdout


@pytest.mark.gateway
@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # boto3 leaves connections to the collector
def test_a_gateway_and_records_that_the_file_no_longer_has_are_removed(project: Path, vpc: Sandbox) -> None:
    environment = Behind(project, vpc, "unnamed")
    environment.settle()
    zone = vpc.aws.snapshot_zone()
    environment.deploy()
    assert environment.ask_by_name()
    environment.write(gateway=None, dns=None, protected=True)
    plan = environment.inv("plan")
    assert "remove gateway mistral-nemo-unnamed" in plan.stdout
    assert f"remove records of {environment.host}" in plan.stdout
    refused(environment.inv("deploy", "--yes"), 42, "gateway mistral-nemo-unnamed", "--allow-removal")
    refused(environment.inv("gateway.deploy"), 42, "inv deploy")
    assert len(alive(vpc)) == 1

    environment.deploy("--allow-removal")
    assert alive(vpc) == []
    assert vpc.aws.snapshot_zone() == zone
    assert environment.inv("plan", "--detailed-exitcode").returncode == 0
    assert environment.inv("smoke").returncode == 0  # through the dstack server now

    environment.settle()
    for task in ("gateway.deploy", "dns.update"):
        done = environment.inv(task)
        assert done.returncode == 0, done.stderr
    assert vpc.aws.snapshot_zone() != zone
    environment.write(gateway=None, dns=None, protected=False)
    done = environment.inv("destroy", "--yes")
    assert done.returncode == 0, done.stderr
    assert (alive(vpc), vpc.aws.snapshot_zone()) == ([], zone)
    assert environment.inv("destroy", "--yes").stdout.endswith("nothing that is billed for it\n")
