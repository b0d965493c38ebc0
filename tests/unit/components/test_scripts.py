"""The nodes' scripts, each run by bash in a sandbox with commands that only note their calls."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import tomllib

import pytest
import yaml

from components.cluster.backup import program
from components.cluster.steps import _SCRIPTS, shell_input

# lib.sh


def test_waiting_ends_as_soon_as_the_command_succeeds(sandbox):
    sandbox.fake("probe", '(($(wc -l <"$SANDBOX/calls") >= 3))')
    ran = sandbox.run(shell_input("wait_for 10 'the probe' probe it\necho there", {}))
    assert ran.stdout == "there\n"
    assert sandbox.calls("probe") == ["it"] * 3


def test_waiting_has_an_end_and_says_what_for(sandbox):
    sandbox.fake("probe", "echo noise; echo noise >&2; false")
    ran = sandbox.run(shell_input("wait_for 2 'the API to answer' probe\necho there", {}))
    assert ran.returncode == 1
    assert (ran.stdout, ran.stderr) == ("", "gave up after 2 s waiting for the API to answer\n")
    assert len(sandbox.calls("probe")) > 1


def test_without_time_it_still_looks_once(sandbox):
    assert sandbox.run(shell_input("wait_for 0 something true", {})).returncode == 0
    assert sandbox.run(shell_input("wait_for 0 something false", {})).returncode == 1


def test_patience_makes_limits_longer(sandbox):
    """Of an emulated machine; never shorter, and never none."""
    text = shell_input("sleep() { SECONDS=$((SECONDS + 1)); }\nwait_for 2 something false", {})
    assert "gave up after 2 s" in sandbox.run(text).stderr
    assert "gave up after 6 s" in sandbox.run(f"export PATIENCE=3\n{text}").stderr


BUSY = """
left=$(cat "$SANDBOX/left")
((left == 0)) || { echo $((left - 1)) >"$SANDBOX/left"; cat "$SANDBOX/said" >&2; exit 7; }
[[ " $* " != *" - "* ]] || cat
"""
TOO_LATE = (
    "Error from server: etcdserver: request timed out\n",
    'Get "https://api:6443/x?timeout=10s": net/http: request canceled (Client.Timeout exceeded)\n',
    "error execution phase preflight: could not download: context deadline exceeded\n",
)
FOR_GOOD = (
    'Error from server (NotFound): nodes "a" not found\n',
    "error execution phase kubelet-start: context deadline exceeded\n",
)


@pytest.mark.parametrize(
    ("said", "left", "patience", "code"),
    [
        *((said, 2, 1, 0) for said in TOO_LATE),
        *((said, 2, 1, 7) for said in FOR_GOOD),
        (TOO_LATE[0], 9, 0, 7),
    ],
)
def test_a_busy_api_server_is_asked_again(sandbox, tmp_path, said, left, patience, code):
    """By what the script would have it read; but not for ever, and for nothing else."""
    sandbox.fake("kubectl", BUSY)
    (tmp_path / "left").write_text(f"{left}\n")
    (tmp_path / "said").write_text(said)
    text = shell_input("sleep() { :; }\nkubectl apply --filename - <<<given", {})
    ran = sandbox.run(f"export PATIENCE={patience}\n{text}")
    assert (ran.returncode, ran.stdout) == (code, "" if code else "given\n")
    assert ran.stderr.endswith(said) == bool(code)
    assert len(sandbox.calls("kubectl")) == (1 if code else left + 1)
    assert ran.stderr.count("the API server is busy") == (0 if code else left)
    assert not list(sandbox.temporary.iterdir())


def test_who_waits_asks_again_by_itself(sandbox, tmp_path):
    """Else it would wait longer than it says."""
    sandbox.fake("kubectl", BUSY)
    (tmp_path / "left").write_text("9\n")
    (tmp_path / "said").write_text(TOO_LATE[0])
    ran = sandbox.run(shell_input("sleep() { :; }\nwait_for 0 'the API' kubectl get nodes", {}))
    assert ran.stderr == "gave up after 0 s waiting for the API\n"
    assert len(sandbox.calls("kubectl")) == 1


def test_put_makes_a_file_with_its_folder_and_its_rights(sandbox):
    assert sandbox.run(shell_input("put /etc/new/file 0600 <<<content", {})).returncode == 0
    file = sandbox.file("/etc/new/file")
    assert file.read_text() == "content\n"
    assert file.stat().st_mode & 0o777 == 0o600
    assert not list(sandbox.temporary.iterdir())


def test_put_leaves_a_file_alone_that_is_right(sandbox):
    file = sandbox.file("/etc/file", "content\n")
    before = file.stat()
    sandbox.run(shell_input("put /etc/file <<<content", {}))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_put_replaces_another_content(sandbox):
    file = sandbox.file("/etc/file", "old\n")
    sandbox.run(shell_input("put /etc/file <<<new", {}))
    assert file.read_text() == "new\n"
    assert file.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in file.parent.iterdir()] == ["file", "hosts"]


def test_a_file_is_never_seen_half(sandbox):
    """What an interruption leaves of a write is beside it."""
    file = sandbox.file("/etc/file", "old\n")
    sandbox.fake("mv", "kill -KILL 0")
    sandbox.run(shell_input("put /etc/file <<<new", {}))
    assert file.read_text() == "old\n"


SERVED = "put /etc/file 0644 served <<<{}\nstart_service served"


def test_a_service_is_restarted_for_what_it_reads_at_its_start_and_for_nothing_else(sandbox):
    sandbox.fake("systemctl")
    for content in ("one", "one", "two", "two"):
        assert sandbox.run(shell_input(SERVED.format(content), {})).returncode == 0
    assert sandbox.calls("systemctl").count("restart served") == 2


def test_a_restart_that_was_interrupted_is_made_good(sandbox):
    """A second run finds the file as it is to be, and the service with what was before."""
    sandbox.fake("systemctl", "[[ $1 != enable ]]")
    assert sandbox.run(shell_input(SERVED.format("one"), {})).returncode == 1
    sandbox.fake("systemctl")
    before = len(sandbox.calls("systemctl"))
    assert sandbox.run(shell_input(SERVED.format("one"), {})).returncode == 0
    assert "restart served" in sandbox.calls("systemctl")[before:]


# Fails as apt-get does, as often as the file says.
APT = """
left=$(cat "$SANDBOX/left")
((left == 0)) && exit
echo $((left - 1)) >"$SANDBOX/left"
cat "$SANDBOX/said" >&2
exit 100
"""
INTERRUPTED = (
    "E: dpkg was interrupted, you must manually run 'dpkg --configure -a' to correct the problem.\n"
)
LOCKED = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 7 (apt-get)\n"


@pytest.mark.parametrize(
    ("said", "left", "code"),
    [(LOCKED, 2, 0), (INTERRUPTED, 1, 0), ("E: Unable to locate package x\n", 1, 100)],
)
def test_apt_waits_for_whoever_holds_its_lists_and_completes_what_was_interrupted(
    sandbox, tmp_path, said, left, code
):
    sandbox.fake("apt-get", APT)
    sandbox.fake("dpkg")
    (tmp_path / "left").write_text(f"{left}\n")
    (tmp_path / "said").write_text(said)
    ran = sandbox.run(shell_input("apt_get update", {}))
    assert (ran.returncode, ran.stderr) == (code, said if code else "")
    assert len(sandbox.calls("apt-get")) == (1 if code else left + 1)
    assert sandbox.calls("dpkg") == (
        ["--configure -a --force-confold"] if said == INTERRUPTED else []
    )
    assert not list(sandbox.temporary.iterdir())


# approve-serving-certificates.sh

APPROVER = _SCRIPTS / "approve-serving-certificates.sh"
USER = "system:node:worker-1"
SUBJECT = f"CN={USER},O=system:nodes"
NAMES = "DNS:worker-1, IP Address:10.42.0.7"


def sound(user=USER, subject=SUBJECT, names=NAMES, address="10.42.0.7") -> bool:
    """Whether the approver's rule lets such a request pass."""
    rule = f'source {APPROVER}; request_is_sound "$@"'
    ran = subprocess.run(["bash", "-c", rule, "test", user, subject, names, address])
    assert ran.returncode in (0, 1)
    return ran.returncode == 0


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"subject": f"O=system:nodes,CN={USER}"},
        {"names": "DNS:worker-1"},
        {"names": "IP Address:10.42.0.7"},
        {"names": "IP Address:10.42.0.7, DNS:worker-1"},
    ],
)
def test_a_node_gets_a_certificate_for_itself(request_):
    assert sound(**request_)


