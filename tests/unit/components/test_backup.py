"""Snapshots of the control plane, and its certificates: with real gpg, tar and openssl."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from socket import gethostname

import pytest
import yaml

from components.cluster.backup import program
from tests.unit.components.test_kubeadm import value
from tests.unit.components.test_scripts import INIT, INIT_SCRIPTS, KUBEADM, make_ca
from tests.unit.plan import planned
from tests.unit.shell import Sandbox

KEY = "c2VjcmV0IG9mIHRoZSBzdGFjaw=="
FOLDER = "/srv/shared/tinderbox/backups"
KEYS = ["pki/ca.key", "pki/front-proxy-ca.crt", "pki/front-proxy-ca.key", "pki/sa.key"]
KEYS += ["pki/sa.pub", "pki/etcd/ca.crt", "pki/etcd/ca.key"]

# etcdctl's snapshot is one word, and etcdutl knows whether it is a sound one.
ETCDCTL = """#!/bin/bash
[[ ! -e $SANDBOX/etcd-is-away ]] || { echo 'context deadline exceeded' >&2; exit 1; }
[[ $* != *"member list" ]] || { cat "$SANDBOX/members"; exit; }
while [[ $1 != save ]]; do shift; done
cp "$SANDBOX/etcd" "$2"
"""
ETCDUTL = """#!/bin/bash
printf '%s\\n' "$*" >>"$SANDBOX/etcdutl"
[[ $(<"$3") != torn ]] && mkdir -p "$5/member" && cp "$3" "$5/member/db"
"""
CLUSTER = """
case $* in
  "get nodes --output name") cat "$SANDBOX/nodes" ;;
  "get nodes --selector"*) echo node/cp-1; echo node/cp-2 ;;
  "get node"*yaml) printf '%s\\n' 'metadata:' '  name: x' '  uid: old' '  resourceVersion: "1"' ;;
  "get node"*labels*) echo "a=b c=d " ;;
  "get node/"*) grep -qx "${2}" "$SANDBOX/nodes" ;;
  *"create configmap"*) printf '%s\\n' "$@" >"$SANDBOX/told" ;;
  apply*) cat >/dev/null ;;
  create*) sed 1d "$3" >"$SANDBOX/created" ;;
