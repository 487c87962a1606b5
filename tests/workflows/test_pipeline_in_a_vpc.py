"""A tag deploys prod: private gateway, record, service, from a runner in the VPC with a role of its own in AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import Sandbox
from tests.end_to_end.account import REGION, key, policy
from tests.end_to_end.behind import need_hosts, writes
from tests.rendered import Bake
from tests.workflows.act import Execution
from tests.workflows.conftest import Team
from tests.workflows.forge import Forge

pytestmark = [pytest.mark.server, pytest.mark.gateway]
PIPELINE = ["target", "plan", "approve", "gateway", "dns", "service", "smoke"]


@pytest.fixture(scope="module")
def team(baked: Bake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """As a team sets it up by README.md; nobody's token does more than it has to."""
    with Sandbox(aws=True, load_seconds=1) as sandbox:
        need_hosts(sandbox)
        forge = Forge(
            tmp_path_factory.mktemp("github") / "forge", baked(aws_region=REGION, dstack_project=sandbox.project)
        )
        forge.secrets = {
            "DSTACK_TOKEN": sandbox.add_user("ci"),
            "DSTACK_ADMIN_TOKEN": sandbox.add_user("ci-gateways", "admin"),
        }
        forge.variables = {
            "DSTACK_SERVER_URL": sandbox.url,
            "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/mistral-nemo-dns",
            "RUNNERS": '{"prod": "self-hosted"}',
        }
        session = key(sandbox, policy(forge.project, "dns", ZONE_ID=sandbox.aws.zone_id))
        forge.role("mistral-nemo-dns", {name: session[name] for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")})
        forge.environ = {name: session[name] for name in ("AWS_ENDPOINT_URL", "AWS_EC2_METADATA_DISABLED")}
        forge.prefix = sandbox.aws.command_beside(forge.work, "env", f"--chdir={forge.work}")
        prod = (forge.work / "environments" / "prod.yml").read_text("utf-8")
        assert "vpc-REPLACE" in prod
        prod = prod.replace("vpc-REPLACE", sandbox.aws.vpc_id) + "timeouts: {capacity: 240, ready: 300}\n"
        forge.write({"environments/prod.yml": prod.replace("\nservice:\n", "\nservice:\n  env: {HF_TOKEN: null}\n")})
        forge.push("where prod is")
        forge.git("tag", "v1.0.0")
        forge.git("push", "--quiet", "origin", "v1.0.0")
        yield Team(sandbox, forge)


def deploy(team: Team) -> Execution:
    execution = team.forge.run("push", "deploy.yml", ref="refs/tags/v1.0.0")
    assert execution.ok, str(execution)
    assert {name.rpartition("/")[2]: job.result for name, job in execution.jobs.items()} == dict.fromkeys(
        PIPELINE, "success"
    )
    return execution


def test_a_tag_ends_with_a_chat_answered_by_name(team: Team) -> None:
    execution = deploy(team)
    for part in ("gateway", "records", "service"):
        assert f"{part} mistral-nemo: create" in execution.job("plan").summary
    name = f"mistral-nemo.{team.sandbox.aws.zone}"
    assert f"{name} -> " in execution.job("dns").summary.replace("&gt;", ">")
    assert f"http://{name}/v1 answers as" in execution.job("smoke").summary


def test_a_second_tag_changes_nothing(team: Team) -> None:
    before = writes(team.sandbox)
    execution = deploy(team)
    for part in ("gateway", "records", "service"):
        assert f"{part} mistral-nemo: unchanged" in execution.job("plan").summary
    assert writes(team.sandbox) == before


def test_a_pull_request_s_plan_has_gateway_and_records(team: Team) -> None:
    team.forge.variables["ENVIRONMENTS"] = '["prod"]'
    team.forge.write({"README.md": "Better."})
    execution = team.forge.propose("plan.yml")
    assert execution.ok, str(execution)
    [comment] = team.forge.comments
    for part in ("gateway", "records", "service"):
        assert f"{part} mistral-nemo: unchanged" in comment


@pytest.mark.parametrize("part", ["gateway", "dns", "service"])
def test_a_part_is_started_by_hand(team: Team, part: str) -> None:
    before = writes(team.sandbox)
    execution = team.forge.run("workflow_dispatch", f"{part}.yml", inputs={"environment": "prod"})
    assert execution.ok, str(execution)
    assert f"inv {part}." in execution.summary
    assert writes(team.sandbox) == before
    if part == "gateway":
        assert execution.job("gateway").outputs["gateway"]["addresses"].startswith("10.")


def test_a_runner_outside_the_vpc_warns_that_the_service_is_not_verified(team: Team) -> None:
    inside, team.forge.prefix = team.forge.prefix, ()
    execution = team.forge.run("workflow_dispatch", "service.yml", inputs={"environment": "prod"})
    team.forge.prefix = inside
    assert execution.ok, str(execution)
    assert [one for one in execution.annotations if one.startswith("warning: deployed, but this runner can't reach")]


def test_a_gateway_that_would_be_replaced_stops_the_pipeline_before_it_is_touched(team: Team) -> None:
    path = "dstack/gateway.dstack.yml"
    text = (team.forge.work / path).read_text("utf-8")
    team.forge.write({path: text.replace("t3.medium", "t3.large")})
    team.forge.push("a larger gateway")
    before = writes(team.sandbox)
    execution = team.forge.run("workflow_dispatch", "deploy.yml", inputs={"environment": "prod"})
    assert not execution.ok
    assert execution.job("plan").result == "failure"
    assert "error: changing instance_type recreates the gateway" in execution.summary
    assert writes(team.sandbox) == before


def test_a_gateway_is_replaced_when_that_is_allowed(team: Team) -> None:
    pods = [pod.id for pod in team.sandbox.pods() if pod.running]
    ticked = {"environment": "prod", "allow-recreation": "true"}
    execution = team.forge.run("workflow_dispatch", "deploy.yml", inputs=ticked)
    assert execution.ok, str(execution)
    assert "gateway mistral-nemo: restart" in execution.job("plan").summary
    assert f"http://mistral-nemo.{team.sandbox.aws.zone}/v1 answers as" in execution.job("smoke").summary
    assert [pod.id for pod in team.sandbox.pods() if pod.running] == pods


def test_no_secret_is_in_anything_that_was_written(team: Team) -> None:
    assert len(team.forge.executions) > 8
    assert team.forge.leaks() == []
