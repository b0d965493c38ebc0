"""KubeadmBootstrap: the steps of each node, their order, and where their secrets go."""

from __future__ import annotations

import re

import pytest

from components.cluster.steps import value_of
from tests.unit.plan import Made, Plan, planned
from toolchain.versions import go_modules

STEP = "command:remote:Command"
TOKEN = "abcdef.0123456789abcdef"
RELEASES = ("release", "containerd-release")


def steps(plan: Plan) -> set[str]:
    """The names of all steps on nodes, but for the word count's."""
    names = {made.name.removeprefix("tinderbox-test-") for made in plan.of(STEP)}
    return {name for name in names if not name.startswith("wordcount")}


def value(step: Made, name: str) -> str:
    """A variable as the step's script gets it."""
    found = re.search(rf"^export {name}=(.*)$", step.inputs["stdin"], re.MULTILINE)
    assert found, f"{step.name} has no {name}"
    return found.group(1).strip("'")


@pytest.mark.parametrize("workers", [0, 2, 9])
def test_the_steps_of_every_node(workers):
    plan = planned({"nodes": {"count": workers + 1}})
    prepare = ["ready", "packages", "containerd", "storage", "disk"]
    expected = {
        f"control-plane-{step}"
        for step in [*prepare, *RELEASES, "init", "keeper", "approver", "upgrade", "kubeconfig"]
    } | {
        f"worker-{number}-{step}"
        for number in range(1, workers + 1)
        for step in [*prepare, "images", "invite", "join", "member", "drain", "upgrade", "return"]
    }
    assert steps(plan) == expected | {"nodes-ready"}


def test_workers_pull_sparks_image_before_they_join_and_nothing_waits_for_it():
    plan = planned({"nodes": {"count": 2}, "spark": {"image": "a.example/spark:1"}})
    name = "tinderbox-test-worker-1-images"
    (pull,) = [step for step in plan.of(STEP) if step.name == name]
    assert value(pull, "IMAGES") == "a.example/spark:1"
    before = plan.waits_for(name)
    assert "worker-1-containerd" in before
    assert not any(one.endswith(("-init", "-join")) for one in before)
    waiting = [key for key, options in plan.options.items() if name in options.depends_on]
    assert waiting == []


def test_spot_workers_listen_for_their_notice_and_no_others():
    side = {"count": 1, "spot": True}
    plan = planned({"nodes": {"count": 2}, "workers": {"side": side}})
    listening = [step for step in plan.of(STEP) if step.name.endswith("-notice")]
    assert [step.name for step in listening] == ["tinderbox-test-side-1-notice"]
    assert value(listening[0], "NODE_NAME") == "tinderbox-test-side-1.compute.internal"
    assert "spot/instance-action" in listening[0].inputs["stdin"]


def test_every_step_is_run_anew_on_another_instance():
    plan = planned()
    on_control_plane = ("invite", "member", "drain", "return")
    for step in plan.of(STEP):
        name = step.name.removeprefix("tinderbox-test-")
        on_worker = re.match(r"worker-\d", name)
        node = on_worker.group() if on_worker else "control-plane"
        if name.endswith(on_control_plane) or not on_worker:
            assert step.inputs["connection"]["host"] == "198.18.1.1"
            assert step.inputs["triggers"][0] == "tinderbox-test-control-plane-id", name
        assert f"tinderbox-test-{node}-id" in step.inputs["triggers"], name


@pytest.mark.parametrize(("step", "index"), [("join", 1), ("member", 0)])
def test_another_control_plane_is_no_reason_for_a_worker_to_join_anew_or_to_leave(step, index):
    """It may be the same cluster, from a snapshot. The steps run again, but nothing is undone."""
    plan = planned()
    made = plan.one(f"worker-1-{step}")
    assert made.inputs["triggers"][index] == "tinderbox-test-control-plane-id"
    assert plan.options_of(f"worker-1-{step}").ignore_changes == {f"triggers[{index}]"}
    assert value(plan.one("worker-1-join"), "CONTROL_PLANE") == "tinderbox-test-control-plane-id"


def test_every_step_ends_some_time():
    plan = planned()
    for step in plan.of(STEP):
        timeouts = plan.options[step.type, step.name].timeouts
        # One of several workers that are replaced waits for those before it.
        leaves = 60 if step.name.endswith("-member") else 10
        assert timeouts == {"create": "10m", "update": "10m", "delete": f"{leaves}m"}
        # On the node as well: Pulumi's plugin only dials within its limit.
        assert f'\nrun_step {60 * leaves} "$@" </dev/null\n' in step.inputs["stdin"]


