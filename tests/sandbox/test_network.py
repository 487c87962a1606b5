"""The VPC's network namespaces. They take root."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox.aws.vpc.network import Network, missing

pytestmark = [
    pytest.mark.gateway,
    pytest.mark.skipif(missing() is not None, reason=f"EC2 hosts: {missing()}"),
]


@pytest.fixture
def network() -> Iterator[Network]:
    made = Network.create()
    yield made
    made.close()


def test_names_are_the_vpcs_also_after_this_machine_has_written_its_own_settings_anew(
    network: Network, tmp_path: Path
) -> None:
    etc, folder = tmp_path / "etc", tmp_path / "aws"
    etc.mkdir()
    folder.mkdir()
    (etc / "resolv.conf").write_text("nameserver 192.0.2.1\n", "utf-8")
    network.serve_names(folder, etc)
    network.run("grep", "-q", network.resolver, str(etc / "resolv.conf"))
    (etc / "new").write_text("nameserver 192.0.2.2\n", "utf-8")
    (etc / "new").rename(etc / "resolv.conf")  # as a DHCP client does
    network.run("grep", "-q", network.resolver, str(etc / "resolv.conf"))
    assert "192.0.2.2" in (etc / "resolv.conf").read_text("utf-8")