esac
"""


class ControlPlane:
    """A control plane that runs, in a sandbox."""

    def __init__(self, sandbox: Sandbox, folder) -> None:
        self.sandbox, self._folder = sandbox, folder
        self.is_("etcd", "monday")
        self.is_("nodes", "node/worker-1\n")
        self.is_(
            "members", "1, started, cp-1, https://10.42.0.5:2380, https://10.42.0.5:2379, false\n"
        )
        for name in KEYS:
            sandbox.file(f"/etc/kubernetes/{name}", name)
        make_ca(sandbox)
        sandbox.file("/etc/kubernetes/operator.conf", "operator")
        sandbox.file("/etc/kubernetes/tinderbox.yaml", "  advertiseAddress: 10.42.0.5\n")
        sandbox.file(
            "/etc/kubernetes/manifests/etcd.yaml", "    - --name=cp-1\n    image: k8s/etcd:3\n"
        )
        sandbox.file("/etc/tinderbox/backup.key", KEY)
        self.keep(32, 14)
        for name, text in (
            ("etcdctl", ETCDCTL),
            ("etcdutl", ETCDUTL),
            ("etcd-image", "k8s/etcd:3"),
        ):
            sandbox.file(f"/usr/local/lib/tinderbox/{name}", text).chmod(0o755)
        for name, body in (
            ("mountpoint", ""),
            ("kubectl", CLUSTER),
            ("kubeadm", "echo v1.36.4"),
            ("crictl", ""),
        ):
            sandbox.fake(name, body)

    def keep(self, kept: int, days: int) -> None:
        """What the settings say of retention."""
        text = f"SNAPSHOT_MINUTES=15\nSNAPSHOTS_KEPT={kept}\nSNAPSHOT_DAYS={days}\n"
        self.sandbox.file("/etc/tinderbox/snapshots.conf", text)

    def is_(self, name: str, content: str = "") -> None:
        """Writes one of the files that the fakes go by."""
        (self._folder / name).write_text(content)

    def snapshot(self) -> subprocess.CompletedProcess[str]:
        """Runs the program that writes one."""
        return self.sandbox.run(program("snapshot_lib.sh", "snapshot.sh"), "a test")

    def restore(self, name: str) -> subprocess.CompletedProcess[str]:
        """Runs the program that brings one back."""
        return self.sandbox.run(program("snapshot_lib.sh", "etcd_lib.sh", "restore.sh"), name)

    def names(self) -> list[str]:
        """What is in the folder of snapshots."""
        return sorted(file.name for file in self.sandbox.file(FOLDER).iterdir())

    def old(self, name: str) -> None:
        """One from before, of that name."""
        self.sandbox.file(f"{FOLDER}/{name}.snapshot", "old")


@pytest.fixture
def control_plane(sandbox, tmp_path) -> ControlPlane:
    """A control plane with a worker and without snapshots."""
    return ControlPlane(sandbox, tmp_path)


# snapshot.sh


def test_a_snapshot_is_one_file_that_only_the_stacks_key_opens(control_plane, tmp_path):
    ran = control_plane.snapshot()
    assert ran.returncode == 0, ran.stderr
    (name,) = control_plane.names()
    assert ran.stdout.startswith(f"{name}, ")
    file = control_plane.sandbox.file(f"{FOLDER}/{name}")
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    content = file.read_bytes()
    assert b"monday" not in content and b"pki" not in content
    told = (tmp_path / "told").read_text()
    assert f"newest={name}" in told and "kept=1" in told and "minutes=15" in told
    # Neither the key nor what was read is left anywhere.
    assert not list(control_plane.sandbox.temporary.iterdir())
    assert KEY not in (tmp_path / "calls").read_text()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("etcd-is-away", "", "etcd gave no snapshot: context deadline exceeded"),
        ("etcd", "torn", "etcd's snapshot is not sound"),
    ],
)
def test_without_a_sound_one_nothing_is_written_and_the_last_one_stays(
    control_plane, name, content, said
):
    control_plane.old("2026-01-01T00-00-00Z")
    control_plane.is_(name, content)
    ran = control_plane.snapshot()
    assert (ran.returncode, ran.stderr) == (1, f"{said}\n")
    assert control_plane.names() == ["2026-01-01T00-00-00Z.snapshot"]


def test_an_interrupted_one_is_no_snapshot_and_goes(control_plane):
    control_plane.sandbox.fake("sync", "kill -TERM $PPID; sleep 5")
    assert control_plane.snapshot().returncode != 0
    control_plane.sandbox.file(
        f"{FOLDER}/.draft-{gethostname()}", "half"
    )  # of one that was killed outright
    control_plane.sandbox.fake("sync")
    assert control_plane.snapshot().returncode == 0
    (name,) = control_plane.names()
    assert name.endswith(".snapshot")


def test_the_volume_is_never_filled(control_plane):
    control_plane.sandbox.fake("df", "echo Avail; echo $((900 << 20))")
    ran = control_plane.snapshot()
    assert ran.returncode == 1
    volume = control_plane.sandbox.file("/srv/shared")
    assert ran.stderr == (
        f"900 MiB are free on {volume}, and 1024 are needed: no snapshot was written\n"
    )
    assert control_plane.names() == []


def test_without_the_volume_none_is_written(control_plane):
    control_plane.sandbox.fake("mountpoint", "false")
    assert "is not mounted" in control_plane.snapshot().stderr
    assert not control_plane.sandbox.file("/srv/shared").exists()


def test_the_newest_stay_and_of_each_day_the_last_one(control_plane):
    now = datetime.now(UTC)
    days = [(now - timedelta(days=number)).strftime("%Y-%m-%d") for number in range(6)]
    for day in days[1:]:
        for hour in ("01", "12", "23"):
            control_plane.old(f"{day}T{hour}-00-00Z")
    control_plane.keep(3, 4)
    assert control_plane.snapshot().returncode == 0
    today, *others = reversed(control_plane.names())
    assert today.startswith(days[0])
    assert others == [
        f"{days[1]}T23-00-00Z.snapshot",
        f"{days[1]}T12-00-00Z.snapshot",
        *(f"{day}T23-00-00Z.snapshot" for day in days[2:5]),
    ]


def test_etcds_tools_are_those_of_its_image(control_plane):
    box = control_plane.sandbox
    box.file("/usr/local/lib/tinderbox/etcd-image", "k8s/etcd:2")
    root = box.root
    box.fake(
        "ctr",
        f"""[[ $4 == mount ]] || exit 0
        mkdir -p "$6{root}/usr/local/bin" && cd {root}/usr/local/lib/tinderbox
        for tool in etcdctl etcdutl; do
          (cat $tool; echo '# newer') >"$6{root}/usr/local/bin/$tool"
        done""",
    )
    box.fake("rmdir")
    assert control_plane.snapshot().returncode == 0
    assert box.calls("ctr")[0].startswith("--namespace k8s.io images mount k8s/etcd:3 ")
    assert "# newer" in box.file("/usr/local/lib/tinderbox/etcdutl").read_text()
    assert control_plane.snapshot().returncode == 0
    assert len(box.calls("ctr")) == 2


# init.sh, on another instance


class Successor:
    """A new instance, with the volume of the control plane that is lost."""

    def __init__(self, control_plane: ControlPlane) -> None:
        self.box = control_plane.sandbox
        self.ca = self.box.file("/etc/kubernetes/pki/ca.crt").read_text()
        for path in ("/etc/kubernetes", "/etc/tinderbox"):
            subprocess.run(["rm", "-rf", str(self.box.file(path))], check=True)
        self.box.file("/etc/kubernetes/pki/.keep", "").parent.joinpath(".keep").unlink()
        self.box.file("/sys/fs/cgroup/cgroup.controllers", "cpu\n")
        self.box.fake("kubeadm", f"[[ $1 != config ]] || echo k8s/etcd:3{KUBEADM}")
        self.box.fake("ctr")

    def init(self, **more) -> subprocess.CompletedProcess[str]:
        """Makes it the control plane."""
        values = {**INIT, "BACKUP_KEY": KEY, "NODE_NAME": "cp-2", "NODE_IP": "10.42.0.9", **more}
        return self.box.step(*INIT_SCRIPTS, **values)

    def inits(self) -> list[str]:
        """The calls of kubeadm init."""
        return [call for call in self.box.calls("kubeadm") if call.startswith("init")]


@pytest.fixture
def successor(control_plane) -> Successor:
    """After a snapshot on Monday, the control plane was lost."""
    ranges = "  podSubnet: 10.244.0.0/16\n  serviceSubnet: 10.96.0.0/12\n"
    control_plane.sandbox.file("/etc/kubernetes/tinderbox.yaml", ranges)
    assert control_plane.snapshot().returncode == 0
    return Successor(control_plane)


def test_another_instance_goes_on_from_the_newest_snapshot(successor, tmp_path):
    ran = successor.init()
    assert ran.returncode == 0, ran.stderr
    assert "this cluster goes on as it was at 20" in ran.stdout
    assert successor.box.file("/etc/kubernetes/pki/ca.crt").read_text() == successor.ca
    for name in KEYS:
        assert successor.box.file(f"/etc/kubernetes/{name}").read_text() == name
    assert successor.box.file("/etc/kubernetes/operator.conf").read_text() == "operator"
    # kubeadm's configuration is this node's own.
    assert "10.42.0.9" in successor.box.file("/etc/kubernetes/tinderbox.yaml").read_text()
    data = successor.box.file("/var/lib/etcd")
    assert (data / "member" / "db").read_text() == "monday"
    assert [item.name for item in data.iterdir()] == ["member"]
    restored = (tmp_path / "etcdutl").read_text().splitlines()[-1]
    assert " --name cp-2 --initial-cluster cp-2=https://10.42.0.9:2380 " in restored
    assert restored.endswith(" --bump-revision 1000000000 --mark-compacted")
    (init,) = successor.inits()
    assert init.endswith(" --ignore-preflight-errors DirAvailable--var-lib-etcd")
    # The predecessor's node goes, its own stays.
    deleted = [call for call in successor.box.calls("kubectl") if call.startswith("delete node")]
    assert deleted == ["delete node/cp-1"]
    assert not list(successor.box.temporary.iterdir())


def test_without_snapshots_it_makes_a_cluster(successor):
    for file in successor.box.file(FOLDER).iterdir():
        file.unlink()
    assert successor.init().returncode == 0
    (init,) = successor.inits()
    assert "ignore-preflight" not in init
    assert not successor.box.file("/var/lib/etcd/member").exists()


def _broken(content: bytes) -> bytes:
    return content[:-40] + bytes([content[-40] ^ 1]) + content[-39:]


@pytest.mark.parametrize(
    "spoil",
    [lambda content: content[:200], _broken, lambda content: b"", lambda content: b"x" * 99],
)
def test_a_broken_one_is_named_and_the_one_before_is_taken(successor, spoil):
    (good,) = successor.box.file(FOLDER).iterdir()
    bad = good.with_name("2999-01-01T00-00-00Z.snapshot")
    bad.write_bytes(spoil(good.read_bytes()))
    ran = successor.init()
    assert ran.returncode == 0, ran.stderr
    assert f"{bad.name} can't be used: it is broken, or another stack's" in ran.stdout
    assert successor.box.file("/var/lib/etcd/member/db").read_text() == "monday"


@pytest.mark.parametrize(
    ("name", "content"), [("etcd.db", "torn"), ("pki/sa.key", ""), ("about", ""), ("etcd.db", None)]
)
def test_so_is_one_that_opens_but_is_not_whole(successor, tmp_path, name, content):
    inside = tmp_path / "inside"
    files = dict.fromkeys(["about", "etcd.db", "tinderbox.yaml", "pki/ca.crt", *KEYS], "x")
    for path, text in {**files, name: content}.items():
        if text is not None:
            (inside / path).parent.mkdir(parents=True, exist_ok=True)
            (inside / path).write_text(text)
    bad = f"{FOLDER}/2999-01-01T00-00-00Z.snapshot"
    successor.box.file("/etc/tinderbox/backup.key", KEY)
    seal = f"tar -c -C {inside} . | sealed --symmetric >{bad}"
    assert successor.box.run(f"{program('snapshot_lib.sh')}\n{seal}").returncode == 0
    ran = successor.init()
    assert ran.returncode == 0, ran.stderr
    assert "can't be used: there is no sound control plane in it" in ran.stdout
    assert successor.box.file("/var/lib/etcd/member/db").read_text() == "monday"


def test_anothers_alone_makes_no_cluster_of_it_and_none_anew(successor):
    ran = successor.init(BACKUP_KEY="YW5vdGhlcg==")
    assert ran.returncode == 1
    assert "can't be used: it is broken, or another stack's" in ran.stdout
    assert ran.stderr.startswith("none of the 1 snapshots in ")
    assert successor.inits() == []


def test_one_of_a_newer_kubernetes_is_not_taken(successor):
    old = KUBEADM.replace("v1.36.4", "v1.35.9")
    successor.box.fake("kubeadm", f"[[ $1 != config ]] || echo k8s/etcd:3{old}")
    ran = successor.init()
    assert "it is of Kubernetes 1.36.4, and this node has 1.35.9" in ran.stdout
    assert ran.returncode == 1


def test_nor_one_of_other_ranges(successor):
    ran = successor.init(POD_CIDR="10.9.0.0/16")
    assert ran.stderr.startswith(
        "cluster.podCidr is 10.244.0.0/16 in this cluster, and 10.9.0.0/16"
    )
    assert successor.inits() == []


def test_one_that_etcd_does_not_take_ends_the_step(successor):
    successor.box.file("/usr/local/lib/tinderbox/etcdutl", "#!/bin/bash\n[[ $* != *--name* ]]\n")
    assert successor.init().returncode != 0
    assert successor.inits() == []


# restore.sh


@pytest.fixture
def living(control_plane) -> ControlPlane:
    """A control plane that goes on after its snapshot of Monday."""
    assert control_plane.snapshot().returncode == 0
    control_plane.is_("etcd", "tuesday")
    box = control_plane.sandbox
    box.fake("tinderbox-snapshot")
    box.file("/var/lib/etcd/member/db", "tuesday")
    for part in ("kube-apiserver", "kube-scheduler", "kube-controller-manager"):
        box.file(f"/etc/kubernetes/manifests/{part}.yaml", "")
    return control_plane


def manifests(living: ControlPlane) -> set[str]:
    return {file.name for file in living.sandbox.file("/etc/kubernetes/manifests").iterdir()}


def test_a_living_control_plane_goes_back_and_keeps_its_machines(living, tmp_path):
    (name,) = living.names()
    # The snapshot knows a worker that left, and does not know one that joined.
    living.is_("nodes", "node/worker-2\n")
    living.sandbox.fake("crictl", f"echo node/worker-1 >{tmp_path}/nodes")
    before = manifests(living)
    ran = living.restore(name)
    assert ran.returncode == 0, ran.stderr
    assert "the cluster is as it was at 20" in ran.stdout
    assert living.sandbox.file("/var/lib/etcd/member/db").read_text() == "monday"
    assert [item.name for item in living.sandbox.file("/var/lib/etcd").iterdir()] == ["member"]
    assert manifests(living) == before
    assert living.sandbox.calls("tinderbox-snapshot") == [f"before {name} was brought back"]
    calls = living.sandbox.calls("kubectl")
    assert "delete node/worker-1" in calls
    assert any(call.startswith("create --filename") for call in calls)
    assert "label --overwrite node/worker-2 a=b c=d" in calls


@pytest.mark.parametrize("name", ["2020-01-01T00-00-00Z.snapshot", "../x", "*"])
def test_one_that_is_not_there_is_told_with_those_that_are(living, name):
    ran = living.restore(name)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"there is no snapshot {name}; there are: {living.names()[0]}")


def test_several_control_planes_are_refused_before_anything_happens(living):
    living.is_("members", "1, started, a, https://a:2380\n2, started, b, https://b:2380\n")
    ran = living.restore(living.names()[0])
    assert (ran.returncode, living.sandbox.calls("tinderbox-snapshot")) == (1, [])
    assert (
        "this cluster has 2 control planes, and a snapshot can be brought back to one" in ran.stderr
    )


def test_one_of_another_cluster_changes_nothing(living):
    make_ca(living.sandbox)
    ran = living.restore(living.names()[0])
    assert "is of another cluster than this one" in ran.stderr
    assert living.sandbox.file("/var/lib/etcd/member/db").read_text() == "tuesday"


def test_one_that_was_killed_is_put_right_by_the_next(living):
    box = living.sandbox
    before = manifests(living)
    box.file("/etc/kubernetes/stopped-for-restore/etcd.yaml", "")
    box.file("/etc/kubernetes/manifests/etcd.yaml").rename(
        box.file("/etc/kubernetes/stopped-for-restore/etcd.yaml")
    )
    box.file("/var/lib/etcd/member").rename(box.file("/var/lib/etcd/before"))
    assert living.restore(living.names()[0]).returncode == 0
    assert manifests(living) == before
    assert box.file("/var/lib/etcd/member/db").read_text() == "monday"


@pytest.mark.parametrize("at", ["/etcd/member", "/restored/member"])
def test_a_failure_in_the_middle_leaves_a_control_plane_that_runs(living, at):
    before = manifests(living)
    living.sandbox.fake("mv", f'[[ $1 != *{at} ]] && exec /bin/mv "$@"')
    assert living.restore(living.names()[0]).returncode != 0
    assert manifests(living) == before
    assert living.sandbox.file("/var/lib/etcd/member/db").read_text() == "tuesday"


# certificates.sh


def certificate(box: Sandbox, path: str, ago: int, left: int) -> None:
    """A certificate that began some days ago, with some days left."""
    now = datetime.now(UTC)
    times = [(now + timedelta(days=days)).strftime("%Y%m%d%H%M%SZ") for days in (-ago, left)]
    file = box.file(path, "")
    key, config = box.file("/key", ""), box.file("/ca.cnf", "")
    config.write_text(
        f"[ca]\ndefault_ca=d\n[d]\ndatabase={box.file('/index', '')}\n"
        f"serial={box.file('/serial')}\nnew_certs_dir={box.root}\ndefault_md=default\n"
        "policy=p\nunique_subject=no\n[p]\nCN=supplied\n"
    )
    box.file("/serial", "01\n")
    request = ["openssl", "req", "-new", "-newkey", "ed25519", "-nodes", "-subj", "/CN=x"]
    subprocess.run(
        [*request, "-keyout", str(key), "-out", f"{key}.csr"], check=True, capture_output=True
    )
    subprocess.run(
        ["openssl", "ca", "-batch", "-selfsign", "-config", str(config), "-keyfile", str(key)]
        + ["-in", f"{key}.csr", "-out", str(file), "-startdate", times[0], "-enddate", times[1]],
        check=True,
        capture_output=True,
    )


# kubeadm renews, and a container that is stopped is another one afterwards.
RENEWING = """
case $1-$2 in
  certs-renew) for file in "$SANDBOX"/root/etc/kubernetes/pki/{,etcd/}*.crt; do
    [[ $file == */ca.crt ]] || cp "$SANDBOX/fresh" "$file"; done ;;