@pytest.mark.parametrize(
    "request_",
    [
        {"names": f"{NAMES}, DNS:control-plane"},
        {"names": "DNS:control-plane, IP Address:10.42.0.7"},
        {"names": "DNS:worker-1.evil.example, IP Address:10.42.0.7"},
        {"names": "DNS:*, IP Address:10.42.0.7"},
        {"names": "DNS:worker-1, IP Address:10.42.0.8"},
        {"names": "DNS:worker-1, IP Address:10.42.0.70"},
        {"names": f"{NAMES}, URI:https://worker-1/"},
        {"names": f"{NAMES}, email:root@worker-1"},
        {"names": f"{NAMES}\nDNS:control-plane"},
        {"names": ""},
        {"user": "system:node:worker-2"},
        {"user": "kubernetes-admin"},
        {"user": "worker-1"},
        {"user": "system:node:", "subject": "CN=system:node:,O=system:nodes", "names": "DNS:"},
        {"subject": "CN=system:node:worker-2,O=system:nodes"},
        {"subject": f"CN={USER}"},
        {"subject": f"CN={USER},O=system:masters"},
        {"subject": f"CN={USER},O=system:nodes,O=system:masters"},
        {"subject": f"{SUBJECT}\nCN=x"},
        {"address": ""},
        {"address": "", "names": "IP Address:"},
        {"address": "*"},
    ],
)
def test_and_for_nothing_else(request_):
    assert not sound(**request_)


class Requests:
    """A cluster that has certificate requests, behind a kubectl."""

    def __init__(self, sandbox) -> None:
        self._sandbox = sandbox
        sandbox.fake(
            "kubectl",
            """case "$*" in
              "get csr --field-selector"*) cd "$SANDBOX/root/csr" && printf '%s\\n' * ;;
              "get csr "*) cat "$SANDBOX/root/csr/$3" ;;
            esac""",
        )

    def add(self, name: str, node: str, subject: str, names: str, state: str = "") -> None:
        """A request by a node, as `kubectl get csr -o jsonpath` prints it."""
        extra = ["-addext", f"subjectAltName={names}"] if names else []
        made = subprocess.run(
            ["openssl", "req", "-new", "-newkey", "ed25519", "-nodes", "-keyout", "/dev/null"]
            + ["-subj", subject, *extra],
            capture_output=True,
            check=True,
        )
        encoded = base64.b64encode(made.stdout).decode()
        self._sandbox.file(f"/csr/{name}", f"system:node:{node}|{encoded}|{state}\n")

    def look(self) -> str:
        """Has the approver look at all requests; what it says."""
        self._sandbox.file("/etc/kubernetes/nodes/worker-1", "10.42.0.7\n")
        # As the service runs it: a program of its own, not a step.
        self._sandbox.file("/usr/local/sbin/approve", APPROVER.read_text())
        ran = self._sandbox.run("NODES=/etc/kubernetes/nodes bash /usr/local/sbin/approve")
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def approved(self) -> list[str]:
        """The requests that were."""
        calls = self._sandbox.calls("kubectl")
        return [call.split()[-1] for call in calls if call.startswith("certificate approve ")]


@pytest.fixture
def requests(sandbox) -> Requests:
    """A cluster without requests yet."""
    return Requests(sandbox)


OWN = "/O=system:nodes/CN=system:node:worker-1"


def test_a_real_request_of_a_known_node_is_approved(requests):
    requests.add("csr-1", "worker-1", OWN, "DNS:worker-1,IP:10.42.0.7")
    requests.look()
    assert requests.approved() == ["csr-1"]


@pytest.mark.parametrize(
    ("node", "subject", "names"),
    [
        ("worker-1", OWN, "DNS:worker-1,IP:10.42.0.8"),
        ("worker-1", OWN, "DNS:worker-1,DNS:kubernetes.default,IP:10.42.0.7"),
        ("worker-1", OWN, "URI:spiffe://worker-1"),
        ("worker-1", OWN, ""),
        ("worker-1", "/O=system:masters/CN=system:node:worker-1", "DNS:worker-1"),
        ("worker-1", "/O=system:nodes/CN=system:node:worker-2", "DNS:worker-1"),
        ("worker-2", "/O=system:nodes/CN=system:node:worker-2", "DNS:worker-2"),
        ("../worker-1", "/O=system:nodes/CN=system:node:..", "DNS:worker-1"),
        (".", "/O=system:nodes/CN=system:node:.", "DNS:worker-1"),
    ],
)
def test_a_real_request_for_more_is_left_alone_and_told_of(requests, node, subject, names):
    requests.add("csr-1", node, subject, names)
    said = requests.look()
    assert requests.approved() == []
    assert said.startswith(f"left alone: csr-1 of system:node:{node}")


def test_what_is_decided_is_not_decided_again(requests):
    requests.add("csr-1", "worker-1", OWN, "DNS:worker-1", state="Approved")
    requests.add("csr-2", "worker-1", OWN, "DNS:worker-1", state="Denied")
    assert requests.look() == ""
    assert requests.approved() == []


def test_one_bad_request_does_not_stop_the_next(requests, sandbox):
    sandbox.file("/csr/csr-1", "system:node:worker-1|bm90IGEgcmVxdWVzdA==|\n")
    sandbox.file("/csr/csr-2", "")
    requests.add("csr-3", "worker-1", OWN, "DNS:worker-1")
    requests.look()
    assert requests.approved() == ["csr-3"]


