"""`make destroy` is cut off at many points, and a plain call after them leaves nothing."""

from __future__ import annotations

import signal

from localcloud.daemons.sweep import leftovers
from tests.e2e.conftest import Up
from tests.faults import Fault
from tests.torture.cuts import cut_off

POINTS = (
    "v1:Job wordcount delet",
    "v3:Release spark delet",
    "v1:Namespace spark-namespace delet",
    "worker-2-member delet",
    "worker-1-join delet",
    "Instance tinderbox-local-worker-1 delet",
    "Instance tinderbox-local-control-plane delet",
    "efs:FileSystem tinderbox-local-file-system delet",
    "SecurityGroup tinderbox-local-nodes delet",
    "ec2:Subnet tinderbox-local-subnet delet",
    "ec2:Vpc tinderbox-local-vpc delet",
    "local cloud: ",
)


def test_destroy_is_cut_off_at_many_points(up: Up):
    # Of a local stack Ctrl-C ends Pulumi, and the local cloud goes all the same.
    done = cut_off(["make", "destroy"], POINTS, [signal.SIGKILL])
    fault = Fault(f"`make destroy` is killed, {len(done)} times in a row")
    print(up.make("destroy"))
    assert leftovers() == []
    fault.well("the next `make destroy` goes on, and leaves nothing")
    assert len(done) >= 10, done