esac
"""
CONTAINERS = """
touch "$SANDBOX/stopped"
case $1 in
  ps)
    part=${!#} part=${part#^} part=${part%$}
    echo "$part-$(grep -cx "$part" "$SANDBOX/stopped")"
    ;;
  stop) [[ ! -e $SANDBOX/stuck ]] || exit 1; echo "${2%-*}" >>"$SANDBOX/stopped" ;;
esac
"""
PARTS = ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
LEAVES = ["apiserver", "apiserver-kubelet-client", "apiserver-etcd-client", "front-proxy-client"]
LEAVES += ["etcd/server", "etcd/peer", "etcd/healthcheck-client"]


class Certificates:
    """A control plane with certificates."""

    def __init__(self, control_plane: ControlPlane, folder) -> None:
        self.box, self._folder = control_plane.sandbox, folder
        self.box.fake("kubeadm", RENEWING)
        self.box.fake("crictl", CONTAINERS)
        self.box.file("/etc/kubernetes/tinderbox.yaml", "certificateValidityPeriod: 8760h0m0s\n")
        certificate(self.box, "/fresh", 0, 365)
        (folder / "fresh").write_text(self.box.file("/fresh").read_text())

    def are(self, ago: int, left: int) -> None:
        """All of them alike."""
        certificate(self.box, "/one", ago, left)
        for name in LEAVES:
            self.box.file(f"/etc/kubernetes/pki/{name}.crt", self.box.file("/one").read_text())

    def look(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the program."""
        return self.box.run(program("certificates.sh"), *arguments)

    def restarted(self) -> list[str]:
        """The parts, in their order."""
        calls = self.box.calls("crictl")
        return [call.split()[1].rpartition("-")[0] for call in calls if call.startswith("stop")]


