"""Upgrades: which steps there are, what they refuse, and what they do to a node."""

from __future__ import annotations

from typing import Any

import pulumi
import pytest

from components.cluster.upgrade import Upgrade, UpgradeArgs, refuse_leap
from components.settings import Settings
from tests.unit.components.test_kubeadm import value
from tests.unit.plan import MINIMAL, changed, planned

# The steps of a stack: their order, and what another version changes.


def test_one_worker_after_the_other_once_the_control_plane_is_done():
    plan = planned({"nodes": {"count": 4}})
    for later, earlier in (
        ("control-plane-upgrade", "control-plane-init"),
        ("worker-1-join", "control-plane-upgrade"),
        ("worker-1-drain", "worker-3-member"),
        ("worker-1-upgrade", "worker-1-drain"),
        ("worker-1-return", "worker-1-upgrade"),
        ("worker-2-drain", "worker-1-return"),
        ("worker-3-drain", "worker-2-return"),
        ("spark", "worker-3-return"),
    ):
        assert earlier in plan.waits_for(later), later
    # flannel makes the nodes ready: nothing that a new cluster needs waits for that.
    assert "flannel" not in plan.waits_for("worker-3-return")


STEPS = {
    "control-plane-release",
    "control-plane-upgrade",
    *(f"{node}-packages" for node in ("control-plane", "worker-1", "worker-2")),
    *(f"worker-{n}-{step}" for n in (1, 2) for step in ("drain", "upgrade", "return")),
}


def test_another_version_is_an_upgrade_and_nothing_else():
    before = planned({"cluster": {"version": "1.36.4"}})
    assert changed(before, planned({"cluster": {"version": "1.36.5"}})) == STEPS


def test_another_containerd_goes_the_same_way():
    before = planned({"cluster": {"containerdVersion": "2.4.2"}})
    after = planned({"cluster": {"containerdVersion": "2.4.3"}})
    assert changed(before, after) == {
        *(STEPS - {"control-plane-release"}),
        "control-plane-containerd-release",
    }
    assert value(after.one("worker-1-upgrade"), "RELEASE") == "1.36.4 2.4.3"


def test_a_newer_default_is_not_even_looked_at(monkeypatch):
    """It is that of new clusters, which only the first of their steps hears of."""
    before = planned()
    assert before.options_of("control-plane-release").ignore_changes == {"stdin"}
    assert before.options_of("control-plane-containerd-release").ignore_changes == {"stdin"}
    for name in STEPS - {"control-plane-release"}:
        step = before.one(name)
        assert "KUBERNETES_VERSION" not in step.inputs["stdin"].partition("step()")[0]
    chosen = planned({"cluster": {"version": "1.36.4"}})
    assert not chosen.options_of("control-plane-release").ignore_changes
    assert chosen.options_of("control-plane-containerd-release").ignore_changes == {"stdin"}


@pytest.fixture
def look(monkeypatch):
    """Calls the hook of the control plane's upgrade; what it said. Arguments: settings, printed."""
    said: list[str] = []
    monkeypatch.setattr(pulumi.log, "info", said.append)

    def call(cluster: dict[str, Any], printed: object) -> list[str]:
        settings = Settings.parse({**MINIMAL, "cluster": cluster}).cluster
        upgrade = Upgrade(UpgradeArgs(None, settings, {}, None))  # ty: ignore[invalid-argument-type]
        outputs = None if printed is None else {"stdout": printed}
        upgrade._look(pulumi.ResourceHookArgs("urn", "id", "name", "type", old_outputs=outputs))
        return said

    return call


def test_the_preview_tells_of_an_upgrade(look):
    said = look({"version": "1.36.5", "containerdVersion": "2.4.3"}, "1.36.4 2.4.2\n")
    assert said == [
        "Kubernetes 1.36.4 becomes 1.36.5, one node after the other",
        "containerd 2.4.2 becomes 2.4.3, one node after the other",
    ]


