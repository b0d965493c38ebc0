"""An instance as the local cloud's reconciler knows it, for tests to vary."""

from __future__ import annotations

from localcloud.api.wanted import Instance

NODE = Instance(
    id="i-00000000000000005",
    name="node-0",
    type="t3.medium",
    state="running",
    key_name=None,
    address="10.42.0.5",
    dns_name="ip-10-42-0-5.eu-central-1.compute.internal",
    mac="02:00:00:00:00:05",
    public_address=None,
    vpc="vpc-1",
    vpc_range="10.42.0.0/16",
    subnet_range="10.42.0.0/20",
    check_source=True,
    ingress=(),
    egress=(),
)
