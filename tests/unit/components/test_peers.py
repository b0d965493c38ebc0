"""Several control planes: what a stack makes of them, and the scripts by which they join and go."""

from __future__ import annotations

import shutil

import pytest
import yaml

from tests.unit.changes import Kind, effect
from tests.unit.components.test_kubeadm import value
from tests.unit.components.test_scripts import INIT, INIT_SCRIPTS, KUBEADM, make_ca
from tests.unit.plan import Plan, ask, plan, planned
from tests.unit.shell import Sandbox

THREE = {"nodes": {"controlPlanes": 3, "count": 4}}
PEERS = ("control-plane-2", "control-plane-3")
INSTANCE = "aws:ec2/instance:Instance"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"
TARGETS = "aws:lb/targetGroup:TargetGroup"
TARGET = "aws:lb/targetGroupAttachment:TargetGroupAttachment"


@pytest.fixture(scope="module")
def three() -> Plan:
    return planned(THREE)


def test_one_control_plane_has_nothing_of_it():
    plan = planned({})
    assert not [made for made in plan.made if made.type.startswith("aws:lb/")]
    assert "export CONTROL_PLANES" not in plan.one("control-plane-init").inputs["stdin"]
    assert "etcd" not in " ".join(made.name for made in plan.made)


def test_those_that_are_counted_are_control_planes_first(three: Plan):
    names = sorted(made.name for made in three.of(INSTANCE))
    assert names == [f"tinderbox-test-{name}" for name in ("control-plane", *PEERS, "worker-1")]


@pytest.mark.parametrize(("count", "takes"), [(3, "true"), (4, "false")])
def test_without_workers_all_of_them_take_work(count, takes):
    plan = planned({"nodes": {"controlPlanes": 3, "count": count}})
    for name in ("control-plane", *PEERS):
        assert value(plan.one(f"{name}-init"), "TAKES_WORK") == takes


@pytest.mark.parametrize(
    ("nodes", "says"),
    [
        ({"controlPlanes": 2}, "it must be 1, 3 or 5: of 2, etcd can lose no more than of 1"),
        ({"controlPlanes": 4, "count": 5}, "of 4, etcd can lose no more than of 3"),
        ({"controlPlanes": 7, "count": 9}, "at most 5"),
        ({"controlPlanes": 5}, "nodes.count is 3; it must be at least 5"),
    ],
)
def test_what_can_not_be_is_refused_in_a_line(nodes, says):
    with pytest.raises(Exception, match=".") as refused:
        planned({"nodes": nodes})
    assert says in str(refused.value).replace("'", "")


TWO_WORKERS: dict[str, dict[str, object]] = {"nodes": {"controlPlanes": 3, "count": 5}}


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ({}, TWO_WORKERS, "1 becomes 3; more join, one by one; the API's address"),
        (TWO_WORKERS, {}, "3 becomes 1; the others leave, one by one, when nobody asks them any"),
        (TWO_WORKERS, {"nodes": {"controlPlanes": 5, "count": 7}}, "3 becomes 5; more join, one"),
    ],
)
def test_another_number_is_told_and_leaves_what_stays_alone(before, after, says, capsys):
    found = effect(Kind("", before, after))
    assert not found.refused
    told = [line for line in capsys.readouterr().err.splitlines() if "nodes.controlPlanes" in line]
    assert [line.startswith(f"info: nodes.controlPlanes: {says}") for line in told] == [True]
    # No machine but theirs, and no worker joins anew; one kubelet's restart is its turning there.
    first = {"address", "approver", "init"}
    first |= {"kubeconfig", "keeper"} if {} in (before, after) else set()
    turns = {"worker-N-join"} if {} in (before, after) else {"control-plane-N-init"}
    named = {f"control-plane-{name}" for name in first} | turns | {"inventory"}
    assert set(found.updated) == named
    made = [name for name in found.made if not name.startswith("control-plane-N")]
    assert not [name for name in made if "worker" in name or name == "control-plane"]


def test_the_first_one_waits_for_nothing_that_only_others_need(three: Plan):
    ways = {"from-etcd-clients", "from-etcd-peers"}
    assert not ways & three.waits_for("control-plane")
    assert ways <= three.waits_for("control-plane-2")


