"""The VPC's network: a bridge in namespaces of its own, and one cable from there to this machine.

    this machine                        the VPC: network, process and mount namespaces
    address 1 (pods), 2 (resolver) ---- bridge, address 3 (whoever is "inside") ---- EC2 hosts, from address 4 on

The namespaces live as long as their first process, which waits for the end of its input: however the owner ends, the
kernel then ends everything in them and takes away bridge, cable, addresses and mounts. Only control groups are left,
which the namespaces' parent then removes. Nothing is forwarded: the VPC has no route to anywhere.
"""

from __future__ import annotations

import ipaddress
import json
import os
import random
import shutil
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from sandbox.aws.vpc.cgroups import Cgroups
from sandbox.errors import SandboxError

BRIDGE = "vpc"
_CABLE = "cable"  # the inner end
_RANGE = ipaddress.IPv4Network("10.192.0.0/11")  # rarely somebody's own
_PREFIX = 24
_ATTEMPTS = 50
# The shell outlives everybody, to remove what the kernel doesn't.
_HOLDER = "trap '' INT TERM HUP; unshare --net --pid --mount --fork --kill-child=KILL --mount-proc cat; {}"
_STOP_SECONDS = 10.0
PACKAGES = {  # command: Debian package
    "ip": "iproute2",
    "nsenter": "util-linux",
    "systemd-nspawn": "systemd-container",
    "debootstrap": "debootstrap",
}


def missing() -> str | None:
    """What this machine lacks for EC2 hosts, in one line with what to do about it; None when nothing is missing."""
    commands = [command for command in PACKAGES if shutil.which(command) is None]
    if commands:
        packages = " ".join(sorted({PACKAGES[command] for command in commands}))
        return f"missing on this machine: {', '.join(commands)}; run `sudo apt-get install -y {packages}`"
    if os.geteuid() != 0:
        return "they need root; start the sandbox with sudo"
    return None


class Network:
    """A VPC's network; made by `Network.create()`."""

    def __init__(
        self, addresses: ipaddress.IPv4Network, cgroups: Cgroups, holder: subprocess.Popen[bytes], pid: int
    ) -> None:
        """`addresses` are those of the cable that _connect() laid, `pid` is what _first_process() returned."""
        self.addresses = addresses
        self.cgroups = cgroups
        self.pid = pid  # of the namespaces' first process
        self.pods, self.resolver, self.client = (str(addresses[n]) for n in (1, 2, 3))
        self._holder = holder

    @classmethod
    def create(cls) -> Network:
        """Make a network of addresses that this machine doesn't use. Raises SandboxError where it isn't permitted."""
        cgroups = Cgroups()
        script = ["sh", "-c", _HOLDER.format(cgroups.removal)]
        holder = subprocess.Popen(script, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        try:
            pid = _first_process(holder)
            addresses = _connect(pid)
            network = cls(addresses, cgroups, holder, pid)
            for command in (
                f"link add {BRIDGE} type bridge",
                f"link set {_CABLE} master {BRIDGE}",
                "link set lo up",
                f"link set {_CABLE} up",
                f"link set {BRIDGE} up",
                f"address add {network.client}/{_PREFIX} dev {BRIDGE}",
            ):
                network.run("ip", *command.split())
            # systemd-nspawn leaves files in /run, and some machines look names up through a socket there
            network.run("mount", "-t", "tmpfs", "tmpfs", "/run")
        except BaseException:
            _end(holder)
            raise
        return network

    def command(self, *words: str) -> list[str]:
        """The command that runs `words` inside the namespaces, as root."""
        return ["nsenter", f"--target={self.pid}", "--net", "--pid", "--mount", "--", *words]

    def run(self, *words: str) -> None:
        """Run a command inside the namespaces. Raises SandboxError with what it said when it fails."""
        _run(*self.command(*words))

    def serve_names(self, folder: Path, etc: Path = Path("/etc")) -> None:
        """Make commands inside use only the VPC's resolver. `folder` keeps the files that set this.

        They lie over the whole folder `etc`. A mount on a single file would be gone as soon as a program of this
        machine replaces that file, as DHCP clients do with resolv.conf.
        """
        own, work = folder / "etc", folder / "etc-work"
        for path in (own, work):
            path.mkdir()
        (own / "resolv.conf").write_text(f"nameserver {self.resolver}\n")
        (own / "nsswitch.conf").write_text("hosts: files dns\n")
        layers = f"lowerdir={etc},upperdir={own},workdir={work}"
        self.run("mount", "-t", "overlay", "overlay", "-o", layers, str(etc))

    def close(self) -> None:
        """End everything inside and take the network away. A second call does nothing."""
        with suppress(SandboxError):  # the kernel does it as well, but later
            _run("ip", "link", "delete", _cable_end(self.addresses))
        _end(self._holder)


def _first_process(holder: subprocess.Popen[bytes]) -> int:
    """The pid of `cat` in the new namespaces, once it runs."""
    assert holder.stdin
    assert holder.stdout
    assert holder.stderr
    with suppress(BrokenPipeError):
        holder.stdin.write(b"ready\n")
        holder.stdin.flush()
    if not holder.stdout.readline():
        raise SandboxError(f"no namespaces for EC2 hosts: {holder.stderr.read().decode().strip()}")
    unshare = _only_child(holder.pid)
    return _only_child(unshare)


def _only_child(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text())


def _connect(pid: int) -> ipaddress.IPv4Network:
    """Lay the cable between this machine and the network namespace of `pid`; returns the addresses that it got.

    The name of the cable's end says which addresses it has: of two sandboxes that choose the same ones, the kernel
    refuses the second.
    """
    used = list(_used())
    for _ in range(_ATTEMPTS):
        addresses = random.choice(list(_RANGE.subnets(new_prefix=_PREFIX)))
        if any(addresses.overlaps(other) for other in used):
            continue
        end = _cable_end(addresses)
        try:
            _run("ip", "link", "add", end, "type", "veth", "peer", "name", _CABLE, "netns", str(pid))
        except SandboxError as e:
            if "exists" in str(e):
                continue
            raise
        for number in (1, 2):
            _run("ip", "address", "add", f"{addresses[number]}/{_PREFIX}", "dev", end)
        _run("ip", "link", "set", end, "up")
        return addresses
    raise SandboxError(f"no free network with {2 ** (32 - _PREFIX)} addresses found in {_RANGE}")


def _cable_end(addresses: ipaddress.IPv4Network) -> str:
    """The name of the cable's end on this machine."""
    return f"vpc{int(addresses.network_address) >> 8:06x}"


def _used() -> Iterable[ipaddress.IPv4Network]:
    """The networks that this machine has a route to, without the default route."""
    routes = subprocess.run(["ip", "-json", "-4", "route"], check=True, capture_output=True, text=True).stdout
    for route in json.loads(routes):
        if route["dst"] != "default":
            yield ipaddress.IPv4Network(route["dst"])


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise SandboxError(f"`{' '.join(command)}` failed: {done.stderr.strip() or done.stdout.strip()}")


def _end(holder: subprocess.Popen[bytes]) -> None:
    assert holder.stdin
    with suppress(BrokenPipeError):
        holder.stdin.close()
    try:
        holder.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        holder.kill()
        holder.wait()
    for stream in (holder.stdout, holder.stderr):
        assert stream
        stream.close()
