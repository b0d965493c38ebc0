"""python -m tests.conformance: those of Kubernetes' conformance tests that need no internet.

The tests are those of the release that the stack has, built from its module (go.mod beside this).
Of their images those are here that have a folder beside this: of the same source where it is a
program, on Debian in place of Alpine; so tests that need another one are left out, as are those
that take a node or many minutes for themselves. What
ran and passed is written into docs/conformance.md; exit code 1 where one did not pass.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any

import yaml

from bench.machine import machine
from bench.page import today, write
from console.cluster import connect
from console.stack import Stack
from localcloud.mirror import own_images
from toolchain import builds, paths
from toolchain.progress import ticking
from toolchain.versions import go_modules

HERE = Path(__file__).parent
IMAGES = [file.parent.name for file in sorted(HERE.glob("*/Containerfile"))]
PAGE = paths.CHECKOUT / "docs" / "conformance.md"
#: A part of the tests' names for each area, in Go's regular expressions.
AREAS = {
    "networking": r"\[sig-network\] (Networking Gran|Services|DNS|EndpointSlice|HostPort|Ingress)",
    "volumes": r"\[sig-storage\] (EmptyDir v|Projected|ConfigMap|Secrets|Downward API v|Subpath)",
    "scheduling": r"\[sig-scheduling\] (LimitRange|SchedulerPredicates)",
    "garbage collection": r"\[sig-api-machinery\] Garbage collector",
    "RBAC and accounts": r"\[sig-auth\]",
    "quotas, names, watches": r"\[sig-api-machinery\] (ResourceQuota|Namespaces|Watchers|Server)",
    "pods": r"\[sig-node\] (Pods|InitContainer|Variable|Container Lifecycle|Kubelet|Security)",
    "workloads": r"\[sig-apps\] (Job|CronJob|ReplicationController|DisruptionController)",
}
#: What needs images that are not here, a load balancer, minutes for itself, or a node's ports:
#: between nodes the security groups open those that the stack needs, and no NodePort.
LEFT_OUT = (
    r"\[Slow\]|\[Disruptive\]|sample API|private registry|perl|LoadBalancer|NodePort|"
    r"should not be able to pull|apparmor"
)
PROCESSES = 4


def build(into: Path) -> None:
    """The tests, ginkgo (which runs them) and the images' programs, of the pinned modules."""
    env = {**os.environ, "GOFLAGS": builds.GO_FLAGS, "GOWORK": "off", "CGO_ENABLED": "0"}
    programs = ["github.com/onsi/ginkgo/v2/ginkgo"]
    programs += [f"k8s.io/kubernetes/test/images/{name}" for name in ("agnhost", "nonewprivs")]
    tests = f"{into}/e2e.test"
    for command in (
        ["build", "-ldflags", "-s -w", "-o", f"{into}/", *programs],
        ["test", "-c", "-vet=off", "-ldflags", "-s -w", "-o", tests, "k8s.io/kubernetes/test/e2e"],
    ):
        subprocess.run([builds.go(), *command], cwd=HERE, env=env, check=True)


def publish(built: Path, folder: Path, tags: dict[str, list[str]]) -> str:
    """Puts the images where the stack's nodes pull from; the registry's address."""
    registry = ""
    for name, asked in tags.items():
        context = folder / name
        shutil.copytree(HERE / name, context)
        if (built / name).exists():
            shutil.copy(built / name, context)
        for tag in asked:
            registry = own_images.publish(context, name, tag).partition("/")[0]
    return registry


def tags(tests: Path) -> dict[str, list[str]]:
    """The images that the tests ask for, of those that are here: name to tags."""
    done = subprocess.run([tests, "--list-images"], capture_output=True, text=True, check=True)
    found: dict[str, list[str]] = {name: [] for name in IMAGES}
    for name, tag in re.findall(rf"e2e-test-images/({'|'.join(IMAGES)}):(\S+)", done.stdout):
        found[name].append(tag)
    return found


def run(
    built: Path, folder: Path, registry: str, kubeconfig: str, limit: str
) -> list[dict[str, Any]]:
    """The tests' reports, as ginkgo writes them."""
    places = folder / "repositories.yaml"
    places.write_text(yaml.safe_dump({"promoterE2eRegistry": registry}))
    skeleton = [f"--kubeconfig={kubeconfig}", "--provider=skeleton", "--disable-log-dump"]
    options = [f"--procs={PROCESSES}", f"--timeout={limit}", "--no-color", "--silence-skips"]
    options += ["--label-filter=Conformance", f"--skip={LEFT_OUT}"]
    options += [f"--focus={focus}" for focus in AREAS.values()]
    options += [f"--output-dir={folder}", "--json-report=report.json"]
    subprocess.run(
        [built / "ginkgo", *options, built / "e2e.test", "--", *skeleton],
        env={**os.environ, "KUBE_TEST_REPO_LIST": str(places)},
        stdout=(paths.SCRATCH / "conformance.log").open("w"),
        stderr=subprocess.STDOUT,
    )
    (suite,) = json.loads((folder / "report.json").read_text())
    return [one for one in suite["SpecReports"] if one["LeafNodeType"] == "It"]


def page(reports: list[dict[str, Any]]) -> str:
    """The table by area, and each test's name."""
    passed: dict[str, list[str]] = defaultdict(list)
    for one in reports:
        if one["State"] == "passed":
            name = " ".join([*(one["ContainerHierarchyTexts"] or []), one["LeafNodeText"]])
            area = next(area for area, focus in AREAS.items() if re.search(focus, name))
            passed[area].append(re.sub(r"\s*\[Conformance\]", "", name))
    total = sum(map(len, passed.values()))
    rows = "".join(f"| {area} | {len(passed[area])} |\n" for area in AREAS)
    names = "".join(
        f"\n**{area}**\n\n" + "".join(f"- {name}\n" for name in sorted(passed[area]))
        for area in AREAS
    )
    version = go_modules()["kubernetes"].version
    return (
        f"\n{today()}, Kubernetes {version}, {machine()}: {total} tests ran and passed.\n\n"
        f"| area | passed |\n|---|---|\n{rows}\n<details><summary>Each of them</summary>\n"
        f"{names}\n</details>\n\n"
    )


def main() -> int:
    """Runs them against a stack that is up."""
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("--stack", default="local")
    parser.add_argument("--limit", default="40m", help="how long they may run (40m)")
    args = parser.parse_args()
    pinned = paths.digest_of_files(HERE, [HERE / "go.sum", HERE / "tools.go"])
    built = paths.cache_dir() / "conformance" / pinned
    built.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if not (built / "e2e.test").exists():
            with ticking(lambda: "builds Kubernetes' end-to-end tests,"):
                build(built)
        registry = publish(built, folder, tags(built / "e2e.test"))
        with (
            connect(Stack(args.stack)).kubeconfig() as kubeconfig,
            ticking(lambda: "conformance tests (.tinderbox/conformance.log),"),
        ):
            reports = run(built, folder, registry, kubeconfig, args.limit)
    ran = [one for one in reports if one["State"] != "skipped"]
    for one in ran:
        if one["State"] != "passed":
            print(f"{one['State']}: {one['LeafNodeText']}", file=sys.stderr)
    write(PAGE, "make conformance", page(ran))
    print(f"conformance: {sum(one['State'] == 'passed' for one in ran)} of {len(ran)} passed")
    return int(not ran or any(one["State"] != "passed" for one in ran))


if __name__ == "__main__":
    sys.exit(main())