def test_they_join_one_after_the_other_and_are_led_to_then(three: Plan):
    assert {"control-plane-api-inside", "control-plane-upgrade"} <= three.waits_for(
        "control-plane-2-init"
    )
    for name in PEERS:
        # What lets it go is there before it can come, and is undone after nobody is led there.
        assert f"{name}-member" in three.waits_for(f"{name}-init")
        for side in ("public", "inside"):
            assert {f"{name}-admit", f"{name}-init"} <= three.waits_for(f"{name}-api-{side}")
    # Undone in the other order, one by one.
    assert "control-plane-2-admit" in three.waits_for("control-plane-3-member")


def test_nobody_turns_to_a_balancer_that_leads_nowhere(three: Plan):
    assert "control-plane-api-inside" in three.waits_for("control-plane-balanced")
    for later in ("worker-1-join", "control-plane-kubeconfig", "control-plane-2-init"):
        assert "control-plane-balanced" in three.waits_for(later)


def test_the_api_is_asked_for_through_the_balancer(sandbox):
    sandbox.fake("curl", '(($(wc -l <"$SANDBOX/calls") >= 3))')
    values = {"ENDPOINT_NAME": "cp.internal", "BALANCER": "api.elb.amazonaws.com"}
    assert sandbox.step("balanced.sh", **values).returncode == 0
    asked = sandbox.calls("curl")
    assert len(asked) == 3
    assert "--connect-to cp.internal:6443:api.elb.amazonaws.com:6443" in asked[-1]
    assert asked[-1].endswith("https://cp.internal:6443/readyz")


def test_with_the_first_one_they_go_without_a_word(three: Plan):
    for name in PEERS:
        options = three.options_of(f"{name}-member")
        assert options.deleted_with == "tinderbox-test-control-plane"
        assert options.ignore_changes == {"triggers[0]"}
        assert three.options_of(f"{name}-admit").ignore_changes == {"triggers[0]"}
    for later in ("worker-1-invite", "control-plane-kubeconfig"):
        assert "control-plane-api-public" in three.waits_for(later)


def test_the_api_is_asked_by_addresses_that_outlive_them(three: Plan):
    assert value(three.one("control-plane-kubeconfig"), "PUBLIC_IP") == "198.18.1.2"
    assert value(three.one("worker-1-join"), "ENDPOINT_IP").endswith(".elb.amazonaws.com")
    assert value(three.one("worker-1-join"), "CONTROL_PLANE").endswith(".elb.amazonaws.com")
    public, inside = three.of(BALANCER)
    assert (public.inputs["internal"], inside.inputs["internal"]) == (False, True)
    assert len(three.of(TARGET)) == 6
    for made in three.of(TARGETS):
        assert made.inputs["preserveClientIp"] == "false"
        assert made.inputs["healthCheck"]["path"] == "/readyz"


def test_upgrades_come_to_them_before_workers(three: Plan):
    waits = [three.waits_for(f"{name}-drain") for name in (*PEERS, "worker-1")]
    assert "control-plane-2-return" in waits[1] and "control-plane-3-return" in waits[2]
    assert not {"control-plane-3-return", "worker-1-return"} & waits[0]


def test_the_first_one_is_not_brought_back_beside_others_that_live():
    """It stays alone where it is lost: a machine in its place would know of no other."""
    one = plan({})  # of its own: what it is told of stays
    address = one.one("control-plane-address").inputs
    three = {**address, "tags": {**address["tags"], "ControlPlanes": "3"}}
    stays, made = (
        one.hooks[f"tinderbox-test-control-plane-{name}"] for name in ("stays", "is-made")
    )
    assert one.options_of("control-plane-address").fixed_by == {
        "tinderbox-test-control-plane-stays"
    }
    assert one.options_of("control-plane", INSTANCE).before_create
    ask(stays, three, address)
    ask(made, None, {})
    ask(stays, address, {**address, "tags": {}})
    with pytest.raises(ValueError, match="it would be the first one, which is lost; set it back"):
        ask(stays, three, address)


# The scripts


KEYS = ("pki/ca.key", "pki/front-proxy-ca.crt", "pki/front-proxy-ca.key", "pki/sa.key")
KEYS += ("pki/sa.pub", "pki/etcd/ca.crt", "pki/etcd/ca.key")
ME, OTHER = "ip-10-42-0-5.internal", "cp-2"
ALL = f"{ME}=10.42.0.5 {OTHER}=10.42.0.6"
ETCDCTL = """#!/bin/bash
echo "$*" >>"$SANDBOX/etcd-asked"
[[ $* != *"member list" ]] || cat "$SANDBOX/members"
[[ $* != *"endpoint status"* ]] || printf '"MemberID" : 31\n"Leader" : 32\n'
"""


