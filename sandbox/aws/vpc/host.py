"""An EC2 host: a machine that boots from an overlay of the base image, with the instance's user data and address."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from sandbox.aws.vpc.network import BRIDGE, Network
from sandbox.aws.vpc.status_checks import StatusChecks
from sandbox.errors import SandboxError

_SHUTDOWN_SECONDS = 30.0  # for services to end, before the power is cut
_INIT_SECONDS = 10.0
_POLL_SECONDS = 0.05
_BOOT_SECONDS = 120.0  # until it answers on its network
_ANSWER_SECONDS = 1.0
_SSH_PORT = 22
_POWER_OFF = signal.SIGRTMIN + 4  # systemd(1)
_NSPAWN = (
    *("systemd-nspawn", "--quiet", "--boot", "--console=pipe", "--register=no", "--keep-unit"),
    *("--link-journal=no", "--resolv-conf=off", "--timezone=off", f"--network-bridge={BRIDGE}"),
)


@dataclass(frozen=True)
class HostSpec:
    """What EC2 says about a host."""

    id: str  # of the instance
    address: str  # the private one
    user_data: bytes


class Host:
    """One host, switched off at first. Its methods are for one thread at a time."""

    def __init__(self, spec: HostSpec, base: Path, folder: Path, network: Network) -> None:
        """`base` is the root of the base image; `folder` will keep disk and console, for this host only."""
        self.spec = spec
        self._base = base
        self._folder = folder
        self._network = network
        self._process: subprocess.Popen[bytes] | None = None
        self._switched_on = False
        self._boots_until: float | None = None  # monotonic; None: it has answered since it started
        self._disk_lost = False

    @property
    def switched_on(self) -> bool:
        """Whether EC2 has started it and not stopped it since; it stays so when the power fails."""
        return self._switched_on

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Switch it on; returns when its first process runs, long before its services do. Raises SandboxError."""
        self._switched_on, self._disk_lost, self._boots_until = True, False, time.monotonic() + _BOOT_SECONDS
        if not self._disk.exists():
            self._format()
        self._merged.mkdir(exist_ok=True)
        layers = f"lowerdir={self._base},upperdir={self._disk},workdir={self._folder / 'work'}"
        self._network.run("mount", "-t", "overlay", "overlay", "-o", layers, str(self._merged))
        nspawn = self._network.command(*_NSPAWN, f"--machine={self.spec.id}", f"--directory={self._merged}")
        with (self._folder / "console.log").open("ab") as console:
            self._process = subprocess.Popen(
                self._network.cgroups.command(self.spec.id, *nspawn),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        end = time.monotonic() + _INIT_SECONDS
        while self._init() is None and self.running and time.monotonic() < end:
            time.sleep(_POLL_SECONDS)
        if not self.running:
            raise SandboxError(f"{self.spec.id} doesn't boot; see {self._folder / 'console.log'}")

    def checks(self) -> StatusChecks:
        """Return what EC2's status checks of it find now. Another thread may ask."""
        if not self._switched_on:
            return StatusChecks()
        if not self.running:
            return StatusChecks(system=True, instance=True)
        if answers := self._answers():
            self._boots_until = None
        boots = self._boots_until is not None and time.monotonic() < self._boots_until
        return StatusChecks(instance=not answers and not boots, disk=self._disk_lost, initializing=boots)

    def shut_down(self) -> None:
        """Let its services end, then switch it off."""
        self._switched_on = False
        init = self._init()
        if self._process is not None and init is not None:
            with suppress(psutil.NoSuchProcess):
                init.send_signal(_POWER_OFF)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_SHUTDOWN_SECONDS)
        self.cut_power()

    def hang(self) -> None:
        """Stop everything in it: no program goes on, and it does not answer on its network."""
        self._freeze()
        self._network.run("ip", "link", "set", "dev", f"vb-{self.spec.id}", "down")

    def lose_disk(self) -> None:
        """Stop every program in it, as programs wait for ever for a disk that does not answer; its kernel answers."""
        self._disk_lost = True
        self._freeze()

    def cut_power(self) -> None:
        """Switch it off without a warning to anything in it; its disk stays as it is."""
        if self._process is None:
            return
        # Not nsenter itself: it must reap them, or they block the end of the VPC's namespaces as zombies.
        for process in self._tree():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()
        self._process = None
        self._network.run("umount", "--lazy", str(self._merged))
        with suppress(SandboxError):  # the kernel takes its cable away too, but a new one must not meet the old
            self._network.run("ip", "link", "delete", f"vb-{self.spec.id}")

    def terminate(self) -> None:
        """Switch it off for ever, and take its disk away."""
        self._switched_on = False
        self.cut_power()
        self.wipe()

    def wipe(self) -> None:
        """Take away everything that was written to its disk; it must be off."""
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def _disk(self) -> Path:
        return self._folder / "disk"

    @property
    def _merged(self) -> Path:
        return self._folder / "root"

    def _format(self) -> None:
        """A disk as a new instance has it: the base image, and what the cloud tells the instance."""
        (self._folder / "work").mkdir(parents=True)
        spec, network = self.spec, self._network
        host_name = f"ip-{spec.address.replace('.', '-')}"
        seed = "var/lib/cloud/seed/nocloud"
        interface = f"[Match]\nName=host0\n[Network]\nAddress={spec.address}/{network.addresses.prefixlen}\n"
        for path, content in {
            f"{seed}/user-data": spec.user_data,
            f"{seed}/meta-data": json.dumps({"instance-id": spec.id, "local-hostname": host_name}).encode(),
            "etc/systemd/network/10-vpc.network": f"{interface}IPv6AcceptRA=no\nLinkLocalAddressing=no\n".encode(),
            "etc/resolv.conf": f"nameserver {network.resolver}\n".encode(),
            "etc/hostname": f"{host_name}\n".encode(),
        }.items():
            file = self._disk / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)

    def _answers(self) -> bool:
        """Whether its kernel answers on its network: by a connection, or by a refusal."""
        try:
            socket.create_connection((self.spec.address, _SSH_PORT), _ANSWER_SECONDS).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
        return True

    def _freeze(self) -> None:
        """Stop its first process and all others; none of them notices. Raises SandboxError when it is off."""
        if (init := self._init()) is None:
            raise SandboxError(f"{self.spec.id} is off")
        for process in (init, *init.children(recursive=True)):
            with suppress(psutil.NoSuchProcess):
                process.suspend()

    def _tree(self) -> list[psutil.Process]:
        """The processes of the machine, its first one among them: all that descends from nsenter."""
        if self._process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            return psutil.Process(self._process.pid).children(recursive=True)
        return []

    def _init(self) -> psutil.Process | None:
        """The container's first process: the one whose process namespace isn't the VPC's."""
        outside = os.readlink(f"/proc/{self._network.pid}/ns/pid")
        for process in self._tree():
            with suppress(OSError, psutil.NoSuchProcess):
                if os.readlink(f"/proc/{process.pid}/ns/pid") not in (outside, os.readlink("/proc/self/ns/pid")):
                    return process
        return None