@pytest.fixture
def certificates(control_plane, tmp_path) -> Certificates:
    """Certificates of a year."""
    return Certificates(control_plane, tmp_path)


def test_certificates_with_time_are_left_alone(certificates, tmp_path):
    certificates.are(ago=100, left=265)
    ran = certificates.look()
    assert ran.returncode == 0, ran.stderr
    assert certificates.box.calls("kubeadm") == []
    assert certificates.restarted() == []
    day = (datetime.now(UTC) + timedelta(days=265)).strftime("%Y-%m-%d")
    assert f"last until {day}" in ran.stdout
    told = (tmp_path / "told").read_text()
    assert f"until={day}" in told and "days=365" in told and "ca=" in told


@pytest.mark.parametrize("left", [100, 1, -1])
def test_certificates_near_their_end_are_renewed_and_all_parts_restart(certificates, left):
    certificates.are(ago=300, left=left)
    ran = certificates.look()
    assert ran.returncode == 0, ran.stderr
    (call,) = certificates.box.calls("kubeadm")
    assert call.startswith("certs renew all --config ")
    assert certificates.restarted() == PARTS
    assert certificates.look().returncode == 0
    assert certificates.restarted() == PARTS  # once


def test_one_is_enough(certificates):
    certificates.are(ago=0, left=365)
    certificate(certificates.box, "/etc/kubernetes/pki/etcd/peer.crt", 300, 65)
    assert certificates.look().returncode == 0
    assert len(certificates.box.calls("kubeadm")) == 1