def test_the_approver_is_a_service_with_credentials_of_its_own(sandbox):
    sandbox.file("/etc/kubernetes/admin.conf", "admin")
    sandbox.fake("kubectl", "cat >/dev/null")
    sandbox.fake("kubeadm", "echo credentials")
    sandbox.fake("systemctl")
    values = {"APPROVER": APPROVER.read_text(), "NODE_NAME": "cp", "NODE_IP": "10.42.0.5"}
    ran = sandbox.step("approver.sh", **values)
    assert ran.returncode == 0, ran.stderr
    assert sandbox.file("/etc/kubernetes/nodes/cp").read_text() == "10.42.0.5\n"
    credentials = sandbox.file("/etc/kubernetes/approver.conf")
    assert credentials.read_text() == "credentials\n"
    assert credentials.stat().st_mode & 0o777 == 0o600
    program = sandbox.file("/usr/local/sbin/approve-serving-certificates")
    assert program.stat().st_mode & 0o777 == 0o755
    assert "--client-name tinderbox:serving-certificate-approver" in sandbox.calls("kubeadm")[0]
    service = "approve-serving-certificates.service"
    assert f"restart {service}" in sandbox.calls("systemctl")
    unit = sandbox.file(f"/etc/systemd/system/{service}").read_text()
    assert f"ExecStart={program}\n" in unit
    assert f"KUBECONFIG={credentials}\n" in unit
    # However long the API server is away, such as at the node's own start.
    assert "Restart=always\n" in unit and "StartLimitIntervalSec=0\n" in unit.split("[Service]")[0]

    sandbox.fake("systemctl")
    sandbox.step("approver.sh", **values)
    assert sandbox.calls("systemctl").count(f"restart {service}") == 1
    assert len(sandbox.calls("kubeadm")) == 1


# kubelet_lib.sh


def lib(sandbox, call: str, cgroup_v2: bool = True) -> str:
    """What a function of kubelet_lib.sh prints."""
    if cgroup_v2:
        sandbox.file("/sys/fs/cgroup/cgroup.controllers", "cpu memory\n")
    text = (_SCRIPTS / "kubelet_lib.sh").read_text()
    ran = sandbox.run(shell_input(f"{text}\n{call}", {}))
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_a_name_is_mapped_once_and_to_the_last_address(sandbox):
    hosts = sandbox.file("/etc/hosts", "127.0.0.1 localhost\n10.0.0.1 other.internal\n")
    for address in ("10.42.0.5", "10.42.0.5", "10.42.0.9"):
        lib(sandbox, f"map_name cp.internal {address}")
    assert hosts.read_text() == (
        "127.0.0.1 localhost\n10.0.0.1 other.internal\n10.42.0.9 cp.internal\n"
    )


@pytest.mark.parametrize(
    ("cgroup_v2", "kubelet", "preflight"),
    [
        (True, {"cgroupDriver": "systemd"}, []),
        (False, {"cgroupDriver": "cgroupfs", "failCgroupV1": False}, ["SystemVerification"]),
    ],
)
def test_the_cgroup_driver_is_the_hosts(sandbox, cgroup_v2, kubelet, preflight):
    assert yaml.safe_load(lib(sandbox, "cgroup_settings", cgroup_v2)) == kubelet
    ignored = yaml.safe_load(lib(sandbox, "ignored_preflight_errors", cgroup_v2))
    assert ignored == {"ignorePreflightErrors": preflight}


def test_connection_tables_are_sized_only_where_they_may_be(sandbox):
    assert yaml.safe_load(lib(sandbox, "conntrack_settings")) == {"conntrack": {"maxPerCore": 0}}
    table = sandbox.file("/proc/sys/net/netfilter/nf_conntrack_max", "262144\n")
    assert yaml.safe_load(lib(sandbox, "conntrack_settings")) == {"conntrack": {}}
    assert table.read_text() == "262144\n"


# init.sh


def kubeadm_calls(node) -> list[str]:
    """All but what only looks."""
    return [call for call in node.calls("kubeadm") if not call.startswith("version")]


KUBEADM = """
cd "$SANDBOX/root/etc/kubernetes"
case $1 in
  version) echo v1.36.4 ;;
  init) touch admin.conf; [[ ! -e $SANDBOX/init-fails ]] || exit 1; cp "$3" "$SANDBOX/config" ;;
  join) [[ ! -e $SANDBOX/join-fails ]] || exit 1; touch kubelet.conf; cp "$3" "$SANDBOX/config" ;;
  reset) rm -f *.conf ;;
esac
"""
INIT = {
    "POD_CIDR": "10.244.0.0/16",
    "SERVICE_CIDR": "10.96.0.0/12",
    "ENDPOINT_NAME": "cp.internal",
    "NODE_NAME": "ip-10-42-0-5.internal",
    "NODE_IP": "10.42.0.5",
    "PUBLIC_IP": "198.18.1.1",
    "NODE_LABELS": "a/b=c d=e",
    "TAKES_WORK": "false",
    "BACKUP_KEY": "QkFDS1VQ",
    "CERTIFICATE_DAYS": "365",
}
INIT_SCRIPTS = ("kubelet_lib.sh", "snapshot_lib.sh", "etcd_lib.sh", "peers_lib.sh", "init.sh")


@pytest.fixture
def node(sandbox):
    """A sandbox with kubeadm and kubectl."""
    sandbox.fake("kubeadm", KUBEADM)
    sandbox.fake("kubectl")
    sandbox.fake("ctr")
    sandbox.file("/sys/fs/cgroup/cgroup.controllers", "cpu\n")
    sandbox.file("/etc/kubernetes/pki/.keep", "")
    return sandbox


def init(node, **more) -> str:
    """Runs the step; what it said."""
    ran = node.step(*INIT_SCRIPTS, **{**INIT, **more})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize(("more", "times"), [({}, 1), ({"PATIENCE": 20}, 20)])
def test_the_control_planes_limits_are_kubernetes_own_or_longer(node, tmp_path, more, times):
    init(node, **more)
    first, cluster, *_ = yaml.safe_load_all((tmp_path / "config").read_text())
    assert first["timeouts"]["controlPlaneComponentHealthCheck"] == f"{240 * times}s"
    said = {
        (part, one["name"]): one["value"]
        for part in ("apiServer", "controllerManager", "scheduler")
        for one in cluster[part]["extraArgs"]
    }
    assert said == {
        ("apiServer", "etcd-healthcheck-timeout"): f"{2 * times}s",
        ("apiServer", "etcd-readycheck-timeout"): f"{2 * times}s",
        ("controllerManager", "leader-elect-lease-duration"): f"{15 * times}s",
        ("controllerManager", "leader-elect-renew-deadline"): f"{10 * times}s",
        ("scheduler", "leader-elect-lease-duration"): f"{15 * times}s",
        ("scheduler", "leader-elect-renew-deadline"): f"{10 * times}s",
    }
    patches = node.file("/etc/kubernetes/patches")
    assert first["patches"] == {"directory": str(patches)}
    for part in ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        (container,) = yaml.safe_load((patches / f"{part}+strategic.yaml").read_text())["spec"][
            "containers"
        ]
        live = {"name": part, "livenessProbe": {"failureThreshold": 8 * times}}
        # kubeadm gives the controller manager no probe that could be asked less often.
        ready = {} if "manager" in part else {"readinessProbe": {"periodSeconds": 10}}
        assert container == live | ready


