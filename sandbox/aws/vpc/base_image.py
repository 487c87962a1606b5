"""The disk that every EC2 host starts from: Debian with what a dstack gateway needs, built once and cached.

dstack's user data is written for Ubuntu with a network: it installs nginx, certbot and `dstack[gateway]`. The hosts
have no way out, so all of it is in the image: nginx as a package, dstack as a folder of wheels that pip looks into.
What the user data does beyond that (apt, snap) fails on a host, harmlessly. The image also has the virtual environments
that the user data makes, in the same place. Making them takes half a minute of CPU time. A host that finds them runs
the same commands, which then have little to do.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import ssl
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

from sandbox.errors import SandboxError
from sandbox.world.cache import locked, mebibytes
from sandbox.world.processes import die_with_parent

_SUITE = "bookworm"
# No rsyslog, which the recommended packages would bring: without a kernel log it spins on a core for ever.
_PACKAGES = (
    *("systemd", "systemd-sysv", "dbus", "iproute2", "procps", "sudo", "ca-certificates"),
    *("openssh-server", "cloud-init", "nginx", "python3-venv"),
)
_WHEELS = "/opt/wheels"
_USER = "ubuntu"  # the one whom dstack's user data and server expect
_FILES = {
    "etc/pip.conf": f"[global]\nno-index = true\nfind-links = {_WHEELS}\nno-cache-dir = true\n"
    "disable-pip-version-check = true\n",
    "etc/cloud/cloud.cfg.d/99-sandbox.cfg": json.dumps(
        {
            "datasource_list": ["NoCloud"],
            "network": {"config": "disabled"},  # see host.py
            "system_info": {
                "default_user": {
                    "name": _USER,
                    "sudo": ["ALL=(ALL) NOPASSWD:ALL"],
                    "shell": "/bin/bash",
                    "lock_passwd": True,
                }
            },
            "ssh_genkeytypes": ["ed25519"],
            "manage_etc_hosts": True,
            "locale": False,
            "apt": {"preserve_sources_list": True},
            "growpart": {"mode": "off"},
            "resize_rootfs": False,
        }
    ),
    "etc/hostname": "localhost\n",
}
_SETUP = f"""
set -e
printf '#!/bin/sh\\nexit 101\\n' > /usr/sbin/policy-rc.d  # no service is started in here
chmod +x /usr/sbin/policy-rc.d
apt-get update -q
apt-get install -q -y --no-install-recommends -o Dpkg::Options::=--force-confold $PACKAGES
rm /usr/sbin/policy-rc.d
: > /etc/apt/sources.list  # with sources, apt would look for a network on a host
python3 -m venv /tmp/pip
/tmp/pip/bin/pip wheel --quiet --use-pep517 --wheel-dir {_WHEELS} "dstack[gateway]==$DSTACK"
useradd --create-home --shell /bin/bash {_USER}
export PIP_CONFIG_FILE=/etc/pip.conf
su {_USER} -c "cd && mkdir dstack && python3 -m venv dstack/blue && python3 -m venv dstack/green \\
  && dstack/blue/bin/pip install --quiet 'dstack[gateway]==$DSTACK'"
systemctl enable --quiet systemd-networkd
systemctl disable --quiet systemd-networkd-wait-online apt-daily.timer apt-daily-upgrade.timer
systemctl disable --quiet e2scrub_all.timer fstrim.timer
rm -rf /tmp/* /root/.cache /var/cache/apt /var/lib/apt/lists /var/log/* /etc/ssh/ssh_host_* /etc/machine-id
rm -rf /usr/share/doc /usr/share/man /usr/share/locale
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial /var/log/nginx
: > /etc/machine-id
"""
_CA = "tmp/ca.pem"
_CA_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
_NETWORK_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
_INDEX_VARIABLES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST")
_LOG_LINES = 15


@dataclass(frozen=True)
class BaseImage:
    """A base image; nothing may be written below `root`."""

    root: Path
    seconds: float  # that it took to build
    mebibytes: int  # that it takes on disk
    built: bool  # now, and not found in the cache

    def __str__(self) -> str:
        done = "built" if self.built else "from the cache, built once"
        return f"base image of the EC2 hosts: {done} in {self.seconds:.0f} s, {self.mebibytes} MiB, {self.root.parent}"


def get() -> BaseImage:
    """The base image for the installed dstack; built if it isn't cached: one to three minutes, once, as root.

    The build fetches Debian packages and wheels with this process's proxy, index and CA variables. A second process
    that asks meanwhile waits for the first one's. Raises SandboxError with the end of the build's log.
    """
    dstack = version("dstack")
    recipe = json.dumps([_SUITE, _PACKAGES, _FILES, _SETUP, platform.machine(), dstack])
    name = f"gateway-{dstack}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with locked("lock") as folder:
        target = folder / name
        if built := not target.exists():
            _build(target, dstack)
    return BaseImage(target / "root", built=built, **json.loads((target / "image.json").read_text()))


def _build(target: Path, dstack: str) -> None:
    print("sandbox: building the base image of EC2 hosts, once; it takes a few minutes", file=sys.stderr, flush=True)
    started = time.monotonic()
    for left in target.parent.glob("*.draft"):  # by builds that were killed: the lock is ours
        shutil.rmtree(left)
    draft = target.with_name(f"{target.name}.draft")
    draft.mkdir()
    root, log = draft / "root", target.with_name(f"{target.name}.log")
    with log.open("wb") as stream:
        # debootstrap mounts /proc in the new root; in namespaces of its own, nothing of that can be left behind
        isolated = ("unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
        _run(log, [*isolated, "debootstrap", "--variant=minbase", _SUITE, str(root)], stream, {})
        for path, content in _FILES.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(content)
        shutil.copy(_ca_file(), root / _CA)
        variables = dict.fromkeys(_CA_VARIABLES, f"/{_CA}")
        variables |= {"PACKAGES": " ".join(_PACKAGES), "DSTACK": dstack, "PIP_CONFIG_FILE": os.devnull}
        _run(log, [*isolated, "chroot", str(root), "/bin/sh", "-c", _SETUP], stream, variables)
    measures = {"seconds": time.monotonic() - started, "mebibytes": mebibytes(root)}
    (draft / "image.json").write_text(json.dumps(measures))
    draft.rename(target)


def _run(log: Path, command: list[str], stream: IO[bytes], variables: dict[str, str]) -> None:
    inherited = {name: os.environ[name] for name in (*_NETWORK_VARIABLES, *_INDEX_VARIABLES) if name in os.environ}
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=stream,
        stderr=stream,
        env=environ | inherited | variables,
        preexec_fn=die_with_parent,  # a build that nobody waits for is not worth its time
    )
    if done.returncode:
        end = "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
        raise SandboxError(f"the base image of the EC2 hosts can't be built; {log} ends:\n{end}")


def _ca_file() -> str:
    """The authorities that this machine trusts; a proxy of its network may be among them."""
    named = next((os.environ[name] for name in _CA_VARIABLES if name in os.environ), None)
    return named or ssl.get_default_verify_paths().cafile or "/etc/ssl/certs/ca-certificates.crt"
