"""The process behind the emulated AWS, started by the sandbox's world as `python -m sandbox.aws SETTINGS`.

It says on standard output, in one line of JSON, that it is ready or what went wrong, and ends when standard input does.
"""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import sys
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from sandbox.aws.alarms.actions import NOTIFICATIONS_FILE, AlarmActions
from sandbox.aws.alarms.watch import AlarmWatch
from sandbox.aws.api import landscape
from sandbox.aws.aws_calls import AWS_CALLS_FILE, AwsCall, AwsCallLog
from sandbox.aws.aws_state import ACCESS_KEY, SECRET_KEY, AwsSettings, AwsState
from sandbox.aws.hosts import Hosts
from sandbox.aws.vpc import base_image
from sandbox.aws.vpc.hypervisor import Hypervisor
from sandbox.aws.vpc.network import Network, missing
from sandbox.errors import SandboxError
from sandbox.world.faults import Fault, Faults

_NO_NETWORK = ipaddress.IPv4Network("10.192.0.0/24")  # the VPC's addresses when there will be no hosts
_CREDENTIALS = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}


def run(settings: AwsSettings, closing: ExitStack) -> AwsState:
    """Start everything; `closing` ends it. Raises SandboxError."""
    folder = Path(settings.folder)
    images = folder / "images.json"
    landscape.write_images(images)
    os.environ["MOTO_AMIS_PATH"] = str(images)  # before the first import of moto, which takes a second or two

    from sandbox.aws.api import cloudwatch, interception, moto_contents, strict
    from sandbox.aws.api.moto_server import Answer, MotoServer
    from sandbox.aws.vpc.resolver import Resolver

    base, network, notice = _ground(folder, closing)
    server = MotoServer(settings.token)
    server.start()
    strict.make_route53_strict()
    strict.make_public_addresses_reachable()
    addresses = network.addresses if network else _NO_NETWORK
    made = landscape.create(server.url, _CREDENTIALS, addresses, settings.zone, settings.project)

    hypervisor = None
    if base and network:
        hypervisor = Hypervisor(base.root, folder / "hosts", network)
        closing.callback(hypervisor.stop)
        resolver = Resolver(network.resolver, lambda: moto_contents.names_in(made.vpc_id))
        resolver.start()
        closing.callback(resolver.stop)

    def observe(call: AwsCall) -> None:
        if hypervisor:
            hypervisor.follow(call, moto_contents.running_hosts)

    hosts = Hosts(hypervisor, notice)
    ec2 = {"recover": hosts.recover, "reboot": hosts.reboot}
    cloudwatch.make_alarms_act(AlarmActions(folder / NOTIFICATIONS_FILE, ec2, cloudwatch.topic_exists))
    cloudwatch.make_status_checks_real(hosts.checks)
    watch = AlarmWatch(settings.alarm_speed, lambda: hosts.sample(moto_contents.running_ids()), cloudwatch.alarms)
    watch.start()
    closing.callback(watch.stop)

    faults = Faults()
    interception.intercept(AwsCallLog(folder / AWS_CALLS_FILE), faults, observe)
    answers: dict[str, Answer] = {
        "add-fault": lambda request: faults.add(Fault(**request)),
        "faults": lambda _: [fault.to_json() for fault in faults],
        "clear-faults": lambda request: faults.clear(request["kind"], request["cloud"]),
        "instances": lambda _: moto_contents.infos(hosts.running),
        "zone": lambda request: moto_contents.zone(request["id"]),
    }
    for name, answer in (answers | hosts.breaks).items():
        server.add(name, answer)
    return AwsState(
        folder=settings.folder,
        url=server.url,
        token=settings.token,
        zone=settings.zone,
        zone_id=made.zone_id,
        vpc_id=made.vpc_id,
        network=str(addresses),
        pods_address=network.pods if network else None,
        network_pid=network.pid if network else None,
        notice=notice,
    )


def _ground(folder: Path, closing: ExitStack) -> tuple[base_image.BaseImage | None, Network | None, str]:
    """The base image and the network for hosts, or neither; and a line for people that tells of it."""
    if lacking := missing():
        return None, None, f"no EC2 hosts, so no gateways: {lacking}"
    try:
        network = Network.create()
        closing.callback(network.close)
        network.serve_names(folder)
        base = base_image.get()
    except SandboxError as e:
        closing.close()
        return None, None, f"no EC2 hosts, so no gateways: {e}"
    return base, network, str(base)


def main() -> int:
    settings = AwsSettings(**json.loads(sys.argv[1]))
    logging.basicConfig(filename=Path(settings.folder) / "aws.log", format="%(asctime)s %(name)s %(message)s")
    with ExitStack() as closing:
        try:
            state = run(settings, closing)
        except SandboxError as e:
            print(json.dumps({"error": str(e)}), flush=True)
            return 1
        print(json.dumps(asdict(state)), flush=True)
        sys.stdin.read()  # nothing is ever written: this returns when the world lets go
    return 0


if __name__ == "__main__":
    sys.exit(main())