PREPARES = """
[[ "$1 $2" != "init phase" ]] || exit 0
[[ $1 != config ]] || echo k8s/etcd:3"""
MAKES = """
[[ $1 != init && $1 != join ]] || {
  echo '    image: k8s/etcd:3' >manifests/etcd.yaml
  mkdir -p pki/etcd
  for key in {ca,front-proxy-ca,etcd/ca}.{crt,key} sa.{key,pub} apiserver.crt; do
    [[ -e pki/$key ]] || touch "pki/$key"
  done
}
"""
# Whether a connection to etcd is taken; all others are real.
TIMEOUT = """[[ $1 == 3 ]] && exit {}
exec /usr/bin/timeout "$@" """


@pytest.fixture
def first(sandbox: Sandbox, tmp_path) -> Sandbox:
    """The machine of the first of two; curl says who is ready."""
    sandbox.fake("kubeadm", PREPARES + KUBEADM + MAKES)
    for name in ("kubectl", "ctr", "crictl"):
        sandbox.fake(name)
    sandbox.fake("curl", 'grep -qFf "$SANDBOX/ready" <<<"${*: -1}" || exit "$(<"$SANDBOX/code")"')
    sandbox.fake("openssl", "echo does match")
    sandbox.fake("timeout", TIMEOUT.format(1))  # no etcd takes a connection
    sandbox.file("/sys/fs/cgroup/cgroup.controllers", "cpu\n")
    sandbox.file("/etc/kubernetes/manifests/.keep", "")
    sandbox.file("/etc/kubernetes/pki/.keep", "")
    for name, text in (
        ("etcdctl", ETCDCTL),
        ("etcdutl", "#!/bin/bash"),
        ("etcd-image", "k8s/etcd:3"),
    ):
        sandbox.file(f"/usr/local/lib/tinderbox/{name}", text).chmod(0o755)
    (tmp_path / "members").write_text("1, started, cp-2, https://10.42.0.6:2380, x, false\n")
    (tmp_path / "ready").write_text("10.42.0.5:6443\n")
    (tmp_path / "code").write_text("7")
    return sandbox


def run(first: Sandbox, **more: str):
    return first.step(*INIT_SCRIPTS, **{**INIT, "CONTROL_PLANES": ALL, **more})


def did(first: Sandbox) -> list[str]:
    """What kubeadm was called for that changes something."""
    return [
        call.split()[0]
        for call in first.calls("kubeadm")
        if call.startswith(("init --config", "join", "reset"))
    ]


def published(first: Sandbox) -> None:
    """Another control plane was here: its keys are on the volume."""
    make_ca(first)
    for name in KEYS:
        first.file(f"/etc/kubernetes/{name}", name)
    first.file("/etc/kubernetes/pki/apiserver.crt", "")
    first.file("/etc/kubernetes/manifests/etcd.yaml", "    image: k8s/etcd:3\n")
    first.file("/etc/kubernetes/.tinderbox-initialized", "")
    ranges = "  podSubnet: 10.244.0.0/16\n  serviceSubnet: 10.96.0.0/12\n"
    first.file("/etc/kubernetes/tinderbox.yaml", ranges)
    ran = run(first)
    assert ran.returncode == 0, ran.stderr
    shutil.rmtree(first.file("/etc/kubernetes"))
    for folder in ("manifests", "pki"):
        first.file(f"/etc/kubernetes/{folder}/.keep", "")


def test_the_first_of_a_new_cluster_makes_it(first):
    ran = run(first)
    assert ran.returncode == 0, ran.stderr
    assert did(first) == ["init"]
    assert "10.42.0.5 cp.internal" in first.file("/etc/hosts").read_text()


def test_another_one_alone_makes_none(first):
    ran = run(first, CONTROL_PLANES=f"{OTHER}=10.42.0.6 {ME}=10.42.0.5")
    assert (ran.returncode, did(first)) == (1, [])
    assert "no other control plane of this cluster is ready" in ran.stderr


def test_keys_on_the_volume_are_nobodys_to_read(first):
    published(first)
    keys = first.file("/srv/shared/tinderbox/keys")
    assert b"sa.key" not in keys.read_bytes()
    assert keys.stat().st_mode & 0o077 == 0


