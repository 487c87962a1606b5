"""The first hour: from an account that has a VPC, a zone and a dstack server to an answered request by name.

Only documented commands are typed, with the files as they are rendered. Real hosts, real dstack, emulated clouds.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox import Sandbox
from tests.end_to_end.account import REGION, client
from tests.end_to_end.behind import Behind, alive
from tests.end_to_end.project import refused
from tests.rendered import ROOT

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.timeout(1500),  # it is one story; beside other hosts that boot, it takes ten minutes
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),  # boto3 leaves connections to the collector
]
REPOSITORY = "acme@1/nemo@2"


class Production(Behind):
    """The environment `prod`, whose run has the service's own name."""

    @property
    def run_name(self) -> str:
        return "mistral-nemo"


@pytest.fixture(scope="module")
def prod(cookies_session: Any, vpc: Sandbox) -> Production:
    """The rendered project. In the account, nothing was made for a service."""
    answers = {"dstack_project": vpc.project, "aws_region": REGION, "hosted_zone": vpc.aws.zone}
    folder = Path(cookies_session.bake(template=str(ROOT), extra_context=answers).project_path)
    ec2 = client("ec2", vpc.aws.environ)
    filters = [{"Name": "group-name", "Values": [f"dstack_gw_sg_{vpc.project}"]}]
    for group in ec2.describe_security_groups(Filters=filters)["SecurityGroups"]:
        ec2.delete_security_group(GroupId=group["GroupId"])
    return Production(folder, vpc, "prod")


def test_from_an_empty_account_to_an_answer_by_name_and_back(prod: Production) -> None:
    sandbox, step = prod.sandbox, _Steps(prod)
    refused(prod.inv("doctor"), 20, "vpc-REPLACE", "inv setup.aws --env prod")
    step("setup.aws", "--vpc", sandbox.aws.vpc_id, "--repository", REPOSITORY, "--yes")
    step("secrets.set", "hf_token", typed="hf_token\n")
    step("doctor")
    faster(prod.project)
    step("deploy", "--yes")
    assert "stand-in" in prod.ask_by_name(), "no answer by name"
    found = step("doctor").stdout
    assert f"name: {prod.host} is {min(prod.addresses)}, and takes connections" in found
    assert "in use by" in step("setup.remove", "--dry-run").stdout
    step("destroy", "--yes", "--allow-outage")
    step("setup.remove", "--yes")
    assert alive(sandbox) == []
    assert client("iam", sandbox.aws.environ).list_roles()["Roles"] == []


def faster(project: Path) -> None:
    """Let probes come every second: what is waited for here is not the service's own pace."""
    path = project / "dstack" / "service.dstack.yml"
    service = yaml.safe_load(path.read_text("utf-8"))
    service["probes"] = [probe | {"interval": "1s"} for probe in service["probes"]]
    path.write_text(yaml.safe_dump(service), "utf-8")


class _Steps:
    """Runs one command after the other. A failed one is named."""

    def __init__(self, prod: Production) -> None:
        self._prod = prod

    def __call__(self, *words: str, typed: str | None = None) -> Any:
        done = self._prod.inv(*words, typed=typed)
        assert done.returncode == 0, f"inv {' '.join(words)}: {done.stdout}{done.stderr}"
        return done