def test_no_step_puts_values_on_a_command_line():
    for step in planned().of(STEP):
        assert step.inputs["create"] == "sudo bash -s"
        assert step.inputs.get("delete") in (None, "sudo bash -s delete")
        assert "environment" not in step.inputs
        assert step.inputs["addPreviousOutputInEnv"] is False


@pytest.mark.parametrize(
    ("step", "after"),
    [
        ("control-plane-packages", "control-plane-ready"),
        ("control-plane-containerd", "control-plane-packages"),
        ("control-plane-storage", "control-plane-packages"),
        ("control-plane-init", "control-plane-containerd"),
        ("control-plane-init", "control-plane-storage"),
        ("control-plane-approver", "control-plane-init"),
        ("control-plane-kubeconfig", "control-plane-init"),
        ("control-plane-kubeconfig", "control-plane-upgrade"),
        ("worker-1-invite", "control-plane-init"),
        ("worker-1-join", "worker-1-invite"),
        ("worker-1-join", "worker-1-containerd"),
        ("worker-1-join", "worker-1-storage"),
        ("worker-1-member", "worker-1-join"),
    ],
)
def test_a_step_waits_for_what_it_needs(step, after):
    assert after in planned().waits_for(step)


@pytest.mark.parametrize("step", ["ready", "packages", "containerd", "storage"])
def test_nodes_are_prepared_side_by_side(step):
    waits = planned().waits_for(f"worker-1-{step}")
    others = {name for name in waits if name.startswith(("control-plane", "worker-2"))}
    # But for what the release is, which the control plane's machine tells at once.
    machine = {"", "-group", "-address", "-address-of-instance"}
    machine |= {"-ready", "-release", "-containerd-release"}
    assert others <= {f"control-plane{name}" for name in machine}


def test_workers_join_side_by_side():
    waits = planned().waits_for("worker-2-member")
    assert not [name for name in waits if name.startswith("worker-1")]


def test_a_worker_leaves_the_cluster_unless_the_cluster_goes():
    plan = planned()
    assert plan.one("worker-1-member").inputs["delete"] == "sudo bash -s delete"
    assert plan.options_of("worker-1-member").deleted_with == "tinderbox-test-control-plane"


def test_only_members_have_something_to_undo_on_a_node():
    undo = {step.name for step in planned().of(STEP) if "delete" in step.inputs}
    members = {f"tinderbox-test-worker-{number}-member" for number in (1, 2)}
    assert undo == {*members, "wordcount-input-folder"}


@pytest.mark.parametrize(("count", "takes_work"), [(1, "true"), (2, "false"), (10, "false")])
def test_the_control_plane_takes_work_only_when_it_is_alone(count, takes_work):
    init = planned({"nodes": {"count": count}}).one("control-plane-init")
    assert value(init, "TAKES_WORK") == takes_work


def test_the_cluster_is_as_the_settings_say():
    plan = planned(
        {
            "cluster": {
                "podCidr": "10.200.0.0/16",
                "serviceCidr": "10.100.0.0/16",
            }
        }
    )
    init = plan.one("control-plane-init")
    assert value(init, "POD_CIDR") == "10.200.0.0/16"
    assert value(init, "SERVICE_CIDR") == "10.100.0.0/16"


def test_what_the_cluster_was_made_with_is_looked_at_before_an_update():
    plan = planned()
    guarded = {
        name.removeprefix("tinderbox-test-"): options.fixed_by
        for (_, name), options in plan.options.items()
        if any(hook.startswith("tinderbox-test-") for hook in options.fixed_by)
    }
    nodes = ("control-plane", "worker-1", "worker-2")
    hooks = {f"tinderbox-test-{hook}" for hook in ("nodes", "look", "away")}
    assert guarded == {
        **dict.fromkeys(nodes, hooks),
        "control-plane": hooks | {"tinderbox-test-control-plane-architecture"},
        "control-plane-address": {"tinderbox-test-control-plane-stays"},
        "control-plane-init": {"tinderbox-test-cluster", "tinderbox-test-control-planes"},
        "control-plane-upgrade": {"tinderbox-test-control-plane-upgrade"},
    }
    inputs = plan.one("control-plane-init").inputs
    assert value_of("POD_CIDR")(inputs) == "10.244.0.0/16"
    assert value_of("SERVICE_CIDR")(inputs) == "10.96.0.0/12"


