#!/usr/bin/env bash
# On the control plane: brings it to the release; prints what the cluster then has, "KUBERNETES CONTAINERD".
# RELEASE: that one    NODE_NAME: this node    KUBERNETES_PACKAGES, DOCKER_PACKAGES: base URLs of the repositories
set -euo pipefail

export KUBECONFIG=/etc/kubernetes/admin.conf
kubernetes=${RELEASE% *} containerd=${RELEASE#* }
was=$(api_version)
if [[ $was == "$kubernetes" ]] && is_at "$kubernetes" "$containerd"; then
  echo "$RELEASE"
  exit 0
fi

# pull_images: kubeadm of the new release, unpacked beside the one that is here, fetches what it will start.
pull_images() {
  local folder
  folder=$(mktemp -d)
  # Not as apt's own user, who may not write there.
  (cd "$folder" && apt_get -o APT::Sandbox::User=root download kubeadm)
  dpkg-deb --extract "$folder"/kubeadm_*.deb "$folder"
  "$folder/usr/bin/kubeadm" config images pull --kubernetes-version "v$kubernetes" \
    --cri-socket unix:///run/containerd/containerd.sock >&2 ||
    fail "an image of Kubernetes $kubernetes can't be had (see above): nothing was changed"
  rm -rf "$folder"
}

# as_wanted: the node tells of the new release, and is well.
as_wanted() {
  local told
  told=$(kubectl get node "$NODE_NAME" --output 'jsonpath={.status.nodeInfo.kubeletVersion} {.status.nodeInfo.containerRuntimeVersion} {.status.conditions[?(@.type=="Ready")].status}')
  [[ $told =~ ^v${kubernetes//./\\.}\ containerd://v?${containerd//./\\.}[^0-9]*\ True$ ]]
}

say "from Kubernetes $was and containerd $(installed containerd.io) to $kubernetes and $containerd" >&2
use_repositories "$kubernetes" "$containerd"
offer "$kubernetes" "$containerd"
pull_images
if [[ -x /usr/local/sbin/tinderbox-snapshot ]]; then
  say "a snapshot of the cluster first" >&2
  /usr/local/sbin/tinderbox-snapshot "before Kubernetes $kubernetes, containerd $containerd" >&2
fi
install_held kubeadm
if [[ $was != "$kubernetes" ]]; then
  options=(--yes)
  [[ ! -d /etc/kubernetes/patches ]] || options+=(--patches /etc/kubernetes/patches)
  # shellcheck disable=SC2046 # one option or none
  kubeadm upgrade apply "v$kubernetes" "${options[@]}" $(ignored) >&2
fi
renew_services "$kubernetes" "$containerd"
wait_for 240 "the API to answer" kubectl get --raw /readyz
wait_for 240 "$NODE_NAME to be ready with Kubernetes $kubernetes and containerd $containerd" as_wanted
echo "$RELEASE"
