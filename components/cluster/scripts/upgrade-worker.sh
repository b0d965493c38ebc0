#!/usr/bin/env bash
# On a worker, or a control plane besides the first, that was drained: brings it to the first one's release.
# RELEASE: "KUBERNETES CONTAINERD"    KUBERNETES_PACKAGES, DOCKER_PACKAGES: base URLs of the repositories
set -euo pipefail

kubernetes=${RELEASE% *} containerd=${RELEASE#* }
if is_at "$kubernetes" "$containerd"; then
  exit 0
fi
say "from Kubernetes $(installed kubelet) and containerd $(installed containerd.io) to $kubernetes and $containerd"
use_repositories "$kubernetes" "$containerd"
offer "$kubernetes" "$containerd"
install_held kubeadm
options=()
[[ ! -d /etc/kubernetes/patches ]] || options=(--patches /etc/kubernetes/patches)
# shellcheck disable=SC2046 # one option or none
patiently kubeadm upgrade node "${options[@]}" $(ignored)
renew_services "$kubernetes" "$containerd"