@pytest.mark.parametrize(
    ("cluster", "printed"),
    [
        ({"version": "1.36.4"}, "1.36.4 2.4.2"),
        ({}, "1.34.0 2.0.0"),  # nothing was chosen
        ({"version": "1.36.5"}, None),  # a state of before this step
        ({"version": "1.36.5"}, object()),
    ],
)
def test_and_of_nothing_where_there_is_none(look, cluster, printed):
    assert look(cluster, printed) == []


def test_the_preview_refuses_what_kubernetes_can_not_do(look):
    with pytest.raises(ValueError, match="Kubernetes does not go back; set 1.36.4 or a newer one"):
        look({"version": "1.36.3"}, "1.36.4 2.4.2")


LEAPS = [
    ("1.36.4", "1.36.4", None),
    ("1.36.4", "1.36.10", None),
    ("1.36.4", "1.37.0", None),
    ("1.36.4", "1.37.12", None),
    ("1.36.4", "1.38.0", "one minor release after the other; first 1.37"),
    ("1.36.4", "1.36.3", "Kubernetes does not go back; set 1.36.4 or a newer one"),
    ("1.36.10", "1.36.9", "Kubernetes does not go back; set 1.36.10 or a newer one"),
    ("1.36.4", "1.35.9", "Kubernetes does not go back; set 1.36.4 or a newer one"),
    ("1.99.4", "1.100.0", None),
]


@pytest.mark.parametrize(("was", "wanted", "why"), LEAPS)
def test_a_leap_is_refused_in_the_same_words_by_program_and_node(cluster, was, wanted, why):
    cluster.is_at(was)
    ran = cluster.release(wanted, chosen=True)
    if why is None:
        refuse_leap(was, wanted)
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, f"{wanted}\n", "")
        return
    with pytest.raises(ValueError) as caught:
        refuse_leap(was, wanted)
    says = f"cluster.version is {was} in this cluster, and {wanted} is asked for: {why}"
    assert str(caught.value) == says
    assert (ran.returncode, ran.stdout, ran.stderr) == (1, "", f"{says}\n")


# What the steps do to a node.

# Packages that are installed lie in a file each; kubectl tells of nodes by what is below nodes/.
DPKG = '[[ -e $SANDBOX/packages/$4 ]] && echo "$(cat "$SANDBOX/packages/$4")-1.1"'
APT = """
case " $* " in
  *" download "*) touch kubeadm_1_amd64.deb ;;
  *" install "*)
    [[ ! -e $SANDBOX/install-fails ]] || { echo "E: no" >&2; exit 100; }
    for package in kubeadm kubelet kubectl; do
      [[ " $* " != *" $package "* ]] || sed -n 's/^Pin: version \\(1\\.[0-9.]*\\)-.*/\\1/p' \
        "$SANDBOX/root/etc/apt/preferences.d/kubernetes" >"$SANDBOX/packages/$package"
    done
    [[ " $* " != *" containerd.io "* ]] || sed -n 's/^Pin: version \\(2\\.[0-9.]*\\)-.*/\\1/p' \
      "$SANDBOX/root/etc/apt/preferences.d/kubernetes" >"$SANDBOX/packages/containerd.io"
    ;;
esac
"""
KUBEADM = """
case "$1 $2" in
  "config images")
    [[ $3 != pull || ! -e $SANDBOX/no-image ]] || { echo "failed to pull image x:v1" >&2; exit 1; }
    echo registry.k8s.io/pause:3.11 ;;
  "upgrade apply")
    [[ ! -e $SANDBOX/apply-fails ]] || exit 1
    echo "    image: registry.k8s.io/kube-apiserver:$3" \
      >"$SANDBOX/root/etc/kubernetes/manifests/kube-apiserver.yaml" ;;
esac
"""
# What the control plane's kubelet tells is what is installed there; a worker's lies in worker.json.
KUBECTL = r"""
own="v$(cat "$SANDBOX/packages/kubelet") containerd://v$(cat "$SANDBOX/packages/containerd.io")"
case "$*" in
  "get node cp"*Ready*) echo -n "$own True" ;;
  "get node cp"*) echo -n "$own" ;;
  "get node w1"*containerRuntime*) cat "$SANDBOX/worker/release" ;;
  "get node w1"*Ready*) cat "$SANDBOX/worker/ready" ;;
  "get node w1"*unschedulable*) cat "$SANDBOX/worker/unschedulable" ;;
  "get node w1"*annotations*) cat "$SANDBOX/worker/mark" ;;
  "annotate node w1 tinderbox.internal/upgrade="*) echo -n "${4#*=}" >"$SANDBOX/worker/mark" ;;
  "annotate node w1 tinderbox.internal/upgrade-") : >"$SANDBOX/worker/mark" ;;
  "drain w1"*) [[ ! -e $SANDBOX/budget ]] || { echo "would violate the budget" >&2; exit 1; }
    echo -n true >"$SANDBOX/worker/unschedulable" ;;
  "uncordon w1") : >"$SANDBOX/worker/unschedulable" ;;
esac
"""
REPOSITORIES = {"KUBERNETES_PACKAGES": "https://k.test", "DOCKER_PACKAGES": "https://d.test"}


