"""`make destroy` is cut off at many points, and a plain call after them leaves nothing."""

from __future__ import annotations

from localcloud.daemons.sweep import leftovers
from tests.e2e.conftest import Up
from tests.faults import Fault
from tests.torture.cuts import cut_off

POINTS = (
    r"Job wordcount delet",
    r"Release \S*spark\S* delet",
    r"Release \S+ delet",
    r"Namespace \S+ delet",
    r"worker-2-member delet",
    r"worker-1-join delet",
    r"Instance tinderbox-local-worker-1 delet",
    r"Instance tinderbox-local-control-plane delet",
    r"SecurityGroup tinderbox-local\S* delet",
    r"Subnet tinderbox-local\S* delet",
    r"Vpc tinderbox-local delet",
    r"local cloud: ",
)


def test_destroy_is_cut_off_at_many_points(up: Up):
    done = cut_off(["make", "destroy"], POINTS)
    fault = Fault(f"`make destroy` is killed or gets Ctrl-C, {len(done)} times in a row")
    print(up.make("destroy"))
    assert leftovers() == []
    fault.well("the next `make destroy` goes on, and leaves nothing")
    assert len(done) >= 10, done
