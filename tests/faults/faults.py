"""The faults. Each function makes one on a service that callers use, and returns when it is over."""

from __future__ import annotations

import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.faults.measuring import Service, await_true
from tests.sandbox.deployment import dstack_server_of

CLOUDS = ("runpod", "vastai")


@dataclass(frozen=True)
class Fault:
    """A fault: its name in the table, what heals it, and how it is made."""

    name: str
    healed_by: str
    make: Callable[[Service], None]


FAULTS: dict[str, Fault] = {}  # by the name of the function


def fault(name: str, healed_by: str) -> Callable[[Callable[[Service], None]], Callable[[Service], None]]:
    """Add the function that follows to FAULTS."""

    def add(make: Callable[[Service], None]) -> Callable[[Service], None]:
        FAULTS[make.__name__] = Fault(name, healed_by, make)
        return make

    return add


# A replica


@fault("the machine of one of two replicas dies", "dstack rents another one")
def pod_killed(service: Service) -> None:
    victim = service.machines()[0]
    service.sandbox.kill_pod(victim)
    await_true(lambda: victim not in service.machines() and service.whole, 480)


@fault("the engine of one of two replicas crashes", "dstack rents another machine")
def container_crashes(service: Service) -> None:
    victim = service.machines()[0]
    service.engine_of(victim).kill()
    await_true(lambda: victim not in service.machines() and service.whole, 480)


@fault(
    "the engine of one of two replicas hangs, with `HANG_SECONDS` at 120",
    "the monitor ends it, and dstack rents another machine",
)
def engine_hangs(service: Service) -> None:
    victim = service.machines()[0]
    service.sandbox.hang_engine(victim)
    await_true(lambda: victim not in service.machines() and service.whole, 600)


# The GPU clouds


@fault("both clouds' APIs answer 500 for a minute", "nothing has to be healed")
def clouds_down(service: Service) -> None:
    for cloud in CLOUDS:
        service.sandbox.faults.add("error", cloud, status=500)
    time.sleep(60)
    service.sandbox.faults.clear()


@fault("the key of a cloud is revoked for a minute", "nothing has to be healed, once the key works again")
def key_revoked(service: Service) -> None:
    rented = [pod.cloud for pod in service.sandbox.pods() if pod.id in service.machines()]
    service.sandbox.faults.add("key", rented[0])
    time.sleep(60)
    service.sandbox.faults.clear()


@fault("no cloud has capacity during a rollout", "`inv deploy` rolls back")
def no_capacity(service: Service) -> None:
    for cloud in CLOUDS:
        service.sandbox.faults.set_capacity(cloud, available=False)
    _deploy(service, 26, {"MAX_NUM_SEQS": 64}, timeouts={"capacity": 30, "ready": 300})


# A bad change


@fault("a change to an image that does not exist", "`inv deploy` rolls back")
def bad_image(service: Service) -> None:
    service.sandbox.faults.add("image", image="*:v99.0.0")
    service.settings["service"] = service.settings["service"] | {"image": "vllm/vllm-openai:v99.0.0"}
    service.write()
    assert service.inv("deploy", "--yes").returncode != 0


@fault("a change to a flag that vLLM does not know", "`inv deploy` rolls back")
def bad_flag(service: Service) -> None:
    _deploy(service, 28, {"TOOL_FLAGS": "--no-such-flag"})


# The dstack server


@fault("the dstack server restarts during a rollout", "`inv deploy` waits for it, and goes on")
def server_restarted(service: Service) -> None:
    service.put({"MAX_NUM_SEQS": 96})
    process = service.submit()
    time.sleep(3)
    service.sandbox.restart_server()
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors


@fault("the dstack server is away for five minutes", "gateway and replicas reconnect by themselves")
def server_away(service: Service) -> None:
    assert service.sandbox.folder
    server = dstack_server_of(service.sandbox.folder)
    assert server
    server.suspend()
    time.sleep(300)
    server.resume()


# The gateway


@fault("the gateway's host loses power", "it boots again, and the gateway starts with it")
def gateway_power_loss(service: Service) -> None:
    [gateway] = service.gateways
    service.sandbox.aws.power_loss(gateway)
    await_true(lambda: "choices" in service.ask_by_name(), 300)


@fault("the gateway's instance is terminated", "`inv gateway.recover`")
def gateway_terminated(service: Service) -> None:
    [gateway] = service.gateways
    service.sandbox.aws.terminate(gateway)
    await_true(lambda: not service.gateways, 60)
    done = service.inv("gateway.recover", "--yes")
    assert done.returncode == 0, done.stderr
    await_true(lambda: "choices" in service.ask_by_name(), 300)


@fault("Route 53 throttles while the gateway gets a second replica", "`inv deploy` asks again")
def route53_throttled(service: Service) -> None:
    service.sandbox.faults.add("error", "aws", status=400, code="Throttling", route="route53:*", times=3)
    service.put(gateway_replicas=2)
    service.deploy()


# Deploys


@fault("a deploy is killed at four steps, and then run again", "`inv deploy`, which continues")
def deploy_killed(service: Service) -> None:
    service.put({"MAX_NUM_SEQS": 80})
    for lines in (1, 3, 5, 7):
        _kill_after(service, lines)
    service.deploy()


@fault("two people deploy different changes at the same moment", "who is overtaken gets 31, and nothing is undone")
def two_deploys(service: Service) -> None:
    with TemporaryDirectory() as folder:
        shutil.copytree(service.project, Path(folder) / service.project.name)
        colleague = Service(Path(folder) / service.project.name, service.sandbox, service.name)
        service.put({"MAX_NUM_SEQS": 72})
        first = service.submit()
        colleague.put({"MAX_NUM_SEQS": 88})
        colleague.deploy()
        _, errors = first.communicate(timeout=600)
        assert first.returncode == 31, errors


def _deploy(service: Service, code: int, environ: dict[str, object], **settings: object) -> None:
    """Deploy these variables of the engine, and other settings. The deploy has to end with `code`."""
    service.put(environ)
    service.write(**settings)
    done = service.inv("deploy", "--yes")
    assert done.returncode == code, done.stderr


def _kill_after(service: Service, lines: int) -> None:
    """Start a deploy, and kill it after so many lines of progress; one that ends before is no failure."""
    with service.start("deploy", "--yes") as process:
        assert process.stderr
        for number, _ in enumerate(process.stderr, 1):
            if number >= lines:
                process.send_signal(signal.SIGKILL)
                break
        process.communicate(timeout=600)
    assert process.returncode in (0, -signal.SIGKILL)