class Cluster:
    """The sandbox as a node of a cluster."""

    def __init__(self, sandbox: Any) -> None:
        self.sandbox = sandbox
        self.place = sandbox.root.parent
        (self.place / "packages").mkdir()
        (self.place / "worker").mkdir()
        sandbox.file("/etc/os-release", "VERSION_CODENAME=trixie\n")
        sandbox.file("/etc/containerd/config.toml", "  sandbox = 'registry.k8s.io/pause:3.10'\n")
        for name in ("curl", "apt-mark", "systemctl", "ctr"):
            sandbox.fake(name)
        sandbox.fake("gpg", 'cat >/dev/null; : >"${!#}"')
        sandbox.fake("dpkg", "echo amd64")
        sandbox.fake("dpkg-query", DPKG)
        # Whatever is pinned is there.
        pinned = r"""printf " $2 | %s-1 | x\n" 1.36.4 1.36.5 1.37.0 2.4.2 2.4.3"""
        sandbox.fake("apt-cache", pinned)
        sandbox.fake("apt-get", APT)
        sandbox.fake("dpkg-deb", 'install -D "$(command -v kubeadm)" "$3/usr/bin/kubeadm"')
        sandbox.fake("kubeadm", KUBEADM)
        sandbox.fake("kubectl", KUBECTL)
        self.has("1.36.4", "2.4.2")
        self.worker("v1.36.4 containerd://v2.4.2")

    def has(self, kubernetes: str, containerd: str) -> None:
        """These packages are installed."""
        for package in ("kubelet", "kubeadm", "kubectl"):
            (self.place / "packages" / package).write_text(kubernetes)
        (self.place / "packages" / "containerd.io").write_text(containerd)

    def is_at(self, version: str) -> None:
        """The node is a control plane that runs this release."""
        self.sandbox.file("/etc/kubernetes/.tinderbox-initialized", "")
        image = f"    image: registry.k8s.io/kube-apiserver:v{version}\n"
        self.sandbox.file("/etc/kubernetes/manifests/kube-apiserver.yaml", image)

    def worker(self, release: str, ready="True", unschedulable="", mark="") -> None:
        """What Kubernetes knows of the worker w1."""
        for name, text in (
            ("release", release),
            ("ready", ready),
            ("unschedulable", unschedulable),
            ("mark", mark),
        ):
            (self.place / "worker" / name).write_text(text)

    def release(self, wanted: str, *, chosen: bool, part: str = "kubernetes"):
        """Runs the step that says which release it is to be."""
        values = {"PART": part, "WANTED": wanted, "CHOSEN": str(chosen).lower()}
        return self.sandbox.step("release_lib.sh", "release.sh", **values)

    def upgrade(self, release: str):
        """Runs the control plane's step."""
        scripts = ("release_lib.sh", "upgrade_lib.sh", "upgrade-control-plane.sh")
        values = {"RELEASE": release, "NODE_NAME": "cp", **REPOSITORIES}
        return self.sandbox.step(*scripts, **values)

    def upgrade_worker(self, release: str):
        """Runs the worker's step."""
        scripts = ("release_lib.sh", "upgrade_lib.sh", "upgrade-worker.sh")
        return self.sandbox.step(*scripts, RELEASE=release, **REPOSITORIES)

    def on_control_plane(self, script: str, **more: object):
        """Runs the step before or after the worker's."""
        values = {"WORKER": "w1", "NODE_NAME": "cp", "RELEASE": "1.36.5 2.4.2", **more}
        values = {"INSTANCE_TYPE": "t3.large", **values}
        return self.sandbox.step("drain_lib.sh", "away_lib.sh", script, **values)

    def touched(self) -> list[str]:
        """Calls that change the node or the cluster."""
        calls = self.sandbox.calls
        return [
            *(call for call in calls("apt-get") if " install " in call),
            *(call for call in calls("kubeadm") if call.startswith("upgrade")),
            *(call for call in calls("systemctl") if call.startswith("restart")),
            *(call for call in calls("kubectl") if not call.startswith("get ")),
        ]