def test_init_is_configured_as_asked(node, tmp_path):
    init(node)
    documents = list(yaml.safe_load_all((tmp_path / "config").read_text()))
    first, cluster, kubelet, proxy = documents
    assert f"label node {INIT['NODE_NAME']} a/b=c d=e --overwrite" in node.calls("kubectl")
    assert [document["kind"] for document in documents] == [
        "InitConfiguration",
        "ClusterConfiguration",
        "KubeletConfiguration",
        "KubeProxyConfiguration",
    ]
    assert first["apiVersion"] == cluster["apiVersion"] == "kubeadm.k8s.io/v1beta4"
    assert first["localAPIEndpoint"]["advertiseAddress"] == "10.42.0.5"
    registration = first["nodeRegistration"]
    assert registration["name"] == "ip-10-42-0-5.internal"
    assert registration["criSocket"] == "unix:///run/containerd/containerd.sock"
    assert registration["kubeletExtraArgs"] == [
        {"name": "node-ip", "value": "10.42.0.5"},
    ]
    assert registration["ignorePreflightErrors"] == []
    assert cluster["kubernetesVersion"] == "v1.36.4"
    assert cluster["controlPlaneEndpoint"] == "cp.internal:6443"
    assert cluster["certificateValidityPeriod"] == "8760h0m0s"
    assert cluster["caCertificateValidityPeriod"] == "87600h0m0s"
    assert cluster["networking"] == {
        "podSubnet": "10.244.0.0/16",
        "serviceSubnet": "10.96.0.0/12",
    }
    assert cluster["apiServer"]["certSANs"] == ["cp.internal", "10.42.0.5", "198.18.1.1"]
    assert kubelet["serverTLSBootstrap"] is True
    assert kubelet["rotateCertificates"] is True
    assert kubelet["cgroupDriver"] == "systemd"
    assert kubelet["evictionHard"]["nodefs.available"] == "1Gi"
    assert "conntrack" in proxy
    assert "10.42.0.5 cp.internal" in node.file("/etc/hosts").read_text()
    mode = node.file("/etc/kubernetes/tinderbox.yaml").stat().st_mode
    assert mode & 0o777 == 0o600


def test_init_on_cgroup_v1(node, tmp_path):
    node.file("/sys/fs/cgroup/cgroup.controllers").unlink()
    init(node)
    first, _, kubelet, _ = yaml.safe_load_all((tmp_path / "config").read_text())
    assert first["nodeRegistration"]["ignorePreflightErrors"] == ["SystemVerification"]
    assert (kubelet["cgroupDriver"], kubelet["failCgroupV1"]) == ("cgroupfs", False)


def test_init_prints_no_token(node):
    init(node)
    (call,) = kubeadm_calls(node)
    assert "--skip-phases show-join-command" in call


def test_a_second_init_does_nothing(node):
    init(node)
    assert init(node) == ""
    assert len(kubeadm_calls(node)) == 1


@pytest.mark.parametrize(
    ("setting", "variable", "was", "wanted"),
    [
        ("cluster.podCidr", "POD_CIDR", "10.244.0.0/16", "10.245.0.0/16"),
        ("cluster.serviceCidr", "SERVICE_CIDR", "10.96.0.0/12", "10.112.0.0/12"),
    ],
)
def test_a_cluster_that_is_there_keeps_its_ranges(node, setting, variable, was, wanted):
    init(node)
    ran = node.step(*INIT_SCRIPTS, **{**INIT, variable: wanted})
    assert ran.returncode == 1
    assert ran.stderr == (
        f"{setting} is {was} in this cluster, and {wanted} is asked for:"
        " set it back, or make destroy and make up anew\n"
    )


def test_an_interrupted_init_starts_over(node, tmp_path):
    (tmp_path / "init-fails").touch()
    assert node.step(*INIT_SCRIPTS, **INIT).returncode == 1
    (tmp_path / "init-fails").unlink()
    assert "starting over" in init(node)
    assert [call.split()[0] for call in kubeadm_calls(node)] == ["init", "reset", "init"]


@pytest.mark.parametrize("left", ["pki/ca.crt", "manifests/etcd.yaml", "super-admin.conf"])
def test_whatever_a_reset_that_was_interrupted_left_is_reset(node, left):
    node.file(f"/etc/kubernetes/{left}", "")
    assert "starting over" in init(node)
    assert [call.split()[0] for call in kubeadm_calls(node)] == ["reset", "init"]


def test_a_cluster_that_was_made_by_an_older_program_is_left_as_it_is(node):
    """Its configuration lacks what newer ones have."""
    init(node)
    file = node.file("/etc/kubernetes/tinderbox.yaml")
    older = "".join(
        line for line in file.read_text().splitlines(True) if "ValidityPeriod" not in line
    )
    file.write_text(older)
    assert init(node) == ""
    assert file.read_text() == older
    assert len(kubeadm_calls(node)) == 1


TAINT = "node-role.kubernetes.io/control-plane:NoSchedule"


@pytest.mark.parametrize(
    ("takes_work", "call"), [("true", f"{TAINT}-"), ("false", f"{TAINT} --overwrite")]
)
def test_work_is_let_in_or_kept_out(node, takes_work, call):
    init(node, TAKES_WORK=takes_work)
    init(node, TAKES_WORK=takes_work)  # the number of nodes may have changed since
    taints = [item for item in node.calls("kubectl") if item.startswith("taint")]
    assert taints == [f"taint node ip-10-42-0-5.internal {call}"] * 2


# join.sh

JOIN = {
    "ENDPOINT_NAME": "cp.internal",
    "ENDPOINT_IP": "10.42.0.5",
    "NODE_NAME": "ip-10-42-0-6.internal",
    "NODE_IP": "10.42.0.6",
    "JOIN": "abcdef.0123456789abcdef sha256:11",
    "CONTROL_PLANE": "i-1",
    "LABELS": "disk=ssd,team=",
    "TAINTS": '[{"key": "gpu", "value": "", "effect": "NoSchedule"}]',
}


def join(node, **more) -> str:
    """Runs the step; what it said."""
    ran = node.step("kubelet_lib.sh", "join.sh", **{**JOIN, **more})
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_join_is_configured_as_asked(node, tmp_path):
    join(node)
    (document,) = yaml.safe_load_all((tmp_path / "config").read_text())
    assert (document["apiVersion"], document["kind"]) == (
        "kubeadm.k8s.io/v1beta4",
        "JoinConfiguration",
    )
    assert document["discovery"]["bootstrapToken"] == {
        "apiServerEndpoint": "cp.internal:6443",
        "token": "abcdef.0123456789abcdef",
        "caCertHashes": ["sha256:11"],
    }
    assert document["nodeRegistration"]["name"] == "ip-10-42-0-6.internal"
    assert document["nodeRegistration"]["kubeletExtraArgs"] == [
        {"name": "node-ip", "value": "10.42.0.6"},
        {"name": "node-labels", "value": "disk=ssd,team="},
    ]
    assert document["nodeRegistration"]["taints"] == [
        {"key": "gpu", "value": "", "effect": "NoSchedule"}
    ]
    assert "10.42.0.5 cp.internal" in node.file("/etc/hosts").read_text()


def test_a_token_is_on_no_command_line_and_in_no_file_that_stays(node):
    join(node)
    assert "0123456789abcdef" not in " ".join(kubeadm_calls(node))
    left = [*node.root.rglob("*"), *node.temporary.iterdir()]
    for file in left:
        assert not file.is_file() or "0123456789abcdef" not in file.read_text()


def test_a_second_join_does_nothing(node):
    join(node)
    assert join(node, JOIN="fedcba.0123456789abcdef sha256:11") == ""
    assert len(kubeadm_calls(node)) == 1


def test_the_same_cluster_behind_another_control_plane_is_not_joined_anew(node):
    """The kubelet makes its node known again; kube-proxy gets the names of now. Pods stay."""
    node.fake("systemctl")
    node.fake("crictl", "[[ $1 != ps ]] || echo 12ab")
    join(node)
    moved = {"CONTROL_PLANE": "i-2", "ENDPOINT_IP": "10.42.0.9"}
    assert "the same cluster has another control plane" in join(node, **moved)
    assert len(kubeadm_calls(node)) == 1
    assert node.calls("systemctl") == ["restart kubelet"]
    assert node.calls("crictl") == ["ps --quiet --name ^kube-(proxy|flannel)$", "stop 12ab"]
    assert "10.42.0.9 cp.internal" in node.file("/etc/hosts").read_text()
    assert join(node, **moved) == ""
    assert len(node.calls("systemctl")) == 1


