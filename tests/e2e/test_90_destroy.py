"""`make destroy` leaves nothing."""

from __future__ import annotations

from console.stack import ROOT
from localcloud.daemons.sweep import leftovers
from tests.e2e.conftest import Up
from tests.seen import seen


def test_destroy_leaves_nothing(up: Up):
    with seen("make destroy"):
        printed = up.make("destroy")
    assert "deleted" in printed
    assert leftovers() == []
    assert not (ROOT / "inventory.json").exists()
    assert not (ROOT / ".tinderbox" / "local" / "id_ed25519").exists()