def test_restarts_that_were_interrupted_are_made_good(certificates, tmp_path):
    """By then the new certificates are on the disk, and nothing is near its end."""
    certificates.are(ago=300, left=60)
    (tmp_path / "stuck").touch()
    assert certificates.look().returncode != 0
    (tmp_path / "stuck").unlink()
    assert certificates.look().returncode == 0
    assert certificates.restarted()[-4:] == PARTS
    assert len(certificates.box.calls("kubeadm")) == 1


# nodes.sh

NODE = (
    "{uid}|2026-11-26T10:00:00Z|{name}|2|t3.medium|eu-central-1"
    "|{capacity}||{own}|{group}|{labels}\n"
)
CONTROL = '{"node-role.kubernetes.io/control-plane":"","a":"b"}'
AT_TEN = 1795687200


def node(**told: str) -> str:
    """A line as kubectl prints it."""
    return NODE.format(**{"capacity": "", "own": "", "group": "", "labels": "{}", **told})


@pytest.fixture
def noted(sandbox) -> Callable[..., list[list[str]]]:
    """Looks at some nodes at a moment; what is on the volume then."""
    sandbox.fake("mountpoint")
    notes = sandbox.file("/srv/shared/spark/nodes.tsv", "")
    notes.unlink()

    def look(at: int, *nodes: str) -> list[list[str]]:
        file = sandbox.file("/nodes", "".join(nodes))
        sandbox.fake("kubectl", f'cat "{file}"')
        sandbox.fake("date", f'[[ $# != 1 ]] && exec /bin/date "$@"; echo {at}')
        ran = sandbox.run(program("nodes.sh"))
        assert ran.returncode == 0, ran.stderr
        return [line.split("\t") for line in notes.read_text().splitlines()]

    return look