def test_a_new_machine_joins_what_lives_and_what_it_was_goes_first(first, tmp_path):
    published(first)
    (tmp_path / "ready").write_text("10.42.0.6:6443\n10.42.0.5:6443\n")
    (tmp_path / "members").write_text(
        "1, started, cp-2, https://10.42.0.6:2380, x, false\n"
        f"2, started, {ME}, https://10.42.0.5:2380, x, false\n"
        "3, started, gone, https://10.42.0.9:2380, x, false\n"
    )
    ran = run(first)
    assert ran.returncode == 0, ran.stderr
    assert did(first) == ["join"]
    asked = (tmp_path / "etcd-asked").read_text()
    assert "member remove 2" in asked and "member remove 3" in asked
    assert "member remove 1" not in asked
    assert first.file("/etc/kubernetes/pki/sa.key").read_text() == "pki/sa.key"
    assert not first.file("/etc/kubernetes/joins.conf").exists()
    assert "10.42.0.5 cp.internal" in first.file("/etc/hosts").read_text()


def test_one_that_lives_is_no_more_dead_than_it_answers(first, tmp_path):
    """Of those that are no more asked for, what still answers goes by its own step."""
    published(first)
    first.fake("timeout", TIMEOUT.format(0))
    (tmp_path / "etcd-asked").write_text("")
    (tmp_path / "ready").write_text("10.42.0.6:6443\n10.42.0.5:6443\n")
    (tmp_path / "members").write_text("3, started, gone, https://10.42.0.9:2380, x, false\n")
    assert run(first).returncode == 0
    assert "member remove" not in (tmp_path / "etcd-asked").read_text()


# What stands for a certificate here is the line of its names.
OPENSSL = """
crt=$SANDBOX/root/etc/kubernetes/pki/apiserver.crt
[[ $1 == s_client ]] && exec cat "$crt"
[[ $* == *-checkip* ]] || exec /usr/bin/openssl "$@"
grep --quiet "\\"${*: -1}\\"" && echo "IP ${*: -1} does match certificate"
"""
SIGNS = """
[[ $* != "init phase certs apiserver "* ]] || {
  cd "$SANDBOX/root/etc/kubernetes/pki"
  [[ ! -e apiserver.crt ]] || exit # as kubeadm does
  grep certSANs "$6" >apiserver.crt
}
"""


def test_the_certificate_is_good_for_wherever_the_api_is(first):
    """Of one, of several, and of one again; who still asks by the address before is not cut off."""
    first.fake("openssl", OPENSSL)
    first.fake("kubeadm", SIGNS + PREPARES + KUBEADM + MAKES)
    assert run(first, CONTROL_PLANES="").returncode == 0
    first.file("/etc/kubernetes/pki/apiserver.crt", '["198.18.1.1"]\n')
    certificate = first.file("/etc/kubernetes/pki/apiserver.crt")

    def made_anew(**more: str) -> bool:
        ran = run(first, **more)
        assert ran.returncode == 0, ran.stderr
        return "the API server's certificate is made anew" in ran.stdout

    assert made_anew(PUBLIC_IP="198.18.1.2")
    assert '"198.18.1.1"' in certificate.read_text() and '"198.18.1.2"' in certificate.read_text()
    kept = first.file("/etc/kubernetes/tinderbox.yaml").read_text()
    names = list(yaml.safe_load_all(kept))[1]["apiServer"]["certSANs"]
    assert names == ["198.18.1.2", "cp.internal", "10.42.0.5", "198.18.1.1"]
    assert not made_anew(PUBLIC_IP="198.18.1.2")
    assert not made_anew(CONTROL_PLANES="")
    # One that was made anew as one of several knows the load balancer's address alone.
    ranges = "  podSubnet: 10.244.0.0/16\n  serviceSubnet: 10.96.0.0/12\n"
    first.file("/etc/kubernetes/tinderbox.yaml", f'{ranges}  certSANs: ["198.18.1.2"]\n')
    certificate.write_text('["198.18.1.2"]\n')
    assert made_anew(CONTROL_PLANES="")
    assert '"198.18.1.1"' in certificate.read_text()


# Those that leave

PEER = {"PEER": OTHER, "PEER_IP": "10.42.0.6", "INSTANCE": "i-2"}
LEAVES = ("drain_lib.sh", "snapshot_lib.sh", "etcd_lib.sh", "peer.sh")
# What the cluster knows of it: a node of the machine in the file, and where pods are led to.
CLUSTER = """
case $* in
  "get node "*) [[ ! -e $SANDBOX/machine ]] || cat "$SANDBOX/machine" ;;
  "get --raw /api/"*) [[ -e $SANDBOX/machine ]] ;;
  "get endpointslice "*) head -n 1 "$SANDBOX/served"; sed -i 1d "$SANDBOX/served" ;;
esac
"""


