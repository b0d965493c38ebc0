"""ClusterAddons: flannel and metrics-server, from their own charts."""

from __future__ import annotations

import pytest

from tests.unit.plan import planned

RELEASE = "kubernetes:helm.sh/v3:Release"


def test_the_charts_are_upstreams_in_pinned_versions():
    plan = planned()
    flannel, metrics = plan.one("flannel").inputs, plan.one("metrics-server").inputs
    assert (flannel["chart"], flannel["version"]) == ("flannel", "v0.28.4")
    assert flannel["repositoryOpts"]["repo"] == "https://flannel-io.github.io/flannel/"
    assert (metrics["chart"], metrics["version"]) == ("metrics-server", "3.13.1")
    assert metrics["repositoryOpts"]["repo"] == "https://kubernetes-sigs.github.io/metrics-server/"


def test_or_from_the_mirror():
    plan = planned({"mirror": {"charts": "http://mirror.test/charts"}})
    for name in ("flannel", "metrics-server"):
        repository = plan.one(name).inputs["repositoryOpts"]["repo"]
        assert repository == f"http://mirror.test/charts/{name}"


def test_the_mirror_changes_no_value_of_a_chart():
    """Images come by the mirror because containerd is told so: a chart stays as upstream has it."""
    mirrored = planned({"mirror": {"charts": "http://m.test/c", "registry": "http://m.test:5000"}})
    for name in ("flannel", "metrics-server"):
        assert mirrored.one(name).inputs["values"] == planned().one(name).inputs["values"]


def test_flannel_has_the_pods_range():
    plan = planned({"cluster": {"podCidr": "10.200.0.0/16"}})
    values = plan.one("flannel").inputs["values"]
    assert values["podCidr"] == "10.200.0.0/16"
    # A list of values is taken in the place of the chart's.
    assert {"--ip-masq", "--kube-subnet-mgr"} < {*values["flannel"]["args"]}


def test_metrics_server_checks_the_kubelets_certificates():
    arguments = planned().one("metrics-server").inputs["values"]["defaultArgs"]
    assert "--kubelet-insecure-tls" not in " ".join(arguments)
    (authority,) = [a for a in arguments if a.startswith("--kubelet-certificate-authority=")]
    assert authority.endswith("/var/run/secrets/kubernetes.io/serviceaccount/ca.crt")


@pytest.mark.parametrize("name", ["flannel", "metrics-server", "spark"])
def test_a_release_is_there_whole_or_not_at_all(name):
    release = planned().one(name, RELEASE).inputs
    assert release["atomic"] is True
    assert release["timeout"] >= 600
    assert release["name"] == name


def test_pods_wait_for_their_network():
    plan = planned()
    assert "flannel" in plan.waits_for("metrics-server")
    assert "flannel" in plan.options_of("spark", RELEASE).depends_on


def test_spark_does_not_wait_for_the_metrics():
    assert "metrics-server" not in planned().options_of("spark", RELEASE).depends_on


def test_spark_waits_until_every_worker_has_joined():
    """Or its workers would crowd on the first node."""
    plan = planned()
    waited = plan.waits_for("spark")
    assert {"nodes-ready", "flannel", "worker-1-member", "worker-2-member"} <= waited


def test_only_the_stacks_own_nodes_are_waited_for():
    """One that is lost is in the cluster until its own step goes, which is the last."""
    step = planned({"nodes": {"count": 2}}).one("nodes-ready")
    names = ("control-plane", "worker-1")
    nodes = " ".join(f"node/tinderbox-test-{name}.compute.internal" for name in names)
    assert f"export NODES='{nodes}'\n" in step.inputs["stdin"]