@pytest.fixture
def cluster(sandbox) -> Cluster:
    """A node with Kubernetes 1.36.4 and containerd 2.4.2."""
    return Cluster(sandbox)


@pytest.mark.parametrize(("part", "was"), [("kubernetes", "1.36.4"), ("containerd", "2.4.2")])
def test_what_was_not_chosen_stays(cluster, part, was):
    """A new cluster gets the default, one that is there keeps what it has."""
    assert cluster.release("9.9.9", chosen=False, part=part).stdout == "9.9.9\n"
    cluster.is_at("1.36.4")
    assert cluster.release("9.9.9", chosen=False, part=part).stdout == f"{was}\n"


def test_an_init_that_did_not_end_is_no_cluster(cluster):
    cluster.is_at("1.36.4")
    cluster.sandbox.file("/etc/kubernetes/.tinderbox-initialized").unlink()
    assert cluster.release("1.30.0", chosen=True).stdout == "1.30.0\n"


def test_a_containerd_may_go_back(cluster):
    cluster.is_at("1.36.4")
    assert cluster.release("2.4.1", chosen=True, part="containerd").stdout == "2.4.1\n"


def test_a_control_plane_that_is_right_is_not_touched(cluster):
    cluster.is_at("1.36.4")
    ran = cluster.upgrade("1.36.4 2.4.2")
    assert (ran.returncode, ran.stdout) == (0, "1.36.4 2.4.2\n")
    assert cluster.touched() == []
    assert not cluster.sandbox.calls("curl") and not cluster.sandbox.calls("kubectl")


def test_a_control_plane_is_upgraded(cluster):
    cluster.is_at("1.36.4")
    backup = cluster.sandbox.file("/usr/local/sbin/tinderbox-snapshot", "#!/bin/bash\necho kept\n")
    backup.chmod(0o755)
    ran = cluster.upgrade("1.36.5 2.4.2")
    assert (ran.returncode, ran.stdout) == (0, "1.36.5 2.4.2\n"), ran.stderr
    assert "kept\n" in ran.stderr
    pull, apply, *_ = cluster.sandbox.calls("kubeadm")
    assert pull.startswith("config images pull --kubernetes-version v1.36.5 ")
    assert apply.startswith("upgrade apply v1.36.5 --yes")
    assert "restart kubelet" in cluster.sandbox.calls("systemctl")
    # Containers live on with their containerd; only the next pod's pause is another.
    installs = [call for call in cluster.sandbox.calls("apt-get") if " install " in call]
    assert installs[0].endswith(" kubeadm")
    assert installs[1].endswith(" containerd.io kubelet kubectl")
    config = cluster.sandbox.file("/etc/containerd/config.toml").read_text()
    assert config == "  sandbox = 'registry.k8s.io/pause:3.11'\n"
    assert cluster.upgrade("1.36.5 2.4.2").stdout == "1.36.5 2.4.2\n"
    assert len([call for call in cluster.touched() if "upgrade apply" in call]) == 1