def test_a_node_is_one_line_for_as_long_as_it_is_there(noted):
    one = node(uid="a", name="one", labels=CONTROL)
    two = node(uid="b", name="two", capacity="spot")
    at = AT_TEN + 60
    rest = ["2", "t3.medium", "eu-central-1"]
    first = ["a", str(AT_TEN), str(at), "one", *rest, "", "control-plane"]
    assert noted(at, one) == [first]
    both = noted(at + 300, one, two)
    assert both[0][2] == str(at + 300)
    assert both[1] == ["b", str(AT_TEN), str(at + 300), "two", *rest, "yes", "worker"]
    assert noted(at + 600, one) == [[*both[0][:2], str(at + 600), *both[0][3:]], both[1]]


def test_a_group_is_the_role_of_its_nodes(noted):
    spot, other = (
        node(uid=name, name=name, own=own, group=name)
        for name, own in (("big", "spot"), ("small", "on-demand"))
    )
    assert [span[7:] for span in noted(AT_TEN, spot, other)] == [["yes", "big"], ["", "small"]]


def test_a_stop_is_a_gap_and_another_node_of_the_name_is_another(noted):
    one = node(uid="a", name="one")
    noted(AT_TEN + 60, one)
    spans = noted(AT_TEN + 9000, one, one.replace("a|", "z|", 1))
    assert [span[:3] for span in spans] == [
        ["a", str(AT_TEN), str(AT_TEN + 60)],
        ["a", str(AT_TEN + 9000), str(AT_TEN + 9000)],
        ["z", str(AT_TEN), str(AT_TEN + 9000)],
    ]
    assert noted(AT_TEN + 9300, one)[1][1:3] == [str(AT_TEN + 9000), str(AT_TEN + 9300)]