def test_every_node_gets_the_containerd_that_the_mirror_has():
    mirrored = go_modules()["containerd"].version
    assert "v" + value(planned().one("control-plane-containerd-release"), "WANTED") == mirrored
    for node in ("control-plane", "worker-1", "worker-2"):
        assert value(planned().one(f"{node}-packages"), "RELEASE") == "1.36.4 2.4.2"


def test_a_member_is_told_from_a_newer_machine_of_its_name():
    assert value(planned().one("worker-1-member"), "INSTANCE") == "tinderbox-test-worker-1-id"


def test_a_node_is_known_by_the_vpcs_name_and_its_private_address():
    plan = planned()
    for node, step, labelled in (
        ("control-plane", "init", "init"),
        ("worker-1", "join", "member"),
    ):
        made = plan.one(f"{node}-{step}")
        assert value(made, "NODE_NAME") == f"tinderbox-test-{node}.compute.internal"
        assert value(made, "NODE_IP") == "10.42.0.7"
        assert value(plan.one(f"{node}-{labelled}"), "NODE_LABELS") == (
            "node.kubernetes.io/instance-type=t3.medium "
            "topology.kubernetes.io/region=eu-central-1 "
            "topology.kubernetes.io/zone=eu-central-1a"
        )
    assert value(plan.one("control-plane-init"), "PUBLIC_IP") == "198.18.1.1"


def test_packages_and_images_come_from_upstream():
    plan = planned()
    packages = plan.one("worker-1-packages")
    assert value(packages, "KUBERNETES_PACKAGES") == "https://pkgs.k8s.io"
    assert value(packages, "DOCKER_PACKAGES") == "https://download.docker.com"
    assert value(plan.one("worker-1-containerd"), "MIRROR_REGISTRY") == ""


def test_or_from_the_mirror():
    plan = planned(
        {"mirror": {"packages": "http://mirror.test:8080", "registry": "http://mirror.test:5000"}}
    )
    for node in ("control-plane", "worker-1", "worker-2"):
        packages = plan.one(f"{node}-packages")
        assert value(packages, "KUBERNETES_PACKAGES") == "http://mirror.test:8080"
        assert value(packages, "DOCKER_PACKAGES") == "http://mirror.test:8080"
        containerd = plan.one(f"{node}-containerd")
        assert value(containerd, "MIRROR_REGISTRY") == "http://mirror.test:5000"


def test_the_token_of_a_join_is_a_secret_wherever_it_goes():
    plan = planned()
    holders = {made.name for made in plan.made if TOKEN in repr(made.inputs)}
    assert holders == {f"tinderbox-test-worker-{n}-{s}" for n in (1, 2) for s in ("join", "member")}
    for made in plan.made:
        for name, item in made.inputs.items():
            if TOKEN in repr(item):
                assert name in made.secrets, f"{made.name}: {name}"


@pytest.mark.parametrize("step", ["worker-1-invite", "control-plane-kubeconfig"])
def test_a_step_that_prints_a_secret_is_neither_logged_nor_kept_in_the_clear(step):
    plan = planned()
    assert plan.one(step).inputs["logging"] == "none"
    assert "stdout" in plan.options_of(step).secret_outputs


def test_every_other_step_says_what_it_does():
    quiet = [step.name for step in planned().of(STEP) if "logging" in step.inputs]
    # Two invitations, the kubeconfig, and the result, which may have very long words.
    assert len(quiet) == 4


def test_the_kubeconfig_is_a_secret_output():
    plan = planned()
    assert plan.exported["kubeconfig"] == "apiVersion: v1"
    assert plan.secrets == {"kubeconfig"}


def test_the_cluster_is_neither_its_credentials_nor_its_control_plane():
    """With others of them, nothing in the cluster must be made anew."""
    plan = planned()
    provider = plan.one("kubernetes", "pulumi:providers:kubernetes")
    options = plan.options[provider.type, provider.name]
    assert options.ignore_changes == {"clusterIdentifier"}
    assert provider.inputs["skipUpdateUnreachable"] == "true"
    assert provider.inputs["clusterIdentifier"] == "tinderbox-test-control-plane-id"
    assert "kubeconfig" in provider.secrets


def test_the_approver_knows_the_control_plane():
    approver = planned().one("control-plane-approver")
    assert value(approver, "NODE_NAME") == "tinderbox-test-control-plane.compute.internal"
    assert "request_is_sound()" in approver.inputs["stdin"]