def test_a_containerd_alone_is_no_upgrade_of_the_cluster(cluster):
    cluster.is_at("1.36.4")
    ran = cluster.upgrade("1.36.4 2.4.3")
    assert (ran.returncode, ran.stdout) == (0, "1.36.4 2.4.3\n"), ran.stderr
    assert "restart containerd" in cluster.touched()
    assert not [call for call in cluster.touched() if call.startswith("upgrade")]
    assert "restart kubelet" not in cluster.touched()


def test_a_release_that_the_mirror_lacks_is_named_and_nothing_is_touched(cluster):
    cluster.is_at("1.36.4")
    ran = cluster.upgrade("1.36.9 2.4.2")
    assert ran.returncode == 1
    assert "https://k.test/core:/stable:/v1.36/deb/ has no kubelet 1.36.9" in ran.stderr
    assert cluster.touched() == []


def test_an_image_that_can_not_be_had_is_found_before_anything_is_touched(cluster):
    cluster.is_at("1.36.4")
    (cluster.place / "no-image").touch()
    ran = cluster.upgrade("1.36.5 2.4.2")
    assert ran.returncode == 1
    assert ran.stderr.endswith(
        "failed to pull image x:v1\n"
        "an image of Kubernetes 1.36.5 can't be had (see above): nothing was changed\n"
    )
    assert cluster.touched() == []


def test_without_a_snapshot_there_is_no_upgrade(cluster):
    cluster.is_at("1.36.4")
    backup = cluster.sandbox.file("/usr/local/sbin/tinderbox-snapshot", "#!/bin/bash\nexit 3\n")
    backup.chmod(0o755)
    assert cluster.upgrade("1.36.5 2.4.2").returncode == 3
    assert cluster.touched() == []


@pytest.mark.parametrize("at", ["apply-fails", "install-fails"])
def test_an_upgrade_that_failed_goes_on(cluster, at):
    cluster.is_at("1.36.4")
    (cluster.place / at).touch()
    assert cluster.upgrade("1.36.5 2.4.2").returncode != 0
    # And may be given up: nothing of the cluster is at the new release yet.
    assert cluster.release("1.36.4", chosen=True).stdout == "1.36.4\n"
    (cluster.place / at).unlink()
    assert cluster.upgrade("1.36.5 2.4.2").stdout == "1.36.5 2.4.2\n"
    assert "restart kubelet" in cluster.touched()


def test_a_restart_that_did_not_come_is_made_good(cluster):
    """The packages are there, and the services run what was before."""
    cluster.is_at("1.36.5")
    cluster.has("1.36.5", "2.4.2")
    cluster.sandbox.file("/run/tinderbox/restart/kubelet", "")
    assert cluster.upgrade("1.36.5 2.4.2").stdout == "1.36.5 2.4.2\n"
    assert "restart kubelet" in cluster.touched()


def test_a_worker_that_is_right_is_left_alone(cluster):
    cluster.has("1.36.5", "2.4.2")
    cluster.worker("v1.36.5 containerd://v2.4.2")
    for ran in (
        cluster.on_control_plane("upgrade-drain.sh"),
        cluster.upgrade_worker("1.36.5 2.4.2"),
        cluster.on_control_plane("upgrade-return.sh"),
    ):
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")
    assert cluster.touched() == []
    assert not cluster.sandbox.calls("curl")


