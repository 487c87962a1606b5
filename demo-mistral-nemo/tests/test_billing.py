from types import SimpleNamespace
from typing import Any

import pytest
from conftest import job, run

from console.errors import ExitCode, Failure
from deploy.billing import bill, billed
from deploy.dstack.answers import Run
from deploy.dstack.gateway import Gateway
from deploy.environments import Environment

GATEWAY = Gateway(
    status="running", configuration={"backend": "aws", "instance_type": "t3.medium", "replicas": 2}, replicas=[]
)


@pytest.mark.parametrize(
    ("now", "gateways", "said"),
    [
        (run(job(), job(replica=1)), {}, "x is running on 2 machines, $0.80 an hour"),
        (run(job(status="pulling")), {}, "x is running on 1 machine, $0.40 an hour"),
        (run(job(status="submitted", placed=False), status="submitted"), {}, "no GPU is billed until a cloud"),
        (run(status="pending"), {}, "x is asleep: no GPU is billed"),
        (run(status="terminated"), {}, "x does not run: no GPU is billed"),
        (run(job(status="terminating"), status="pending"), {}, "; 1 more being released, and billed until"),
        (None, {}, "x does not run: no GPU is billed"),
        (None, {"x": GATEWAY}, "x does not run: no GPU is billed; gateway x is billed by aws: 2 x t3.medium"),
        (None, {"x": GATEWAY, "x-gw-b": GATEWAY}, "; gateway x-gw-b is billed by aws: 2 x t3.medium"),
    ],
)
def test_what_is_billed_is_said_in_a_line(now: Run | None, gateways: dict[str, Gateway], said: str) -> None:
    assert said in bill("x", now, gateways)


class Server:
    def __init__(self, now: Run | Failure) -> None:
        self.now = now

    def patient(self, notify: Any, seconds: float) -> Any:
        return self

    def run(self, name: str) -> Run:
        if isinstance(self.now, Failure):
            raise self.now
        return self.now

    def gateway(self, name: str) -> None:
        return None


@pytest.mark.parametrize(
    "ending", [KeyboardInterrupt(), SystemExit(1), ValueError("bug"), Failure(ExitCode.CRASHED, "x")], ids=repr
)
def test_whatever_ends_a_deploy_says_what_is_billed(environment: Environment, ending: BaseException) -> None:
    said: list[str] = []
    with pytest.raises(type(ending)), billed(Server(run(job())), environment, said.append):  # type: ignore[arg-type]
        raise ending
    assert "is running on 1 machine, $0.40 an hour; inv destroy --env prod ends it" in said[0]


def test_a_server_that_is_unreachable_then_is_reported_and_hides_nothing(environment: Environment) -> None:
    said: list[str] = []
    server: Any = Server(Failure(ExitCode.SERVER_UNREACHABLE, "gone"))
    with pytest.raises(ValueError, match="bug"), billed(server, environment, said.append):
        raise ValueError("bug")
    assert "not known what runs" in said[0]


def test_success_prints_nothing(environment: Environment) -> None:
    with billed(SimpleNamespace(), environment, pytest.fail):  # type: ignore[arg-type]
        pass