def test_a_worker_that_joined_before_this_was_noted_is_left_alone(node):
    node.fake("systemctl")
    join(node)
    node.file("/etc/kubernetes/.tinderbox-control-plane").unlink()
    assert join(node) == ""
    assert node.calls("systemctl") == []
    assert node.file("/etc/kubernetes/.tinderbox-control-plane").read_text() == "i-1\n"


def test_a_worker_of_another_cluster_joins_this_one(node):
    join(node)
    assert "starting over" in join(node, JOIN="fedcba.0123456789abcdef sha256:22")
    assert [call.split()[0] for call in kubeadm_calls(node)] == ["join", "reset", "join"]


@pytest.mark.parametrize("left", ["bootstrap-kubelet.conf", "pki/ca.crt"])
def test_a_join_that_waited_for_nothing_and_was_ended_starts_over(node, left):
    node.file(f"/etc/kubernetes/{left}", "")
    assert "starting over" in join(node)
    assert [call.split()[0] for call in kubeadm_calls(node)] == ["reset", "join"]


def test_a_join_that_failed_is_tried_again(node, tmp_path):
    (tmp_path / "join-fails").touch()
    assert node.step("kubelet_lib.sh", "join.sh", **JOIN).returncode == 1
    (tmp_path / "join-fails").unlink()
    join(node)
    assert [call.split()[0] for call in kubeadm_calls(node)] == ["join", "join"]


# invite.sh, member.sh


def make_ca(node, days: int = 30) -> str:
    """A cluster's CA on the node; its key's hash, as kubeadm takes it."""
    certificate = node.file("/etc/kubernetes/pki/ca.crt", "")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes", "-subj", "/CN=kubernetes"]
        + ["-days", str(days), "-keyout", "/dev/null", "-out", str(certificate)],
        check=True,
        capture_output=True,
    )
    key = subprocess.run(
        f"openssl x509 -in {certificate} -pubkey -noout | openssl pkey -pubin -outform der",
        shell=True,
        capture_output=True,
        check=True,
    ).stdout
    return f"sha256:{hashlib.sha256(key).hexdigest()}"


def test_an_invitation_is_a_token_and_the_hash_of_the_clusters_ca(node, tmp_path):
    own = make_ca(node)
    node.fake("kubectl", '[[ $1 != apply ]] || cat >"$SANDBOX/made"')
    invitations = []
    for _ in range(2):
        ran = node.step(
            "cluster_lib.sh", "invite.sh", WORKER="ip-10-42-0-6.internal", WORKER_IP="10.42.0.6"
        )
        assert ran.returncode == 0, ran.stderr
        token, ca_hash = ran.stdout.split()
        secret = yaml.safe_load((tmp_path / "made").read_text())
        assert secret["metadata"] == {
            "name": f"bootstrap-token-{token[:6]}",
            "namespace": "kube-system",
        }
        assert f"{secret['stringData']['token-id']}.{secret['stringData']['token-secret']}" == token
        assert f"delete secret {secret['metadata']['name']} --ignore" in str(node.calls("kubectl"))
        assert token[7:] not in str(node.calls("kubectl"))
        assert ca_hash == own
        invitations.append(token)
    first, second = (token.split(".") for token in invitations)
    assert first[0] == second[0]  # the second takes the first one's place
    assert first[1] != second[1]
    assert [len(part) for part in first] == [6, 16]
    # What the approver goes by.
    known = node.file("/etc/kubernetes/nodes/ip-10-42-0-6.internal")
    assert known.read_text() == "10.42.0.6\n"


MEMBER = {
    "WORKER": "worker-1",
    "INSTANCE": "i-1",
    "JOIN": "abcdef.0123456789abcdef sha256:11",
    "NODE_LABELS": "a/b=c d=e",
    "LABELS": "disk=ssd team=",
    "TAINTS": "",
}
# What the cluster knows of the worker: no node, or one of the machine in the file.
NODES = """
case $* in
  "get node "*) [[ -e $SANDBOX/machine ]] && cat "$SANDBOX/machine" ;;
  "get --raw"*) [[ ! -e $SANDBOX/silent ]] ;;
  drain*) [[ ! -e $SANDBOX/stuck ]] ;;
esac
"""


class Member:
    """The control plane of a cluster with one worker."""

    def __init__(self, node, folder) -> None:
        self.node, self._folder = node, folder
        node.fake("kubectl", NODES)
        self.known = node.file("/etc/kubernetes/nodes/worker-1", "10.42.0.6\n")
        self.join = f"abcdef.0123456789abcdef {make_ca(node)}"
        self.say("machine", "i-1")

    def say(self, name: str, content: str = "") -> None:
        """Writes one of the files that NODES goes by."""
        (self._folder / name).write_text(content)

    def forget(self) -> None:
        """The cluster has no such node."""
        (self._folder / "machine").unlink()

    def release(self, **more: str) -> str:
        """The step is undone; what it said."""
        values = {**MEMBER, "JOIN": self.join, **more}
        scripts = ("cluster_lib.sh", "drain_lib.sh", "member.sh")
        ran = self.node.step(*scripts, argument="delete", **values)
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def verbs(self) -> list[str]:
        """What kubectl was asked for."""
        return [call.split()[0] for call in self.node.calls("kubectl")]


@pytest.fixture
def member(node, tmp_path) -> Member:
    """A worker that can be let go."""
    return Member(node, tmp_path)


def test_a_member_gets_its_role_and_loses_its_token(node):
    scripts = ("cluster_lib.sh", "drain_lib.sh", "member.sh")
    assert node.step(*scripts, **MEMBER).returncode == 0
    assert node.calls("kubectl")[1:] == [
        "label node worker-1 node-role.kubernetes.io/worker= tinderbox.internal/instance-id=i-1"
        " a/b=c d=e --overwrite",
        r"get node worker-1 --output jsonpath={.metadata.annotations.tinderbox\.internal/settled}",
        "label node worker-1 disk=ssd team= --overwrite",
        "annotate node worker-1 tinderbox.internal/settled=disk team --overwrite",
        "--namespace kube-system delete secret bootstrap-token-abcdef --ignore-not-found",
    ]


def test_labels_and_taints_follow_the_settings_and_others_stay(node, tmp_path):
    node.fake(
        "kubectl",
        """
        case "$*" in
          *annotations*) cat "$SANDBOX/settled" ;;
          "taint node worker-1 left:NoExecute-") exit 1 ;;
        esac
        """,
    )
    before = "disk zone example.com/gpu:NoSchedule left:NoExecute kept:NoSchedule"
    (tmp_path / "settled").write_text(before)
    taints = "kept=b:NoSchedule new:PreferNoSchedule"
    scripts = ("cluster_lib.sh", "drain_lib.sh", "member.sh")
    ran = node.step(*scripts, **{**MEMBER, "TAINTS": taints})
    assert ran.returncode == 0, ran.stderr
    assert "left:NoExecute is not there any more" in ran.stdout
    assert node.calls("kubectl")[3:-1] == [
        "label node worker-1 zone-",
        "taint node worker-1 example.com/gpu:NoSchedule-",
        "taint node worker-1 left:NoExecute-",
        "label node worker-1 disk=ssd team= --overwrite",
        "taint node worker-1 kept=b:NoSchedule new:PreferNoSchedule --overwrite",
        "annotate node worker-1 tinderbox.internal/settled=disk team kept:NoSchedule"
        " new:PreferNoSchedule --overwrite",
    ]