@pytest.fixture
def leaves(first: Sandbox, tmp_path) -> Sandbox:
    """The first of two, which the other one is to leave."""
    first.fake("kubectl", CLUSTER)
    first.file("/etc/kubernetes/manifests/etcd.yaml", "    image: k8s/etcd:3\n")
    (tmp_path / "members").write_text(
        f"1, started, {ME}, https://10.42.0.5:2380, x, false\n"
        "2, started, cp-2, https://10.42.0.6:2380, x, false\n"
    )
    (tmp_path / "machine").write_text("i-2")
    (tmp_path / "served").write_text("10.42.0.5 10.42.0.6\n10.42.0.5\n")
    (tmp_path / "etcd-asked").write_text("")
    return first


def release(leaves: Sandbox, tmp_path) -> tuple[str, list[str]]:
    """The step is undone: what it said, and which members etcd was asked to know no more."""
    ran = leaves.step(*LEAVES, argument="delete", **PEER)
    assert ran.returncode == 0, ran.stderr
    asked = (tmp_path / "etcd-asked").read_text().splitlines()
    return ran.stdout, [line.split()[-1] for line in asked if "member remove" in line]


def test_one_that_leaves_is_drained_and_no_member_and_no_node_any_more(leaves, tmp_path):
    assert leaves.step(*LEAVES, **PEER).returncode == 0
    assert release(leaves, tmp_path)[1] == ["2"]
    calls = leaves.calls("kubectl")
    order = [
        next(n for n, call in enumerate(calls) if call.startswith(begin))
        for begin in (
            "drain cp-2 ",
            "get endpointslice ",
            "delete node cp-2",
        )
    ]
    assert order == sorted(order)
    # Pods are led there no more before the next one may go.
    assert (tmp_path / "served").read_text() == ""
    assert not leaves.file(f"/etc/tinderbox/peers/{OTHER}").exists()


def test_one_that_leads_hands_it_over_first(leaves, tmp_path):
    """In etcd's own words; without it nobody leads for the time of an election."""
    release(leaves, tmp_path)
    asked = (tmp_path / "etcd-asked").read_text().splitlines()
    (handed,) = (n for n, line in enumerate(asked) if line.endswith(" move-leader 1f"))
    assert "--endpoints https://10.42.0.6:2379 " in asked[handed]
    assert asked[handed + 1].endswith(" member remove 2")


def test_one_that_came_no_further_than_to_etcd_leaves_it(leaves, tmp_path):
    """The update that made it was ended while it joined: it has no node, and etcd no name of it."""
    assert leaves.step(*LEAVES, **PEER).returncode == 0
    (tmp_path / "machine").unlink()
    members = tmp_path / "members"
    members.write_text(members.read_text().replace("started, cp-2", "unstarted, "))
    assert release(leaves, tmp_path)[1] == ["2"]


@pytest.mark.parametrize("knows", ["the node", "the note"])
def test_another_machine_of_that_name_is_left_alone(leaves, tmp_path, knows):
    (tmp_path / "machine").write_text("i-3" if knows == "the node" else "")
    assert leaves.step(*LEAVES, **{**PEER, "INSTANCE": "i-3"}).returncode == 0
    said, removed = release(leaves, tmp_path)
    assert (said, removed) == ("cp-2 is not i-2, or no more: nothing to do\n", [])


def test_one_that_nobody_knows_needs_nothing(leaves, tmp_path):
    (tmp_path / "machine").write_text("")
    (tmp_path / "members").write_text(f"1, started, {ME}, https://10.42.0.5:2380, x, false\n")
    assert release(leaves, tmp_path)[1] == []


@pytest.mark.parametrize(("takes", "removed"), [(1, ["3", "2"]), (0, ["2"])])
def test_of_three_a_dead_one_leaves_before_one_that_lives(leaves, tmp_path, takes, removed):
    """Else etcd lets none go: it would be one of two."""
    leaves.fake(
        "timeout",
        f"[[ $* != *10.42.0.7* ]] || exit {takes}\n[[ $1 != 3 ]] || exit 0\n"
        'exec /usr/bin/timeout "$@"',
    )
    members = tmp_path / "members"
    members.write_text(members.read_text() + "3, started, cp-3, https://10.42.0.7:2380, x, false\n")
    assert release(leaves, tmp_path)[1] == removed
