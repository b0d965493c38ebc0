"""`make destroy` is cut off at many points, and a plain call after them leaves nothing."""

from __future__ import annotations

import signal

from localcloud.daemons.sweep import leftovers
from tests.e2e.conftest import Up
from tests.faults import Fault
from tests.torture.cuts import cut_off

POINTS = (
    "wordcount-result delet",
    "v1:Job wordcount delet",
    "v3:Release spark delet",
    "worker-2-drain delet",
    "worker-1-return delet",
    "worker-1-drain delet",
    "v1:PersistentVolumeClaim spark-claim delet",
    "v1:Namespace spark-namespace delet",
    "v3:Release flannel delet",
    "worker-2-member delet",
    "worker-1-join delet",
    "control-plane-upgrade delet",
    "control-plane-keeper delet",
    "control-plane-init delet",
    "worker-1-containerd delet",
    "control-plane-packages delet",
    "worker-1-ready delet",
    "Instance tinderbox-local-worker-1 delet",
    "Instance tinderbox-local-control-plane delet",
    "ec2:Route tinderbox-local-default-route delet",
    "efs:FileSystem tinderbox-local-file-system delet",
    "SecurityGroup tinderbox-local-nodes delet",
    "ec2:KeyPair tinderbox-local-key-pair delet",
    "ec2:Subnet tinderbox-local-subnet delet",
    "ec2:RouteTable tinderbox-local-routes delet",
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
    assert len(done) >= 20, done