def test_a_member_that_goes_is_drained_and_unknown_afterwards(member):
    member.release()
    assert member.verbs() == ["get", "get", "cordon", "drain", "delete", "delete"]
    assert not member.known.exists()


def test_one_of_before_nodes_were_told_by_their_machines_goes_as_well(member):
    member.say("machine", "")
    member.release()
    assert "delete node worker-1" in member.node.calls("kubectl")


def test_a_member_whose_machine_is_gone_is_not_waited_for(member):
    member.say("silent")
    member.release()
    assert member.verbs() == ["get", "get", "get", "delete", "delete"]
    # What was to run there is made anew at once: else Kubernetes keeps it for a minute.
    assert member.node.calls("kubectl")[-1].startswith("delete pods --all-namespaces ")


def test_a_member_that_can_not_be_drained_goes_all_the_same(member):
    member.say("stuck")
    member.release()
    assert "delete node worker-1" in member.node.calls("kubectl")


def test_a_member_that_is_gone_needs_nothing(member):
    member.forget()
    member.release()
    assert member.verbs() == ["get"]
    assert not member.known.exists()


def test_a_member_of_another_cluster_is_left_alone(member):
    """A control plane that was lost has been replaced by the time its workers are let go."""
    make_ca(member.node)
    assert member.release() == (
        "worker-1 was in another cluster than the one that is here now: nothing to do\n"
    )
    assert member.verbs() == []
    assert member.known.exists()


def test_and_so_is_one_where_there_is_no_cluster(member):
    member.node.file("/etc/kubernetes/pki/ca.crt").unlink()
    assert "another cluster" in member.release()
    assert member.verbs() == []


def test_a_newer_machine_that_got_the_same_name_is_left_alone(member):
    """EC2's names follow from addresses, which are given again."""
    member.say("machine", "i-2")
    assert member.release() == "worker-1 is another machine than i-1 by now: nothing to do\n"
    assert member.verbs() == ["get"]
    assert member.known.exists()


# nodes_ready.sh


def test_each_node_is_waited_for_by_its_name(node):
    node.fake("kubectl", "[[ $1 != --namespace ]] || echo daemonset/kube-flannel-ds")
    assert node.step("nodes_ready.sh", NODES="node/a node/b").returncode == 0
    assert node.calls("kubectl")[1].startswith("wait node/a node/b --for=condition=Ready ")


def test_a_new_cluster_without_what_the_state_says_of_it_is_told_at_once(node):
    ran = node.step("nodes_ready.sh", NODES="node/a")
    assert ran.returncode == 1
    assert ran.stderr.endswith("make up REFRESH=1\n")
    assert len(node.calls("kubectl")) == 1


# kubeconfig.sh

ACCESS = {"ENDPOINT_NAME": "cp.internal", "PUBLIC_IP": "198.18.1.1", "OPERATOR": 1}
# As `kubeadm kubeconfig user` prints one.
MINTED = """
printf '%s\n' clusters: '- cluster: {server: "https://cp.internal:6443"}' users: "- name: $4"
"""


def test_the_operator_has_an_identity_that_can_be_taken_away(node, tmp_path):
    make_ca(node, days=100)
    node.fake("kubeadm", MINTED)
    node.fake("kubectl", 'cat >"$SANDBOX/bound"')
    for number in (1, 1, 2):
        ran = node.step("kubeconfig.sh", **{**ACCESS, "OPERATOR": number})
        assert ran.returncode == 0, ran.stderr
        printed = yaml.safe_load(ran.stdout)
        assert printed["clusters"][0]["cluster"]["server"] == "https://198.18.1.1:6443"
        assert printed["users"] == [{"name": f"tinderbox:operator-{number}"}]
        # Whoever had another number has nothing any more.
        bound = yaml.safe_load((tmp_path / "bound").read_text())
        assert [subject["name"] for subject in bound["subjects"]] == [
            f"tinderbox:operator-{number}"
        ]
        assert bound["roleRef"]["name"] == "cluster-admin"
    minted = kubeadm_calls(node)
    assert len(minted) == 2
    assert "system:masters" not in " ".join(minted)
    # As long as the CA, and no longer.
    assert minted[0].endswith((" --validity-period 2399h", " --validity-period 2400h"))
    assert node.file("/etc/kubernetes/operator.conf").stat().st_mode & 0o777 == 0o600


# packages.sh, containerd.sh, ready.sh


PACKAGES = {
    "RELEASE": "1.36.4 2.4.2",
    "KUBERNETES_PACKAGES": "https://k.test",
    "DOCKER_PACKAGES": "https://d.test",
}
# The repositories' packages, each version with the revision that upstream gives it.
MADISON = """
case $2 in
  containerd.io) versions=(2.4.3-1~debian.13~trixie 2.4.2-1~debian.13~trixie) ;;
  *) versions=(1.36.5-1.1 1.36.4-1.1) ;;
esac
printf " $2 | %s | https://x.test Packages\\n" "${versions[@]}"
"""


@pytest.fixture
def machine(sandbox):
    """A sandbox in which packages.sh can run."""
    sandbox.file("/etc/os-release", "VERSION_CODENAME=trixie\n")
    for name in ("curl", "apt-get", "apt-mark"):
        sandbox.fake(name)
    sandbox.fake("gpg", 'cat >/dev/null; : >"${!#}"')
    sandbox.fake("dpkg", "echo amd64")
    sandbox.fake("apt-cache", MADISON)
    sandbox.fake("dpkg-query", "exit 1")  # nothing of it is installed
    return sandbox


def installs(machine) -> list[str]:
    """The calls of apt-get that install, so far."""
    return [call for call in machine.calls("apt-get") if " install " in call]


def test_packages_come_from_the_named_repositories_in_the_wanted_release(machine):
    ran = machine.step("release_lib.sh", "packages.sh", **PACKAGES)
    assert ran.returncode == 0, ran.stderr
    sources = machine.file("/etc/apt/sources.list.d")
    kubernetes = (sources / "kubernetes.list").read_text()
    assert " https://k.test/core:/stable:/v1.36/deb/ /\n" in kubernetes
    docker = (sources / "docker.list").read_text()
    assert " https://d.test/linux/debian trixie stable\n" in docker
    for source in (kubernetes, docker):
        assert "signed-by=" in source
        assert "trusted=yes" not in source
    keys = [call.split()[-1] for call in machine.calls("curl")]
    assert keys == [
        "https://k.test/core:/stable:/v1.36/deb/Release.key",
        "https://d.test/linux/debian/gpg",
    ]
    pinned = machine.file("/etc/apt/preferences.d/kubernetes").read_text()
    assert "Package: kubeadm kubelet kubectl\nPin: version 1.36.4-*\n" in pinned
    assert "Package: containerd.io\nPin: version 2.4.2-*\n" in pinned
    assert pinned.count("Pin-Priority: 1001\n") == 2
    assert machine.calls("apt-mark") == [
        "hold containerd.io kubelet kubeadm kubectl cri-tools kubernetes-cni"
    ]
    (install,) = installs(machine)
    assert "--no-upgrade" not in install


