"""The local cloud's fixed numbers and names; Pulumi.local.yaml holds the same ones."""

from __future__ import annotations

from pathlib import Path

from toolchain.local import API_ADDRESS as API_ADDRESS
from toolchain.local import HOST_ADDRESS as HOST_ADDRESS
from toolchain.local import PUBLIC_NETWORK as PUBLIC_NETWORK

REGION = "eu-central-1"
API_PORT = 4599
ENDPOINT = f"http://{API_ADDRESS}:{API_PORT}"

#: Where machines ask for their metadata, and where the host's table leads them.
METADATA_ADDRESS, METADATA_PORT = "169.254.169.254", 4598

BRIDGE = "tbx0"
PUBLIC_ADDRESSES = [f"10.43.0.{n}" for n in range(10, 251)]

#: The name of our nftables table on the host, and of our cgroup in each hierarchy.
TABLE = "tinderbox"
CGROUP = "tinderbox"
#: Network namespaces of machines are named with this before the instance's id.
NETNS_PREFIX = "tbx-"
#: Links of ours begin with this: the bridge, and the host's end of each machine's cable.
LINK_PREFIX = "tbx"

STATE = Path("/var/lib/tinderbox")
RECORD = STATE / "cloud.json"
MACHINES = STATE / "machines"
SHARED = STATE / "efs"
PULUMI = STATE / "pulumi"
LOGS = STATE / "logs"
#: Folders of terminated machines, until they are deleted.
TRASH = STATE / "trash"
#: The resolver's names (dnsmasq's "additional hosts").
HOSTS = STATE / "hosts"
#: What the API offers as machine images.
AMIS = STATE / "amis.json"

#: Without root, Linux or Debian there is still this.
INSTEAD = "without it, use an AWS account: pulumi up -s dev"