def test_a_new_worker_is_not_waited_for(cluster):
    """Before flannel no node is ready."""
    cluster.has("1.36.5", "2.4.2")
    cluster.worker("v1.36.5 containerd://v2.4.2", ready="False")
    assert cluster.on_control_plane("upgrade-return.sh").returncode == 0


@pytest.mark.parametrize(("unschedulable", "comes_back"), [("", True), ("true", False)])
def test_a_worker_is_drained_and_comes_back_as_it_was(cluster, unschedulable, comes_back):
    cluster.has("1.36.5", "2.4.2")  # the control plane
    cluster.worker("v1.36.4 containerd://v2.4.2", unschedulable=unschedulable)
    assert cluster.on_control_plane("upgrade-drain.sh").returncode == 0
    (drain,) = [call for call in cluster.touched() if call.startswith("drain")]
    assert drain == "drain w1 --ignore-daemonsets --delete-emptydir-data --force --timeout 420s"
    # As long as it is not back, nothing lets it.
    impatient = cluster.on_control_plane("upgrade-return.sh", PATIENCE="0")
    assert impatient.returncode == 1
    assert (
        "w1 (t3.large) to be ready with Kubernetes 1.36.5 and containerd 2.4.2" in impatient.stderr
    )
    (cluster.place / "worker" / "release").write_text("v1.36.5 containerd://v2.4.2")
    assert cluster.on_control_plane("upgrade-return.sh").returncode == 0
    assert ("uncordon w1" in cluster.touched()) == comes_back
    assert (cluster.place / "worker" / "mark").read_text() == ""


def test_a_drain_that_was_interrupted_still_knows_who_cordoned(cluster):
    cluster.has("1.36.5", "2.4.2")
    cluster.worker("v1.36.4 containerd://v2.4.2", unschedulable="true", mark="cordoned")
    assert cluster.on_control_plane("upgrade-drain.sh").returncode == 0
    assert (cluster.place / "worker" / "mark").read_text() == "cordoned"


def test_a_budget_that_lets_nobody_go_ends_it_and_the_worker_serves_on(cluster):
    cluster.has("1.36.5", "2.4.2")
    cluster.worker("v1.36.4 containerd://v2.4.2")
    (cluster.place / "budget").touch()
    ran = cluster.on_control_plane("upgrade-drain.sh")
    assert ran.returncode == 1
    assert ran.stderr == (
        "would violate the budget\n"
        "w1 could not be drained within 420 s (see above):"
        " it takes pods again and stays as it is\n"
    )
    assert (cluster.place / "worker" / "unschedulable").read_text() == ""
    assert (cluster.place / "worker" / "mark").read_text() == ""


def test_a_worker_is_upgraded(cluster):
    ran = cluster.upgrade_worker("1.36.5 2.4.3")
    assert ran.returncode == 0, ran.stderr
    assert cluster.sandbox.calls("kubeadm")[0].startswith("upgrade node")
    restarts = [call for call in cluster.touched() if call.startswith("restart")]
    assert restarts == ["restart containerd", "restart kubelet"]
    again = cluster.upgrade_worker("1.36.5 2.4.3")
    assert (again.returncode, again.stdout) == (0, "")


@pytest.mark.parametrize(("cgroup_v2", "ignored"), [(True, False), (False, True)])
def test_kubeadm_takes_cgroup_v1_only_when_told_to(cluster, cgroup_v2, ignored):
    if cgroup_v2:
        cluster.sandbox.file("/sys/fs/cgroup/cgroup.controllers", "cpu\n")
    cluster.upgrade_worker("1.36.5 2.4.2")
    (upgrade,) = [call for call in cluster.touched() if call.startswith("upgrade node")]
    assert ("--ignore-preflight-errors=SystemVerification" in upgrade) == ignored