@pytest.mark.parametrize("mark", [".tinderbox-initialized", ".tinderbox-joined"])
def test_nothing_is_upgraded_under_a_node_that_is_in_a_cluster(machine, mark):
    """Whatever is asked for and the repository has by then: another containerd would restart."""
    machine.file(f"/etc/kubernetes/{mark}", "")
    machine.fake("apt-cache")
    machine.fake("dpkg-query", "[[ $4 = containerd.io ]] && echo 2.4.1-1~x || echo 1.36.3-1.1")
    ran = machine.step("release_lib.sh", "packages.sh", **PACKAGES)
    assert ran.returncode == 0, ran.stderr
    (install,) = installs(machine)
    assert " --no-upgrade containerd.io kubelet " in install
    # What is missing comes in the release that is there.
    pinned = machine.file("/etc/apt/preferences.d/kubernetes").read_text()
    assert "Pin: version 1.36.3-*\n" in pinned
    assert "Pin: version 2.4.1-*\n" in pinned


@pytest.mark.parametrize(
    ("release", "message"),
    [
        (
            "1.36.9 2.4.2",
            "https://k.test/core:/stable:/v1.36/deb/ has no kubelet 1.36.9;"
            " the newest that it has is 1.36.5-1.1\n",
        ),
        (
            "1.36.4 2.4",
            "https://d.test/linux/debian has no containerd.io 2.4;"
            " the newest that it has is 2.4.3-1~debian.13~trixie\n",
        ),
    ],
)
def test_a_version_that_the_repository_lacks_is_named(machine, release, message):
    ran = machine.step("release_lib.sh", "packages.sh", **{**PACKAGES, "RELEASE": release})
    assert (ran.returncode, ran.stderr) == (1, message)
    assert not installs(machine)


def test_a_key_that_can_not_be_fetched_ends_the_step(sandbox):
    sandbox.file("/etc/os-release", "VERSION_CODENAME=trixie\n")
    sandbox.fake("curl", "exit 22")
    sandbox.fake("gpg", "cat >/dev/null")
    sandbox.fake("apt-get")
    ran = sandbox.step("release_lib.sh", "packages.sh", **PACKAGES)
    assert ran.returncode == 22
    assert not sandbox.calls("apt-get")


@pytest.fixture
def container_host(sandbox):
    """A sandbox in which containerd.sh can run."""
    for name in ("modprobe", "sysctl", "swapoff", "ctr", "systemctl"):
        sandbox.fake(name)
    sandbox.fake("kubeadm", "echo registry.k8s.io/etcd:3; echo registry.k8s.io/pause:3.10.2")
    sandbox.file("/proc/sys/net/bridge/bridge-nf-call-iptables", "1\n")
    return sandbox


def containerd(host, registry: str = "") -> str:
    """Runs the step; the configuration that it wrote."""
    values = {"MIRROR_REGISTRY": registry}
    ran = host.step("containerd.sh", **values)
    assert ran.returncode == 0, ran.stderr
    return host.file("/etc/containerd/config.toml").read_text()


@pytest.mark.parametrize(("cgroup_v2", "systemd"), [(True, "true"), (False, "false")])
def test_containerd_has_the_hosts_cgroup_driver_and_kubeadms_pause(
    container_host, cgroup_v2, systemd
):
    if cgroup_v2:
        container_host.file("/sys/fs/cgroup/cgroup.controllers", "cpu\n")
    configuration = containerd(container_host)
    assert f"SystemdCgroup = {systemd}\n" in configuration
    assert "sandbox = 'registry.k8s.io/pause:3.10.2'" in configuration
    runtime = tomllib.loads(configuration)["plugins"]["io.containerd.cri.v1.runtime"]
    assert runtime["stats_collect_period"] == "30s"
    assert "disabled_plugins" not in configuration


def test_containerd_asks_the_mirror_only_where_there_is_one(container_host):
    hosts = container_host.file("/etc/containerd/certs.d/_default/hosts.toml")
    containerd(container_host)
    assert not hosts.exists()
    containerd(container_host, "http://mirror.test:5000")
    assert "[host.'http://mirror.test:5000']" in hosts.read_text()


def test_containerd_is_restarted_only_when_its_configuration_changed(container_host):
    containerd(container_host)
    containerd(container_host)
    assert container_host.calls("systemctl").count("restart containerd") == 1


def test_a_kernel_without_bridge_filtering_is_told_of(container_host):
    container_host.file("/proc/sys/net/bridge/bridge-nf-call-iptables").unlink()
    values = {"MIRROR_REGISTRY": ""}
    ran = container_host.step("containerd.sh", **values)
    assert (ran.returncode, ran.stderr) == (1, "the kernel module br_netfilter is missing\n")


@pytest.mark.parametrize(("code", "ready"), [(0, True), (2, True), (1, False)])
def test_a_first_boot_with_warnings_is_one_that_is_done(sandbox, code, ready):
    sandbox.fake("cloud-init", f"exit {code}")
    ran = sandbox.step("ready.sh")
    assert (ran.returncode == 0) == ready
    assert ready or "cloud-init did not finish (exit code 1)" in ran.stderr


# storage.sh, input.sh, result.sh

# Owners need root; the tests do not.
INSTALL = """keep=()
while (($#)); do case $1 in -o | -g) shift 2 ;; *) keep+=("$1"); shift ;; esac; done
exec /usr/bin/install "${keep[@]}"
"""


def test_the_volumes_folders_have_their_owners(sandbox):
    sandbox.fake("install", INSTALL)
    for name in ("mountpoint", "systemctl"):
        sandbox.fake(name)
    ran = sandbox.step("storage.sh", FILE_SYSTEM="10.0.0.8")
    assert ran.returncode == 0, ran.stderr
    shared = sandbox.file("/srv/shared")
    for folder in ("wordcount/inputs", "wordcount/runs", "spark/events", "spark/recovery"):
        assert (shared / folder).is_dir()
        assert (shared / folder).stat().st_mode & 0o2775 == 0o2775
    owned = "\n".join(sandbox.calls("install"))
    assert f"-o 185 -g 185 {shared}/wordcount/runs" in owned


def test_a_file_system_that_is_not_there_yet_is_mounted(sandbox):
    sandbox.fake("install", INSTALL)
    sandbox.fake("mount.nfs4")
    sandbox.fake("mountpoint", '[[ -e "$SANDBOX/mounted" ]]')
    sandbox.fake("systemctl", '[[ $1 != start ]] || touch "$SANDBOX/mounted"')
    ran = sandbox.step("storage.sh", FILE_SYSTEM="10.0.0.8")
    assert ran.returncode == 0, ran.stderr
    unit = sandbox.file("/etc/systemd/system/srv-shared.mount").read_text()
    assert "What=10.0.0.8:/\n" in unit
    assert "Options=nfsvers=4.1,hard,noresvport," in unit
    assert "start srv-shared.mount" in sandbox.calls("systemctl")


def test_a_unit_of_ours_stays_current_and_a_machine_that_came_with_the_mount_gets_none(sandbox):
    sandbox.fake("install", INSTALL)
    for name in ("mountpoint", "systemctl"):
        sandbox.fake(name)
    unit = sandbox.file("/etc/systemd/system/srv-shared.mount")
    assert sandbox.step("storage.sh", FILE_SYSTEM="10.0.0.9").returncode == 0
    assert not unit.exists()
    sandbox.file("/etc/systemd/system/srv-shared.mount", "What=fs.example:/\n")
    assert sandbox.step("storage.sh", FILE_SYSTEM="10.0.0.9").returncode == 0
    assert "What=10.0.0.9:/\n" in unit.read_text()
    assert not [call for call in sandbox.calls("systemctl") if call.startswith("start")]


