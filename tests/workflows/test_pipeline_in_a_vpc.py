"""A tag deploys prod: private gateway, record, service, from a runner in the VPC with a role of its own in AWS."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from sandbox import Sandbox
from tests.end_to_end.account import REGION, key, policy
from tests.end_to_end.behind import alive, need_hosts, writes
from tests.rendered import Bake
from tests.workflows.act import Execution
from tests.workflows.conftest import Team
from tests.workflows.forge import Forge

pytestmark = [pytest.mark.server, pytest.mark.gateway]
PIPELINE = ["target", "plan", "approve", "gateway", "dns", "service", "smoke"]


@pytest.fixture(scope="module")
def shared(baked: Bake, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Team]:
    """As a team sets it up by docs/ci.md; nobody's token does more than it has to."""
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
        policies = (policy(forge.project, name, ZONE_ID=sandbox.aws.zone_id) for name in ("dns", "recover", "alarms"))
        session = key(sandbox, *policies)
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
        yield Team(sandbox, forge, target="prod")


@pytest.fixture(scope="module")
def first_tag(shared: Team) -> Execution:
    """What became of the tag that deployed prod."""
    return push_tag(shared)


@pytest.fixture
def deployed(first_tag: Execution, team: Team) -> Team:
    """The team, whose prod runs as the files of main say."""
    assert first_tag.ok, str(first_tag)
    team.deploy_again()
    return team


def push_tag(team: Team) -> Execution:
    return team.forge.run("push", "deploy.yml", ref="refs/tags/v1.0.0")


def all_succeeded(execution: Execution) -> bool:
    """Return whether the whole pipeline ran, and every job of it succeeded."""
    results = {name.rpartition("/")[2]: job.result for name, job in execution.jobs.items()}
    return execution.ok and results == dict.fromkeys(PIPELINE, "success")


def start_deploy(team: Team, **allowed: str) -> Execution:
    """Start a deploy of prod by hand."""
    return team.forge.run("workflow_dispatch", "deploy.yml", inputs={"environment": "prod"} | allowed)


def enlarge_gateway(team: Team) -> None:
    """Push a gateway file whose change needs another gateway."""
    path = "dstack/gateway.dstack.yml"
    text = (team.forge.work / path).read_text("utf-8")
    assert "t3.medium" in text
    team.forge.write({path: text.replace("t3.medium", "t3.large")})
    team.forge.push("a larger gateway")


def test_a_tag_ends_with_a_chat_answered_by_name(first_tag: Execution, team: Team) -> None:
    execution = first_tag
    assert all_succeeded(execution), str(execution)
    for part in ("gateway", "records", "service"):
        assert f"{part} mistral-nemo: create" in execution.job("plan").summary
    name = f"mistral-nemo.{team.sandbox.aws.zone}"
    assert f"{name} -> " in execution.job("dns").summary.replace("&gt;", ">")
    assert f"http://{name}/v1 answers as" in execution.job("smoke").summary


def test_a_second_tag_changes_nothing(deployed: Team) -> None:
    before = writes(deployed.sandbox)
    execution = push_tag(deployed)
    assert all_succeeded(execution), str(execution)
    for part in ("gateway", "records", "service"):
        assert f"{part} mistral-nemo: unchanged" in execution.job("plan").summary
    assert writes(deployed.sandbox) == before


def test_a_pull_request_s_plan_has_gateway_and_records(deployed: Team) -> None:
    deployed.forge.variables["ENVIRONMENTS"] = '["prod"]'
    deployed.forge.write({"README.md": "Better."})
    execution = deployed.forge.propose("plan.yml")
    assert execution.ok, str(execution)
    [comment] = deployed.forge.comments
    for part in ("gateway", "records", "service"):
        assert f"{part} mistral-nemo: unchanged" in comment


@pytest.mark.parametrize("part", ["gateway", "dns", "service"])
def test_a_part_is_started_by_hand(deployed: Team, part: str) -> None:
    before = writes(deployed.sandbox)
    execution = deployed.forge.run("workflow_dispatch", f"{part}.yml", inputs={"environment": "prod"})
    assert execution.ok, str(execution)
    assert f"inv {part}." in execution.summary
    assert writes(deployed.sandbox) == before
    if part == "gateway":
        assert execution.job("gateway").outputs["gateway"]["addresses"].startswith("10.")


def test_a_runner_outside_the_vpc_warns_that_the_service_is_not_verified(deployed: Team) -> None:
    deployed.forge.prefix = ()
    execution = deployed.forge.run("workflow_dispatch", "service.yml", inputs={"environment": "prod"})
    assert execution.ok, str(execution)
    assert [one for one in execution.annotations if one.startswith("warning: deployed, but this runner can't reach")]


def test_a_terminated_gateway_is_recovered_by_the_workflow(deployed: Team) -> None:
    forge, sandbox = deployed.forge, deployed.sandbox
    prod = (forge.work / "environments" / "prod.yml").read_text("utf-8")
    forge.write({"environments/prod.yml": f"{prod}recovery: automatic\n"})
    forge.push("it may recover by itself")
    forge.variables["GATEWAYS"] = '["prod"]'
    [gateway] = alive(sandbox)
    sandbox.aws.terminate(gateway)
    execution = forge.run("repository_dispatch", "recover.yml", action="gateway")
    assert execution.ok, str(execution)
    assert "has ended, and dstack does not notice" in execution.summary
    assert "the name answers, and so does each replica of the gateway" in execution.summary
    assert not forge.state.get("issues")
    assert alive(sandbox) not in ([], [gateway])


def test_a_gateway_is_replaced_by_the_jobs_of_the_pipeline(deployed: Team) -> None:
    pods = [pod.id for pod in deployed.sandbox.pods() if pod.running]
    enlarge_gateway(deployed)
    deployed.deployed_other = True
    execution = start_deploy(deployed)
    assert execution.ok, str(execution)
    assert "gateway mistral-nemo-gw-b: replace" in execution.job("plan").summary
    assert "gateway mistral-nemo: deleted" in execution.job("old-gateway/gateway/gateway").log
    assert f"http://mistral-nemo.{deployed.sandbox.aws.zone}/v1 answers as" in execution.job("smoke").summary
    assert [pod.id for pod in deployed.sandbox.pods() if pod.running] == pods