# keeper.sh, and the plan


def test_the_timers_run_what_the_settings_say(sandbox):
    sandbox.fake("systemctl")
    sandbox.file("/etc/kubernetes/tinderbox.yaml", "a: b\ncertificateValidityPeriod: 87600h0m0s\n")
    keeper = planned({"cluster": {"backupMinutes": 30, "certificateDays": 90}}).one(
        "control-plane-keeper"
    )
    values = {"SNAPSHOT": "s", "RESTORE": "r", "CERTIFICATES": "#!/bin/sh\ntrue", "NODES": "n"}
    values["BACKUP_KEY"] = KEY
    for name in ("SNAPSHOT_MINUTES", "SNAPSHOTS_KEPT", "SNAPSHOT_DAYS", "CERTIFICATE_DAYS"):
        values[name] = value(keeper, name)
    for _ in range(2):
        ran = sandbox.step("keeper.sh", **values)
        assert ran.returncode == 0, ran.stderr
    timer = sandbox.file("/etc/systemd/system/tinderbox-snapshot.timer").read_text()
    assert "OnUnitActiveSec=30min\n" in timer
    assert sandbox.file("/etc/tinderbox/backup.key").stat().st_mode & 0o777 == 0o600
    restarts = [call for call in sandbox.calls("systemctl") if call.startswith("restart")]
    timers = ("snapshot", "certificates", "nodes")
    assert restarts == [f"restart tinderbox-{name}.timer" for name in timers]
    settings = yaml.safe_load(sandbox.file("/etc/kubernetes/tinderbox.yaml").read_text())
    assert settings == {"a": "b", "certificateValidityPeriod": "2160h0m0s"}
    assert "SNAPSHOTS_KEPT=32\n" in sandbox.file("/etc/tinderbox/snapshots.conf").read_text()


def test_the_backups_key_is_a_secret_wherever_it_goes():
    plan = planned()
    holders = {made.name: made for made in plan.made if "QkFDS1VQ" in repr(made.inputs)}
    assert set(holders) == {f"tinderbox-test-control-plane-{step}" for step in ("init", "keeper")}
    assert all("stdin" in made.secrets for made in holders.values())
    made = plan.one("backup-key")
    assert plan.options[made.type, made.name].secret_outputs == {"stdout"}
    assert made.inputs["logging"] == "none"


def test_what_is_brought_to_the_volume_outlives_the_instance_that_brought_it():
    plan = planned()
    for made in plan.made:
        if made.name.startswith("wordcount-input") and made.type.startswith("command:"):
            options = plan.options[made.type, made.name]
            assert options.ignore_changes == {"triggers[0]"}, made.name