@pytest.mark.parametrize("mounted", ["true", "false"])
def test_the_kubelet_comes_after_the_mount_and_not_without_it(sandbox, mounted):
    sandbox.fake("install", INSTALL)
    sandbox.fake("mount.nfs4")
    sandbox.fake("mountpoint", f'[[ {mounted} == true || -e "$SANDBOX/mounted" ]]')
    sandbox.fake("systemctl", '[[ $1 != start ]] || touch "$SANDBOX/mounted"')
    for _ in range(2):
        ran = sandbox.step("storage.sh", FILE_SYSTEM="10.0.0.8")
        assert ran.returncode == 0, ran.stderr
    text = sandbox.file("/etc/systemd/system/kubelet.service.d/20-shared.conf").read_text()
    lines = text.splitlines()
    assert {"Wants=srv-shared.mount", "After=srv-shared.mount containerd.service"} < set(lines)
    assert f"ExecStartPre=/usr/bin/mountpoint -q {sandbox.file('/srv/shared')}" in lines
    # Whether or not the file is new: a run before may have been interrupted between the two.
    assert sandbox.calls("systemctl")[-1 if mounted == "true" else 0] == "daemon-reload"


def test_a_folder_that_is_no_mount_point_is_refused(sandbox):
    for name in ("mount.nfs4", "systemctl"):
        sandbox.fake(name)
    sandbox.fake("mountpoint", "false")
    ran = sandbox.step("storage.sh", FILE_SYSTEM="10.0.0.8")
    assert ran.returncode == 1
    assert "is not a mount point" in ran.stderr
    assert not sandbox.file("/srv/shared").exists()


INPUTS = "/srv/shared/wordcount/inputs"


def bring(sandbox, place: str, owner: str, argument: str = "") -> str:
    """Makes a folder for a copy, or takes it away; what it said."""
    sandbox.fake("install", INSTALL)
    ran = sandbox.step("input.sh", argument=argument, FOLDER=place, OWNER=owner)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("folder", [INPUTS, "/srv/shared/spark/jars"])
def test_a_place_for_what_is_brought_is_made_and_taken_away(sandbox, folder):
    place = f"{folder}/0123"
    bring(sandbox, place, "a")
    assert sandbox.file(place).is_dir()
    sandbox.file(f"{place}/text", "one two")
    assert bring(sandbox, place, "a", "delete") == ""
    assert not list(sandbox.file(folder).iterdir())


@pytest.mark.parametrize("again", [["b"], ["b", "b"], ["a", "b"]])
def test_what_was_replaced_does_not_take_away_what_a_newer_one_brought(sandbox, again):
    """The new one is made first and the old one undone last, in the same folder.

    On another control plane; or when a text is chosen again after an update that failed.
    """
    place = f"{INPUTS}/0123"
    for owner in ("a", *again):
        bring(sandbox, place, owner)
    text = sandbox.file(f"{place}/text", "one two")
    assert "is for a newer copy by now: it stays" in bring(sandbox, place, "a", "delete")
    assert text.exists()
    bring(sandbox, place, "b", "delete")
    assert not list(sandbox.file(INPUTS).iterdir())


@pytest.mark.parametrize("argument", ["", "delete"])
@pytest.mark.parametrize("place", ["/etc/x", "/srv/shared", "/srv/shared/wordcount/inputs/", ""])
def test_no_other_place_is_touched(sandbox, place, argument):
    kept = sandbox.file("/srv/shared/wordcount/inputs/other/text", "one")
    ran = sandbox.step("input.sh", argument=argument, FOLDER=place, OWNER="a")
    assert ran.returncode == 1
    assert "is no folder for files that are brought" in ran.stderr
    assert kept.exists()


def test_the_result_is_of_the_attempt_that_succeeded(sandbox):
    runs = "/srv/shared/wordcount/runs/job"
    sandbox.file(f"{runs}/a/summary.json", '{"words": 1}\n')
    sandbox.file(f"{runs}/b/summary.json", '{"words": 2}\n')
    sandbox.file(f"{runs}/b/_SUCCESS", "")
    summary = {"words": 2, "output": str(sandbox.file(f"{runs}/b"))}
    lines = sandbox.step("result.sh", RUN=runs).stdout.splitlines()
    assert list(map(json.loads, lines)) == [summary]
    sandbox.file(f"{runs}/b/usage.json", '{"tasks": 4}\n')
    lines = sandbox.step("result.sh", RUN=runs).stdout.splitlines()
    assert list(map(json.loads, lines)) == [summary, {"tasks": 4}]


def test_no_attempt_that_succeeded_is_an_error(sandbox):
    sandbox.file("/srv/shared/wordcount/runs/job/a/summary.json", "{}")
    ran = sandbox.step("result.sh", RUN="/srv/shared/wordcount/runs/job")
    assert ran.returncode == 1
    assert "has a result, though the job is complete" in ran.stderr


# spot-notice.sh

# The metadata service: nothing without a token; curl itself asks again while there is no notice.
METADATA = """
case "$*" in
*api/token*) echo token ;;
*--retry-all-errors*"metadata-token: token"*spot/instance-action) echo '{"action": "terminate"}' ;;
*) exit 22 ;;
esac
"""
# The API: pods go when they are evicted; a budget has no room for the first at the first try.
EVICTIONS = """
case "$*" in
"get pods"*) cat "$SANDBOX/pods" ;;
"create --raw"*eviction*)
  [[ $3 != *first* ]] || [[ -e $SANDBOX/asked ]] || { touch "$SANDBOX/asked"; exit 1; }
  name=${3#*pods/} && name=${name%/eviction}
  grep -v " $name$" "$SANDBOX/pods" >"$SANDBOX/left" || true
  mv "$SANDBOX/left" "$SANDBOX/pods"
  ;;
esac
"""


def test_a_spot_node_empties_itself_when_ec2_takes_it_away(sandbox, tmp_path):
    sandbox.fake("curl", METADATA)
    sandbox.fake("kubectl", EVICTIONS)
    (tmp_path / "pods").write_text("spark first\nspark second\n")
    ran = sandbox.run(f"set -- worker-1\n{program('spot-notice.sh')}")
    assert ran.returncode == 0, ran.stderr
    assert 'EC2 takes this machine away: {"action": "terminate"}' in ran.stdout
    calls = sandbox.calls("kubectl")
    assert calls[0] == "cordon worker-1"
    assert "--field-selector spec.nodeName=worker-1" in calls[1]
    evicted = [call.split()[2] for call in calls if call.startswith("create")]
    path = "/api/v1/namespaces/spark/pods/{}/eviction"
    assert evicted == [path.format(name) for name in ("first", "second", "first")]
    assert (tmp_path / "pods").read_text() == ""


def test_images_that_are_not_there_are_pulled_and_one_that_cannot_be_is_no_fault(sandbox):
    sandbox.fake(
        "crictl",
        "[[ $* != *there* || $1 == pull ]] || echo sha256:1; [[ $* != *away* || $1 != pull ]]",
    )
    ran = sandbox.step("images.sh", IMAGES="there:1 away:1 new:1")
    assert ran.returncode == 0, ran.stderr
    assert [call for call in sandbox.calls("crictl") if "pull" in call] == [
        "pull away:1",
        "pull new:1",
    ]
    assert "away:1 can't be pulled here yet" in ran.stdout
