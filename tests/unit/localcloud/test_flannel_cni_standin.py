"""The stand-in for flannel's CNI plugin, run as containerd does, with a `bridge` that records."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from toolchain.builds import binary

_LEASE = """FLANNEL_NETWORK=10.244.0.0/16
FLANNEL_SUBNET=10.244.1.1/24
FLANNEL_MTU=1450
FLANNEL_IPMASQ=true
"""
_RESULT = '{"cniVersion": "0.3.1", "ips": [{"version": "4", "address": "10.244.1.7/24"}]}'


@pytest.fixture
def add(tmp_path: Path):
    """Runs ADD with a lease as flanneld writes it; returns the run, and what `bridge` was told."""
    bridge = tmp_path / "bridge"
    bridge.write_text(f"#!/bin/sh\ncat > {tmp_path}/told\necho '{_RESULT}'\n")
    bridge.chmod(0o755)

    def run(lease: str) -> tuple[subprocess.CompletedProcess[str], dict]:
        (tmp_path / "subnet.env").write_text(lease)
        configuration = {
            "cniVersion": "0.3.1",
            "name": "cbr0",
            "type": "flannel",
            "subnetFile": str(tmp_path / "subnet.env"),
            "dataDir": str(tmp_path / "data"),
            "delegate": {"hairpinMode": True, "isDefaultGateway": True},
        }
        done = subprocess.run(
            [str(binary("flannel-cni-standin"))],
            input=json.dumps(configuration),
            env={
                **os.environ,
                "CNI_COMMAND": "ADD",
                "CNI_CONTAINERID": "c1",
                "CNI_NETNS": "/proc/self/ns/net",
                "CNI_NETNS_OVERRIDE": "1",  # this namespace will do: nothing is made in it
                "CNI_IFNAME": "eth0",
                "CNI_PATH": str(tmp_path),
            },
            capture_output=True,
            text=True,
        )
        told = tmp_path / "told"
        return done, json.loads(told.read_text()) if told.exists() else {}

    return run


def test_bridge_gets_the_network_not_the_gateways_address(add):
    done, told = add(_LEASE)
    assert done.returncode == 0, done.stdout
    assert told["type"] == "bridge"
    assert told["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]
    assert told["ipam"]["routes"] == [{"dst": "10.244.0.0/16"}]
    assert (told["mtu"], told["ipMasq"], told["hairpinMode"]) == (1450, False, True)


@pytest.mark.parametrize("lease", ["", "FLANNEL_MTU=1450\n", _LEASE.replace("10.244.1.1/24", "x")])
def test_a_lease_that_is_not_whole_is_an_error_that_says_so(add, lease):
    done, told = add(lease)
    assert done.returncode != 0
    assert "FLANNEL_" in done.stdout
    assert not told
