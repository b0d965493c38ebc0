"""Certificates end, and are renewed before: minutes instead of a year."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.conftest import Up, write_text
from tests.e2e.meanwhile import pods_of_workers, wait_for


def test_certificates_that_would_end_are_renewed_while_all_goes_on(up: Up, tmp_path: Path):
    """Minted for minutes instead of a year: past their end the cluster works, and so does `up`."""
    node = up.control_plane()

    def root(script: str) -> str:
        done = up.ssh(node, f"sudo bash -euc '{script}'", seconds=600)  # parts start, in turn
        assert done.returncode == 0, done.stderr
        return done.stdout

    file, program = "/etc/kubernetes/tinderbox.yaml", "tinderbox-certificates"
    ends = "openssl x509 -noout -enddate -in /etc/kubernetes/pki/apiserver.crt"
    pods = pods_of_workers(up)
    # kubeadm lets them begin five minutes ago: a third of all thirteen is left after four.
    key, minutes = "certificateValidityPeriod:", "0h8m0s"
    root(f"cp {file} /root/kept; sed -i s/^{key}.*/{key}\\ {minutes}/ {file}")
    try:
        root(f"{program} now")
        first = root(ends)
        # As the timer does, in time: after two thirds.
        wait_for("a renewal", lambda: "renewed" in root(program), 420)
        assert root(ends) != first
        up.kubectl("get", "nodes")
    finally:
        root(f"cp /root/kept {file}")
    # Past the first ones' end, and past all that was told to others by then.
    end = root(f'date -d "{first.strip().partition("=")[2]}" +%s').strip()
    wait_for("their end", lambda: int(root("date +%s")) > int(end), 600)
    root(f"{program} now")
    up.kubectl("get", "--raw", "/readyz")
    assert pods.items() <= pods_of_workers(up).items()
    text = tmp_path / "later.txt"
    write_text(text, seed=76, words=1_000)
    up.make("up", f"INPUT={text}")
    up.assert_counted(text)
    assert "WARNING" not in up.make("status")
