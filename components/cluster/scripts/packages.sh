#!/usr/bin/env bash
# Installs containerd and the Kubernetes tools in the wanted release, and holds them there.
# RELEASE: "KUBERNETES CONTAINERD", such as "1.36.4 2.4.2"
# KUBERNETES_PACKAGES, DOCKER_PACKAGES: base URLs of the repositories
set -euo pipefail

# A node that is in a cluster stays at its release until it is drained (upgrade-worker.sh): another
# containerd would restart under all that runs. Only what is missing is installed there.
kubernetes=${RELEASE% *} containerd=${RELEASE#* } only_missing=()
if compgen -G '/etc/kubernetes/.tinderbox-*' >/dev/null; then
  only_missing=(--no-upgrade)
  is=$(installed kubelet) && kubernetes=${is:-$kubernetes}
  is=$(installed containerd.io) && containerd=${is:-$containerd}
fi

say "installing containerd $containerd and Kubernetes $kubernetes"
use_repositories "$kubernetes" "$containerd"
((${#only_missing[@]})) || offer "$kubernetes" "$containerd"
install_held "${only_missing[@]}" containerd.io kubelet kubeadm kubectl cri-tools iptables ethtool socat conntrack
